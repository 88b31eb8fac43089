//! Lock, supervisor, server: stopped as a chain, again and again.

use std::fs;

use testkit::{Namespace, Tool, bin, free_port, in_namespace, process, scratch, wait_until};

const ROUNDS: usize = 100;

#[test]
fn a_chain_that_is_stopped_never_restarts_and_leaves_nothing() {
    in_namespace!(Namespace::new().deadline(std::time::Duration::from_secs(600)));
    let folder = scratch();
    let (pidfile, events) = (folder.path().join("run.pid"), folder.path().join("events"));
    let port = free_port().to_string();
    for round in 1..=ROUNDS {
        // Without a pause, a restart by mistake could not be missed.
        let started = Tool::named("pidlock")
            .arg("-d")
            .arg(&pidfile)
            .args(["--", "procwatch", "-r", "always", "-b", "0", "--events"])
            .arg(&events)
            .arg("--")
            .arg(bin("demo-server"))
            .arg(&port)
            .env("PATH", path())
            .run();
        assert_eq!(started.code(), Some(0), "round {round}: {started:?}");
        wait_until("the server answers", || process::accepts(&port));
        let mut stop = Tool::named("treekill");
        if round % 2 == 0 {
            stop = stop.arg("--leader-first");
        }
        let stopped = stop.arg("--pidfile").arg(&pidfile).run();
        assert_eq!(stopped.code(), Some(0), "round {round}: {stopped:?}");
        assert_eq!(process::others(), [], "round {round}");
        assert!(!pidfile.exists(), "round {round}");
        let free = Tool::named("portfree").args(["--check", &port]).run();
        assert_eq!(free.code(), Some(0), "round {round}: {free:?}");
        let events = fs::read_to_string(&events).unwrap_or_default();
        assert_eq!(events.matches("\"event\":\"start\"").count(), round);
    }
}

/// Where the tools are, before all else.
fn path() -> String {
    let folder = bin("procwatch");
    let folder = folder
        .parent()
        .map_or_else(String::new, |folder| folder.display().to_string());
    format!("{folder}:{}", std::env::var("PATH").unwrap_or_default())
}
