//! The lines of bash that the tools replace, what the README says of them, and that ours do
//! better in the same place.

// The failure of a helper is the failure of its test.
#![allow(clippy::expect_used)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use testkit::{
    Ran, Running, Tool, bin, free_port, in_namespace, needs, needs_root, process, scratch,
    wait_until,
};

/// Runs a line of shell with our tools on PATH, for at most this long.
fn line(text: &str, deadline: Duration) -> Ran {
    let tools = bin("portfree");
    let folder = tools.parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    Tool::named("timeout")
        .arg(deadline.as_secs().to_string())
        .args(["sh", "-c", text])
        .env("PATH", format!("{folder}:{path}"))
        .run()
}

fn shell(text: &str) -> Ran {
    line(text, Duration::from_secs(30))
}

fn web_server(port: u16) -> Running {
    let server = Running::start(Tool::named("python3").args([
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        &port.to_string(),
    ]));
    wait_until("the server listens", || process::accepts(port));
    server
}

/// A process that holds a connection to the port and would be glad to keep it.
fn client(port: u16) -> Running {
    let program =
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo connected; read -r _ <&3; sleep 1000");
    let client = Running::start(Tool::named("bash").args(["-c", &program]));
    wait_until("the client is connected", || {
        client.output().contains("connected")
    });
    client
}

#[test]
fn lsof_and_kill_hits_the_clients_too() {
    in_namespace!();
    needs!("lsof", "python3");
    let port = free_port();
    for (text, spares) in [
        (format!("lsof -ti:{port} | xargs kill -9"), false),
        (format!("portfree {port}"), true),
    ] {
        let mut server = web_server(port);
        let mut client = client(port);
        shell(&text).expect_code(0);
        assert_ne!(server.wait(), 0);
        assert_eq!(client.ended().is_none(), spares, "{text}");
    }
}

#[test]
fn after_lsof_and_kill_the_port_is_not_free_yet() {
    in_namespace!();
    needs!("lsof");
    // A process with much memory to give back takes its time to die.
    let program = "import socket,sys;m=bytearray(200<<20);s=socket.socket();\
        s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);\
        s.bind(('127.0.0.1',int(sys.argv[1])));s.listen();print('up',flush=True);s.accept()";
    let rounds = |text: &str| {
        (0..10)
            .filter(|_| {
                let port = free_port();
                let server =
                    Running::start(Tool::named("python3").args(["-c", program, &port.to_string()]));
                wait_until("the server listens", || server.output().contains("up"));
                shell(&text.replace("PORT", &port.to_string())).expect_code(0);
                TcpListener::bind(("127.0.0.1", port)).is_err()
            })
            .count()
    };
    assert!(rounds("kill -9 $(lsof -t -sTCP:LISTEN -iTCP:PORT)") > 0);
    assert_eq!(rounds("portfree -g 0 PORT"), 0);
}

#[test]
fn pkill_by_command_line_kills_its_own_shell() {
    in_namespace!();
    needs!("pkill");
    let run = |text: &str| {
        let mut server = Running::start(Tool::named("sleep").args(["54321"]));
        let ran = shell(text);
        server.wait();
        ran
    };
    let old = run("pkill -f 54321; echo stopped");
    assert_eq!(old.stdout, "", "{old:?}");
    let new = run("treekill -q --match 54321; echo stopped");
    assert_eq!(new.stdout, "stopped\n", "{new:?}");
}

#[test]
fn a_number_in_a_file_may_be_a_stranger_by_now() {
    in_namespace!();
    needs_root!();
    let folder = scratch();
    let file = folder.path().join("server.pid");
    for (text, spares) in [("kill $(cat \"$0\")", false), ("treekill -p \"$0\"", true)] {
        let mut server = Running::start(Tool::named("sleep").args(["1000"]));
        let pid = server.pid();
        fs::write(&file, format!("{pid}\n")).expect("a PID file");
        server.signal(nix::sys::signal::Signal::SIGKILL);
        server.wait();
        let written = fs::metadata(&file)
            .and_then(|m| m.modified())
            .expect("its time");
        wait_until("the file is older than the next process", || {
            written
                .elapsed()
                .is_ok_and(|age| age > Duration::from_millis(100))
        });
        // The kernel is asked to give out the same number again.
        let mut stranger = loop {
            fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("root");
            let next = Running::start(Tool::named("sleep").args(["1000"]));
            if next.pid() == pid {
                break next;
            }
        };
        let text = text.replace("\"$0\"", &format!("'{}'", file.display()));
        shell(&text).expect_code(0);
        if spares {
            assert!(stranger.ended().is_none(), "{text}");
        } else {
            assert_eq!(stranger.wait(), 128 + 15, "{text}");
        }
    }
}

#[test]
fn killing_the_parent_leaves_the_workers() {
    in_namespace!();
    needs!("python3");
    let program = "import os,socket,sys,time;s=socket.socket();\
        s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);\
        s.bind(('127.0.0.1',int(sys.argv[1])));s.listen();os.fork();time.sleep(1000)";
    for (text, freed) in [("kill PID", false), ("treekill PID", true)] {
        let port = free_port();
        let mut server =
            Running::start(Tool::named("python3").args(["-c", program, &port.to_string()]));
        wait_until("it has a worker", || {
            !process::children(server.pid()).is_empty()
        });
        shell(&text.replace("PID", &server.pid().to_string())).expect_code(0);
        server.wait();
        assert_eq!(
            TcpListener::bind(("127.0.0.1", port)).is_ok(),
            freed,
            "{text}"
        );
    }
}

#[test]
fn two_starts_are_two_servers_and_the_file_lies() {
    in_namespace!();
    let folder = scratch();
    let file = folder.path().join("server.pid");
    let count = || {
        let servers = process::others();
        servers
            .iter()
            .filter(|seen| seen.cmdline == "sleep 98765")
            .count()
    };
    let old = format!("sleep 98765 >/dev/null & echo $! >'{}'", file.display());
    shell(&old).expect_code(0);
    shell(&old).expect_code(0);
    assert_eq!(count(), 2);
    shell("pkill -9 -f 'sleep 9876[5]'");
    wait_until("both are gone", || count() == 0);
    assert!(file.exists(), "the file still names a server");

    let new = format!("pidlock -d '{}' -- sleep 98765", file.display());
    shell(&new).expect_code(0);
    shell(&new).expect_code(75);
    assert_eq!(count(), 1);
    shell(&format!(
        "treekill -q -p '{0}'; pidlock --status '{0}'",
        file.display()
    ))
    .expect_code(3);
}

#[test]
fn a_loop_of_curl_hangs_and_takes_a_503_for_health() {
    in_namespace!();
    needs!("curl", "python3");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("its address").port();
    let soon = Duration::from_secs(3);
    line(&format!("curl -s http://127.0.0.1:{port}/health"), soon).expect_code(124);
    let ours = format!("waithealth -t 0.5 http://127.0.0.1:{port}/health; test $? = 124");
    line(&ours, Duration::from_secs(30)).expect_code(0);

    let program = "import http.server as h,sys\nclass H(h.BaseHTTPRequestHandler):\n \
        def do_GET(s): s.send_error(503)\nh.HTTPServer(('127.0.0.1',int(sys.argv[1])),H).serve_forever()";
    let port = free_port();
    let server = Running::start(Tool::named("python3").args(["-c", program, &port.to_string()]));
    wait_until("it answers", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    shell(&format!("curl -s http://127.0.0.1:{port}/health")).expect_code(0);
    shell(&format!("waithealth --once http://127.0.0.1:{port}/health")).expect_code(1);
    drop(server);
}

#[test]
fn a_shell_loop_leaves_the_server_when_it_is_stopped() {
    in_namespace!();
    let watched = || {
        let all = process::others();
        all.iter().any(|seen| seen.cmdline == "sleep 98765")
    };
    let old = "while true; do sleep 98765; sleep 5; done";
    let new = format!("exec '{}' -- sleep 98765", bin("procwatch").display());
    for (text, left) in [(old, true), (new.as_str(), false)] {
        let mut watcher = Running::start(Tool::named("sh").args(["-c", text]));
        wait_until("the server runs", watched);
        watcher.signal(nix::sys::signal::Signal::SIGTERM);
        watcher.wait();
        assert_eq!(watched(), left, "{text}");
        shell("pkill -9 -f 'sleep 9876[5]'");
    }
}
