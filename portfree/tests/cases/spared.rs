//! Who is no holder, or a holder that must not be ended.

use testkit::{in_namespace, needs, process, scratch};

use crate::server::{can_start, pid, portfree, script, serve};

/// A client from port 8000 of our own to a server on port 9000.
const CLIENT_FROM_8000: &str = "c = bound(8000, '127.0.0.1', reuse=False)
c.connect(('127.0.0.1', 9000))";

#[test]
fn connected_clients_live_on() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(8000)");
    let client = serve("c = socket.create_connection(('127.0.0.1', 8000))");
    let list = portfree(&["--list", "8000"]).expect_code(0);
    assert_eq!(list.records().len(), 1, "{list:?}");
    portfree(&["8000"]).expect_code(0);
    assert!(process::gone(server.pid()));
    assert!(!process::gone(client.pid()));
}

#[test]
fn a_client_whose_source_port_it_is() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(9000)");
    let client = serve(CLIENT_FROM_8000);
    portfree(&["--pids", "8000"])
        .expect_code(1)
        .expect_stdout("");
    let list = portfree(&["--list", "8000"]).expect_code(0);
    let [record] = list.records().try_into().unwrap();
    assert_eq!(
        record[..4],
        ["tcp", "127.0.0.1:8000", "ESTAB", &pid(&client)]
    );
    portfree(&["--check", "8000"]).expect_code(1);
    portfree(&["8000"])
        .expect_code(1)
        .expect_stdout("")
        .expect_words("8000/tcp: in the way: a client's connection, not touched (ESTAB)");
    portfree(&["-f", "-g0", "8000"]).expect_code(1);
    assert!(!process::gone(client.pid()) && !process::gone(server.pid()));
}

#[test]
fn a_client_that_keeps_its_port_when_its_server_is_killed() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(8000, '127.0.0.1')");
    let client = serve(
        "c = bound(8000, '127.0.0.2', reuse=False)
c.connect(('127.0.0.1', 8000))",
    );
    // The kernel resets the connection that nobody had accepted; the client's socket is bound
    // again, and listens no more than before.
    let freed = portfree(&["-g0", "8000"])
        .expect_code(1)
        .expect_words("8000/tcp: in the way: a client's connection, not touched (BOUND)");
    assert_eq!(freed.records().len(), 1);
    assert!(!freed.stderr.contains("taken again"), "{freed:?}");
    assert!(process::gone(server.pid()) && !process::gone(client.pid()));
}

#[test]
fn a_server_whose_peer_has_that_port() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(9000)");
    // With SO_REUSEADDR, so that what is left of its connection is in nobody's way.
    let client = serve(&CLIENT_FROM_8000.replace("False", "True"));
    portfree(&["--established", "8000"]).expect_code(0);
    assert!(
        process::gone(client.pid()),
        "it holds a connection on the local port"
    );
    assert!(
        !process::gone(server.pid()),
        "for it, the port is the peer's"
    );
    assert!(can_start(8000));
}

#[test]
fn established_takes_connections_of_the_server() {
    needs!("python3");
    in_namespace!();
    // The listener is closed, the connection goes on: a graceful shutdown that never ends.
    let server = serve(
        "s = listener(8000)
c = socket.create_connection(('127.0.0.1', 8000))
a, _ = s.accept()
s.close()",
    );
    portfree(&["--pids", "8000"]).expect_code(1);
    let pids = portfree(&["--pids", "--established", "8000"]).expect_code(0);
    assert_eq!(pids.stdout, format!("{}\n", server.pid()));
    portfree(&["--established", "8000"]).expect_code(0);
    assert!(process::gone(server.pid()));
}

#[test]
fn a_udp_client_is_no_holder() {
    needs!("python3");
    in_namespace!();
    let client = serve(
        "c = bound(8000, '127.0.0.1', kind=socket.SOCK_DGRAM, reuse=False)
c.connect(('127.0.0.1', 9000))",
    );
    let list = portfree(&["--list", "8000/udp"]).expect_code(0);
    assert_eq!(list.records()[0][2], "ESTAB");
    portfree(&["8000/udp"])
        .expect_code(1)
        .expect_words("not touched");
    assert!(!process::gone(client.pid()));
}

#[test]
fn a_caller_that_inherited_the_listening_descriptor() {
    needs!("python3");
    in_namespace!();
    let program = env!("CARGO_BIN_EXE_portfree");
    let ran = script(&format!(
        "s = listener(8000)
s.set_inheritable(True)
if os.fork() == 0:
    forever()
done = subprocess.run([{program:?}, '8000'], close_fds=False)
sys.exit(done.returncode)"
    ))
    .run()
    .expect_code(1)
    .expect_words("is spared: it is an ancestor of this process");
    assert_eq!(ran.stderr.matches("is spared").count(), 1, "{ran:?}");
    assert_eq!(ran.records().len(), 1, "the other holder is ended: {ran:?}");
    assert_eq!(ran.records()[0][1], "term");
}

#[test]
fn a_listener_that_only_we_have_inherited() {
    needs!("python3");
    in_namespace!();
    let program = env!("CARGO_BIN_EXE_portfree");
    // It is gone with us: for the next command the port is free.
    script(&format!(
        "s = listener(8000)
s.set_inheritable(True)
os.execv({program:?}, ['portfree', '8000'])"
    ))
    .run()
    .expect_code(0)
    .expect_stdout("")
    .expect_stderr("");
}

#[test]
fn pid_1_is_never_signalled() {
    needs!("python3", "unshare");
    in_namespace!();
    let program = env!("CARGO_BIN_EXE_portfree");
    let folder = scratch();
    let file = folder.path().join("as-init.py");
    std::fs::write(
        &file,
        format!(
            "import os, socket, subprocess, sys
s = socket.socket(); s.bind(('', 8000)); s.listen()
if os.fork() == 0:
    s.close()
    done = subprocess.run([{program:?}, '8000'])
    os._exit(done.returncode)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))"
        ),
    )
    .unwrap();
    testkit::Tool::named("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(crate::server::python())
        .arg(&file)
        .run()
        .expect_code(1)
        .expect_words("(PID 1) is spared: it is PID 1");
}
