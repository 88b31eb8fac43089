//! Every kind of holder is found, and ended.

use testkit::{in_namespace, needs, process};

use crate::server::{can_start, pid, portfree, serve};

/// A server of these lines on port 8000 is the one holder, and freeing ends it.
fn is_found_and_ended(lines: &str, address: &str, state: &str) {
    let server = serve(lines);
    portfree(&["--check", "8000"])
        .expect_code(1)
        .expect_stdout("");
    let list = portfree(&["--list", "8000"]).expect_code(0);
    let [record] = list.records().try_into().unwrap();
    let (pid, local) = (pid(&server), format!("{address}:8000"));
    assert_eq!(record[..4], ["tcp", &local, state, &pid]);
    portfree(&["--pids", "8000"])
        .expect_code(0)
        .expect_stdout(&format!("{pid}\n"));
    let freed = portfree(&["8000"]).expect_code(0).expect_stderr("");
    assert_eq!(freed.records()[0][..2], [&pid, "term"]);
    assert!(process::gone(server.pid()));
    assert!(can_start(8000));
    portfree(&["--check", "8000"]).expect_code(0);
}

#[test]
fn a_server_on_ipv4() {
    needs!("python3");
    in_namespace!();
    is_found_and_ended("s = listener(8000)", "0.0.0.0", "LISTEN");
}

#[test]
fn a_server_on_ipv6_only() {
    needs!("python3");
    in_namespace!();
    is_found_and_ended("s = listener(8000, '::')", "[::]", "LISTEN");
}

#[test]
fn a_server_on_both_families_with_one_socket() {
    needs!("python3");
    in_namespace!();
    is_found_and_ended("s = listener(8000, '::', only6=False)", "[::]", "LISTEN");
}

#[test]
fn a_server_without_so_reuseaddr() {
    needs!("python3");
    in_namespace!();
    is_found_and_ended(
        "s = listener(8000, '127.0.0.1', reuse=False)",
        "127.0.0.1",
        "LISTEN",
    );
}

#[test]
fn a_socket_that_is_bound_and_does_not_listen() {
    needs!("python3");
    in_namespace!();
    is_found_and_ended("s = bound(8000)", "0.0.0.0", "BOUND");
}

#[test]
fn a_server_with_multipath_tcp() {
    needs!("python3");
    in_namespace!();
    // What Go's servers are by default.
    let enabled = std::fs::read_to_string("/proc/sys/net/mptcp/enabled").unwrap_or_default();
    if enabled.trim() != "1" {
        return testkit::needs::skip("needs a kernel with multipath TCP");
    }
    let lines = "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('', 8000))
s.listen()";
    is_found_and_ended(lines, "0.0.0.0", "LISTEN");
}

#[test]
fn a_process_whose_first_thread_has_ended() {
    needs!("python3");
    in_namespace!();
    let server = serve(
        "s = listener(8000)
threading.Thread(target=forever).start()
ready()
ctypes.CDLL(None).pthread_exit(None)",
    );
    testkit::wait_until("the first thread has ended", || {
        process::look(server.pid()).is_some_and(|seen| seen.state == 'Z')
    });
    let pid = pid(&server);
    portfree(&["--pids", "8000"])
        .expect_code(0)
        .expect_stdout(&format!("{pid}\n"));
    // Python's handlers run in the first thread alone: TERM ends it here by default.
    let freed = portfree(&["8000"]).expect_code(0);
    assert_eq!(freed.records()[0][0], pid);
    assert!(can_start(8000));
}

#[test]
fn a_thread_with_descriptors_of_its_own() {
    needs!("python3");
    in_namespace!();
    let server = serve(
        "CLONE_FILES = 0x400
def serve():
    ctypes.CDLL(None).unshare(CLONE_FILES)
    global s
    s = listener(8000)
    up.set()
    forever()
up = threading.Event()
threading.Thread(target=serve, daemon=True).start()
up.wait()",
    );
    let pid = pid(&server);
    portfree(&["--pids", "8000"])
        .expect_code(0)
        .expect_stdout(&format!("{pid}\n"));
    portfree(&["8000"]).expect_code(0);
    assert!(can_start(8000));
}

#[test]
fn one_process_on_each_family() {
    needs!("python3");
    in_namespace!();
    let servers = [
        serve("s = listener(8000)"),
        serve("s = listener(8000, '::')"),
    ];
    let freed = portfree(&["8000"]).expect_code(0);
    let mut ended: Vec<&str> = freed.records().iter().map(|record| record[0]).collect();
    ended.sort_unstable_by_key(|pid| pid.parse::<u32>().unwrap());
    assert_eq!(ended, servers.each_ref().map(pid));
    assert!(can_start(8000));
}

#[test]
fn four_workers_that_share_a_listener() {
    needs!("python3");
    in_namespace!();
    let master = serve(
        "s = listener(8000)
for _ in range(4):
    if os.fork() == 0:
        forever()",
    );
    let workers = process::children(master.pid());
    let pids = portfree(&["--pids", "8000"]).expect_code(0);
    assert_eq!(pids.stdout.lines().next(), Some(pid(&master).as_str()));
    assert_eq!(pids.stdout.lines().count(), 5);
    let freed = portfree(&["8000"]).expect_code(0);
    assert_eq!(freed.records().len(), 5);
    assert!(workers.iter().all(|worker| process::gone(worker.pid)));
    assert!(can_start(8000));
}

#[test]
fn workers_whose_master_has_died() {
    needs!("python3");
    in_namespace!();
    let mut master = crate::server::await_ready(testkit::Running::start(crate::server::script(
        "s = listener(8000)
for _ in range(3):
    if os.fork() == 0:
        forever()
ready()",
    )));
    assert_eq!(master.wait(), 0);
    let freed = portfree(&["8000"]).expect_code(0);
    assert_eq!(freed.records().len(), 3);
    assert!(can_start(8000));
}

#[test]
fn two_unrelated_servers_with_so_reuseport() {
    needs!("python3");
    in_namespace!();
    let one = serve("s = listener(8000, share=True)");
    let other = serve("s = listener(8000, share=True)");
    let freed = portfree(&["8000"]).expect_code(0);
    assert_eq!(freed.records().len(), 2);
    assert!(process::gone(one.pid()) && process::gone(other.pid()));
    assert!(can_start(8000));
}

#[test]
fn udp_apart_from_tcp() {
    needs!("python3");
    in_namespace!();
    let tcp = serve("s = listener(8000)");
    let udp = serve("s = bound(8000, kind=socket.SOCK_DGRAM)");
    let list = portfree(&["--list", "8000/udp"]).expect_code(0);
    let [record] = list.records().try_into().unwrap();
    assert_eq!(record[..4], ["udp", "0.0.0.0:8000", "UNCONN", &pid(&udp)]);
    portfree(&["8000/udp"]).expect_code(0);
    assert!(process::gone(udp.pid()));
    assert!(!process::gone(tcp.pid()));
    portfree(&["--check", "8000/udp"]).expect_code(0);
    portfree(&["--check", "8000/tcp"]).expect_code(1);
}

#[test]
fn udp_with_so_reuseaddr_on_ipv6() {
    needs!("python3");
    in_namespace!();
    let udp = serve("s = bound(8000, '::1', kind=socket.SOCK_DGRAM)");
    portfree(&["--check", "8000/udp"]).expect_code(1);
    portfree(&["8000/udp"]).expect_code(0);
    assert!(process::gone(udp.pid()));
}

#[test]
fn only_the_address_that_was_named() {
    needs!("python3");
    in_namespace!();
    let mine = serve("s = listener(8000, '127.0.0.1')");
    let other = serve("s = listener(8000, '127.0.0.2')");
    let v6 = serve("s = listener(8000, '::1')");
    portfree(&["--check", "127.0.0.3:8000"]).expect_code(0);
    portfree(&["127.0.0.1:8000"]).expect_code(0);
    assert!(process::gone(mine.pid()));
    assert!(!process::gone(other.pid()) && !process::gone(v6.pid()));
    portfree(&["[::1]:8000"]).expect_code(0);
    assert!(process::gone(v6.pid()) && !process::gone(other.pid()));
}

#[test]
fn a_server_on_all_addresses_is_in_the_way_of_one() {
    needs!("python3");
    in_namespace!();
    let both = serve("s = listener(8000, '::', only6=False)");
    portfree(&["--check", "127.0.0.1:8000"]).expect_code(1);
    portfree(&["127.0.0.1:8000"]).expect_code(0);
    assert!(process::gone(both.pid()));
    let six = serve("s = listener(8000, '::', only6=True)");
    portfree(&["--check", "127.0.0.1:8000"]).expect_code(0);
    portfree(&["127.0.0.1:8000"]).expect_code(0);
    assert!(!process::gone(six.pid()));
}

#[test]
fn several_ports_and_ranges_at_once() {
    needs!("python3");
    in_namespace!();
    let servers = serve("s = [listener(port) for port in (8000, 8003, 8010)]");
    let alone = serve("s = listener(9000)");
    let other = serve("s = listener(9001)");
    let list = portfree(&["--list", "8000-8005", "9000"]).expect_code(0);
    assert_eq!(list.records().len(), 3);
    let freed = portfree(&["8000-8005", "9000"]).expect_code(0);
    assert_eq!(
        freed.records().len(),
        2,
        "a process with two of the ports is ended once"
    );
    assert!(process::gone(servers.pid()) && process::gone(alone.pid()));
    assert!(!process::gone(other.pid()));
}
