//! The unit of the examples under a real systemd(1), and what portfree says of a port that a unit
//! holds.

use std::fs;
use std::path::Path;

use testkit::{Systemd, in_namespace, repository, wait_until};

/// The example as it is; the server it names is there, no database is, and `drop_in` is added.
fn boot(drop_in: &str) -> Option<Systemd> {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let (users, groups) = (text("/etc/passwd".as_ref()), text("/etc/group".as_ref()));
    Systemd::boot(&[
        (
            "etc/systemd/system/api.service",
            text(&repository().join("scripts/examples/api.service")),
        ),
        (
            "etc/systemd/system/api.service.d/test.conf",
            format!("[Service]\nExecStartPre=\n{drop_in}"),
        ),
        (
            "srv/api/venv/bin/uvicorn",
            "#!/bin/sh\nexec demo-server 8000\n".into(),
        ),
        ("etc/passwd", users + "api:x:4242:4242::/srv/api:/bin/sh\n"),
        ("etc/group", groups + "api:x:4242:\n"),
    ])
}

/// What `systemctl show` says of the unit.
fn shown(machine: &Systemd, property: &str) -> String {
    let ran = machine.run(&[
        "systemctl",
        "show",
        "--value",
        "--property",
        property,
        "api",
    ]);
    ran.stdout.trim().to_owned()
}

#[test]
fn the_unit_is_up_when_it_is_healthy_and_comes_back_after_a_crash() {
    in_namespace!();
    let Some(machine) = boot("") else { return };
    machine.run(&["systemctl", "start", "api"]).expect_code(0);
    let health = ["waithealth", "--once", "http://127.0.0.1:8000/health"];
    machine.run(&health).expect_code(0);

    // Its main process is the server itself, under the lock.
    let first = shown(&machine, "MainPID");
    let holder = ["pidlock", "--holder", "/run/api/api.pid"];
    machine
        .run(&holder)
        .expect_code(0)
        .expect_stdout(&format!("{first}\n"));
    let second = ["pidlock", "/run/api/api.pid", "--", "true"];
    machine.run(&second).expect_code(75);

    machine.run(&["kill", "-KILL", &first]).expect_code(0);
    wait_until("systemd has started it again", || {
        shown(&machine, "NRestarts") == "1" && shown(&machine, "ActiveState") == "active"
    });
    machine.run(&health).expect_code(0);
    assert_ne!(shown(&machine, "MainPID"), first);

    machine.run(&["systemctl", "stop", "api"]).expect_code(0);
    machine.run(&["portfree", "--check", "8000"]).expect_code(0);
}

#[test]
fn portfree_names_the_unit_that_takes_the_port_again_and_what_stops_it() {
    in_namespace!();
    let Some(machine) = boot("Restart=always\nRestartSec=200ms\n") else {
        return;
    };
    machine.run(&["systemctl", "start", "api"]).expect_code(0);
    let listed = machine
        .run(&["portfree", "--list", "--json", "8000"])
        .expect_code(0);
    assert!(
        listed
            .json()
            .iter()
            .all(|holder| holder["unit"] == "api.service")
    );

    let ran = machine.run(&["portfree", "8000"]).expect_code(1);
    let stop = "systemctl stop api.service";
    let ran = ran.expect_words("taken again by demo-server");
    ran.expect_words(&format!("service api.service; to stop it for good: {stop}"));

    machine.run(&["sh", "-c", stop]).expect_code(0);
    machine.run(&["portfree", "--check", "8000"]).expect_code(0);
}

#[test]
fn a_unit_whose_server_dies_at_once_fails_at_once() {
    in_namespace!();
    // `--pid $MAINPID`: nobody waits a minute for the health of what is dead.
    let Some(machine) =
        boot("Restart=no\nExecStart=\nExecStart=pidlock -F /run/api/api.pid -- false\n")
    else {
        return;
    };
    machine.run(&["systemctl", "start", "api"]).expect_code(1);
    assert_eq!(shown(&machine, "ActiveState"), "failed");
}
