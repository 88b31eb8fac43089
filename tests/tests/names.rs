//! Hosts by name: the system's resolver is asked, and asked again while it knows no answer.

use std::fs;

use testkit::{Running, Tool, free_port, in_namespace, process, scratch, wait_until};

#[test]
fn a_host_is_found_by_its_name_even_one_that_gets_its_name_late() {
    in_namespace!();
    let folder = scratch();
    let hosts = folder.path().join("hosts");
    let loopback = "127.0.0.1 localhost early.test\n";
    fs::write(&hosts, loopback).expect("our own file");
    let mount = Tool::named("mount").arg("--bind").arg(&hosts);
    if mount.arg("/etc/hosts").run().code() != Some(0) {
        return testkit::needs::skip("needs to mount a file over /etc/hosts");
    }
    let port = free_port().to_string();
    let _server = Running::start(Tool::named("demo-server").arg(&port));
    wait_until("it listens", || process::accepts(&port));
    for target in [
        format!("http://early.test:{port}/"),
        format!("early.test:{port}"),
    ] {
        let _ = Tool::named("waithealth")
            .args(["--once", &target])
            .run()
            .expect_code(0);
    }
    let refused = format!("early.test:{}", free_port());
    let ran = Tool::named("waithealth")
        .args(["-t", "0.3", &refused])
        .run();
    assert_eq!(ran.expect_code(124).records()[0][4], "refused");
    let late = format!("late.test:{port}");
    let ran = Tool::named("waithealth")
        .args(["--once", &late])
        .run()
        .expect_code(1);
    assert_eq!(ran.records()[0][4], "name does not resolve", "{ran:?}");
    let mut waiting = Running::start(Tool::named("waithealth").args(["-v", "-t", "30", &late]));
    wait_until("it has asked in vain", || {
        waiting.output().contains("does not resolve")
    });
    fs::write(&hosts, format!("{loopback}127.0.0.1 late.test\n")).expect("our own file");
    assert_eq!(waiting.wait(), 0, "{}", waiting.output());
}
