//! The targets that are no HTTP, and waiting for them.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use testkit::{scratch, wait_until};

use crate::kit::{answers, detail, refused, response, server, url, waithealth};

#[test]
fn tcp_in_its_spellings() {
    let port = server(|_| {});
    for target in [
        format!("tcp://127.0.0.1:{port}"),
        format!("127.0.0.1:{port}"),
        format!(":{port}"),
        format!("localhost:{port}"),
    ] {
        assert_eq!(detail(["--once", &target]), "connected");
    }
    assert_eq!(
        detail(["--once", &format!("127.0.0.1:{}", refused())]),
        "refused"
    );
}

#[test]
fn a_unix_socket_that_accepts() {
    let folder = scratch();
    let path = folder.path().join("socket");
    let target = format!("unix://{}", path.display());
    assert_eq!(detail(["--once", &target]), "absent");
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(detail(["--once", &target]), "connected");
    drop(listener);
    assert_eq!(detail(["--once", &target]), "refused");
}

#[test]
fn a_unix_socket_whose_queue_is_full_ends_in_time() {
    let folder = scratch();
    let path = folder.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let mut held = Vec::new();
    while held.len() < 10_000 {
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Unix,
            nix::sys::socket::SockType::Stream,
            nix::sys::socket::SockFlag::SOCK_NONBLOCK,
            None,
        )
        .unwrap();
        let address = nix::sys::socket::UnixAddr::new(&path).unwrap();
        use std::os::fd::AsRawFd as _;
        if nix::sys::socket::connect(socket.as_raw_fd(), &address).is_err() {
            break;
        }
        held.push(socket);
    }
    let target = format!("unix://{}", path.display());
    let ran = waithealth(["--once", "-a", "0.3", &target])
        .run()
        .expect_code(1);
    assert!(ran.elapsed < Duration::from_secs(5), "{:?}", ran.elapsed);
}

#[test]
fn a_file_that_appears() {
    let folder = scratch();
    let path = folder.path().join("ready");
    let target = format!("file://{}", path.display());
    assert_eq!(detail(["--once", &target]), "absent");
    let later = path.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        fs::write(later, "").unwrap();
    });
    waithealth(["-t", "20", &target]).run().expect_code(0);
}

#[test]
fn a_command_and_its_exit_code() {
    waithealth(["--once", "exec:true && test 1 = 1"])
        .run()
        .expect_code(0);
    assert_eq!(detail(["--once", "exec:exit 3"]), "exit 3");
    assert_eq!(detail(["--once", "exec:kill -TERM $$"]), "ended by TERM");
    let ran = waithealth(["--once", "exec:echo not ours; echo nor this >&2; exit 1"]).run();
    assert!(
        !ran.stdout.contains("\nnot ours") && !ran.stderr.contains("nor this"),
        "{ran:?}"
    );
}

#[test]
fn a_command_that_hangs_is_ended_with_its_children() {
    let folder = scratch();
    let path = folder.path().join("pid");
    let target = format!(
        "exec:sh -c 'echo $$ > \"{}\"; exec sleep 1000'; true",
        path.display()
    );
    let ran = waithealth(["--once", "-a", "0.5", &target])
        .run()
        .expect_code(1);
    assert!(
        ran.records()[0][4].starts_with("no answer in 0.5"),
        "{}",
        ran.stdout
    );
    let pid: i64 = fs::read_to_string(&path).unwrap().trim().parse().unwrap();
    wait_until("the command's child is gone", || {
        testkit::process::gone(pid)
    });
}

#[test]
fn a_server_is_seen_soon_after_it_is_ready() {
    let port = refused();
    let ready = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let since = std::time::Instant::now();
        let _first = listener.accept().unwrap();
        since.elapsed()
    });
    waithealth([&format!(":{port}")[..]]).run().expect_code(0);
    // 1 % of 0.7 s are 7 ms; the machine may be loaded.
    let late = ready.join().unwrap();
    assert!(late < Duration::from_millis(300), "{late:?}");
}

#[test]
fn a_database_that_redirects_to_http_is_none() {
    let port = answers(response("200 OK", ""));
    for scheme in ["postgres", "redis", "mysql", "mongodb"] {
        let target = format!("{scheme}://127.0.0.1:{port}");
        waithealth(["--once", "-a", "0.5", &target])
            .run()
            .expect_code(1);
    }
    waithealth(["--once", &url(port)]).run().expect_code(0);
}
