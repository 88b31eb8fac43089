//! Ending holders, and the proof afterwards.

use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::{in_namespace, needs, process};

use crate::server::{can_start, pid, portfree, serve};

/// A server that does not react to TERM.
const STUBBORN: &str = "ignore(signal.SIGTERM)\ns = listener(8000)";

#[test]
fn a_server_that_ignores_term_is_killed_after_the_grace() {
    needs!("python3");
    in_namespace!();
    let server = serve(STUBBORN);
    let freed = portfree(&["-g", "0.3", "8000"]).expect_code(0);
    assert_eq!(freed.records()[0][..2], [&pid(&server), "kill"]);
    assert!(freed.elapsed >= Duration::from_millis(300));
    assert!(can_start(8000));
}

#[test]
fn no_kill_never_escalates() {
    needs!("python3");
    in_namespace!();
    let server = serve(STUBBORN);
    let freed = portfree(&["-g", "0.1", "--no-kill", "8000"])
        .expect_code(1)
        .expect_words("8000/tcp: still held by python3");
    assert_eq!(freed.records()[0][..2], [&pid(&server), "alive"]);
    assert!(!process::gone(server.pid()));
}

#[test]
fn a_grace_of_zero_kills_at_once() {
    needs!("python3");
    in_namespace!();
    let _server = serve(STUBBORN);
    let freed = portfree(&["-g", "0", "8000"]).expect_code(0);
    assert_eq!(freed.records()[0][1], "kill");
}

#[test]
fn the_first_signal_can_be_chosen() {
    needs!("python3");
    in_namespace!();
    let server = serve(
        "def handler(number, _):
    print('got', number, flush=True)
    sys.exit()
signal.signal(signal.SIGINT, handler)
ignore(signal.SIGTERM)
s = listener(8000)",
    );
    let freed = portfree(&["-s", "int", "--json", "8000"]).expect_code(0);
    let [record] = freed.json().try_into().unwrap();
    assert_eq!(
        (record["outcome"].as_str(), record["signal"].as_str()),
        (Some("term"), Some("INT"))
    );
    assert!(server.output().contains("got 2"));
}

#[test]
fn a_stopped_server_ends_by_term() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(8000)");
    server.signal(Signal::SIGSTOP);
    testkit::wait_until("it is stopped", || {
        process::look(server.pid()).is_some_and(|seen| seen.state == 'T')
    });
    let freed = portfree(&["8000"]).expect_code(0);
    assert_eq!(freed.records()[0][1], "term");
    assert!(can_start(8000));
}

/// A server with a child that has nothing to do with the port.
const WITH_CHILD: &str = "child = subprocess.Popen(['sleep', '1000'])
s = listener(8000)
print('child', child.pid, flush=True)";

#[test]
fn descendants_are_ended_too() {
    needs!("python3");
    in_namespace!();
    let server = serve(WITH_CHILD);
    let [child] = process::children(server.pid()).try_into().unwrap();
    let plan = portfree(&["--dry-run", "8000"]).expect_code(0);
    let records = plan.records();
    assert_eq!(
        records[0][..4],
        ["tcp", "0.0.0.0:8000", "LISTEN", &pid(&server)]
    );
    assert_eq!(records[1][..4], ["-", "-", "-", &child.pid.to_string()]);
    assert!(!process::gone(server.pid()), "a dry run signals nobody");
    let pids = portfree(&["--pids", "8000"]).expect_code(0);
    assert_eq!(pids.stdout, format!("{}\n{}\n", server.pid(), child.pid));
    let freed = portfree(&["8000"]).expect_code(0);
    assert_eq!(freed.records().len(), 2);
    assert!(process::gone(child.pid));
}

#[test]
fn only_holders_leaves_descendants_alone() {
    needs!("python3");
    in_namespace!();
    let server = serve(WITH_CHILD);
    let [child] = process::children(server.pid()).try_into().unwrap();
    let only = ["--only-holders", "8000"];
    let pids = portfree(&["--pids", only[0], only[1]]).expect_code(0);
    assert_eq!(pids.stdout, format!("{}\n", server.pid()));
    let freed = portfree(&only).expect_code(0);
    assert_eq!(freed.records().len(), 1);
    assert!(!process::gone(child.pid));
}

#[test]
fn a_free_port_needs_nothing() {
    in_namespace!();
    for arguments in [
        &["8000"][..],
        &["8000/udp"],
        &["8000-8099"],
        &["-n", "8000"],
    ] {
        portfree(arguments)
            .expect_code(0)
            .expect_stdout("")
            .expect_stderr("");
    }
}

/// A server that closes a connection first, which leaves TIME-WAIT on its port, and ends.
fn leave_time_wait(reuse: &str) {
    crate::server::script(&format!(
        "s = listener(8000, reuse={reuse})
c = socket.create_connection(('127.0.0.1', 8000))
a, _ = s.accept()
a.close()
assert c.recv(1) == b''
c.close()"
    ))
    .run()
    .expect_code(0);
}

#[test]
fn time_wait_is_free_when_the_bind_says_so() {
    needs!("python3");
    in_namespace!();
    leave_time_wait("True");
    portfree(&["--check", "8000"]).expect_code(0);
    portfree(&["--list", "8000"])
        .expect_code(1)
        .expect_stdout("");
    portfree(&["-v", "8000"])
        .expect_code(0)
        .expect_words("left of ended connections, in nobody's way (TIME-WAIT, FIN-WAIT): 1");
    assert!(can_start(8000));
}

#[test]
fn time_wait_of_a_server_without_so_reuseaddr_is_named() {
    needs!("python3");
    in_namespace!();
    leave_time_wait("False");
    assert!(!can_start(8000), "the kernel lets nobody bind there");
    portfree(&["--check", "8000"]).expect_code(1);
    let list = portfree(&["--list", "8000"]).expect_code(0);
    assert_eq!(
        list.records()[0][..4],
        ["tcp", "127.0.0.1:8000", "TIME-WAIT", "-"]
    );
    portfree(&["8000"]).expect_code(1).expect_words(
        "in the way: 1 in TIME-WAIT, left by a program that had not set SO_REUSEADDR",
    );
}

#[test]
fn fin_wait_is_free_when_the_bind_says_so() {
    needs!("python3");
    in_namespace!();
    for (port, reuse, code) in [(8000, "True", 0), (8001, "False", 1)] {
        // The server is killed; the client does not close its end.
        let server = serve(&format!(
            "s = listener({port}, reuse={reuse})
threading.Thread(target=s.accept, daemon=True).start()"
        ));
        let client = serve(&format!(
            "c = socket.create_connection(('127.0.0.1', {port}))"
        ));
        let freed = portfree(&["-g0", &port.to_string()]).expect_code(code);
        assert_eq!(freed.records()[0][0], pid(&server));
        assert_eq!(can_start(port), code == 0);
        if code == 1 {
            assert!(freed.stderr.contains("in FIN-WAIT-"), "{freed:?}");
        }
        assert!(!process::gone(client.pid()));
    }
}

#[test]
fn a_closed_standard_output_changes_nothing() {
    needs!("python3", "sh");
    in_namespace!();
    let server = serve("s = listener(8000)");
    let program = env!("CARGO_BIN_EXE_portfree");
    let line = format!("{{ '{program}' 8000; echo $? >&2; }} | true");
    testkit::Tool::named("sh")
        .args(["-c", &line])
        .run()
        .expect_stderr("0\n");
    assert!(process::gone(server.pid()));
}

#[test]
fn records_that_cannot_be_written_are_a_failure_where_they_are_all_that_was_wanted() {
    needs!("python3", "sh");
    in_namespace!();
    let _server = serve("s = listener(8000)");
    let program = env!("CARGO_BIN_EXE_portfree");
    for (options, code) in [("--pids", 125), ("--list", 125), ("--next", 125), ("", 0)] {
        let line = format!("'{program}' {options} 8000 > /dev/full");
        testkit::Tool::named("sh")
            .args(["-c", &line])
            .run()
            .expect_code(code)
            .expect_words("standard output: No space left on device");
    }
}

#[test]
fn a_range_of_more_than_100_ports_is_freed_only_by_force() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(8050)");
    portfree(&["8000-8100"])
        .expect_code(125)
        .expect_words("--force");
    assert!(!process::gone(server.pid()));
    portfree(&["--force", "8000-8100"]).expect_code(0);
    assert!(process::gone(server.pid()));
}

#[test]
fn sixty_thousand_ports() {
    needs!("python3");
    in_namespace!();
    let servers = serve("s = [listener(port) for port in range(30000, 30300)]");
    portfree(&["--check", "2000-62000"]).expect_code(1);
    let list = portfree(&["--list", "2000-62000"]).expect_code(0);
    assert_eq!(list.records().len(), 300);
    let freed = portfree(&["-f", "2000-62000"]).expect_code(0);
    assert_eq!(freed.records().len(), 1);
    assert!(process::gone(servers.pid()));
    portfree(&["--check", "2000-62000"]).expect_code(0);
}

#[test]
fn who_proves_a_port_free_is_not_taken_for_its_holder() {
    needs!("python3");
    in_namespace!();
    // Ten at a time: each may see another one's socket in the moment of its proof.
    for target in ["8000", "8000/udp"] {
        for _ in 0..20 {
            let line = format!(
                "ran = [subprocess.Popen([{:?}, '{target}']) for _ in range(10)]
sys.exit(sum(one.wait() for one in ran))",
                env!("CARGO_BIN_EXE_portfree")
            );
            crate::server::script(&line)
                .run()
                .expect_code(0)
                .expect_stderr("");
        }
    }
}
