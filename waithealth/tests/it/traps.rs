//! What fools or hangs others: each attempt ends within its time and in bounded memory.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use testkit::{Running, in_namespace, needs, wait_until};

use crate::kit::{
    answers, close, detail, request, response, says, server, server_on, silence, url, waithealth,
};

/// Runs one attempt of half a second at this server and expects it to be over in time.
fn ends_in_time(options: &[&str], port: u16) -> String {
    let url = url(port);
    let all: Vec<&str> = [&["--once", "-a", "0.5", &url][..], options].concat();
    let ran = waithealth(&all).run().expect_code(1);
    assert!(ran.elapsed < Duration::from_secs(5), "{:?}", ran.elapsed);
    ran.records()[0][4].to_owned()
}

fn drip(stream: &mut TcpStream, text: &[u8]) {
    while stream.write_all(text).is_ok() {
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing() {
    let port = server(|stream| silence(&stream));
    assert!(ends_in_time(&[], port).starts_with("no answer in 0.5"));
    for scheme in ["postgres", "redis", "mysql", "mongodb"] {
        let target = format!("{scheme}://127.0.0.1:{port}");
        let ran = waithealth(["--once", "-a", "0.3", &target])
            .run()
            .expect_code(1);
        assert!(
            ran.records()[0][4].starts_with("no answer in 0.3"),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn a_server_whose_queue_is_full() {
    // Nobody accepts, and the kernel takes no more connections for it.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let patience = Duration::from_millis(100);
    let mut held = Vec::new();
    while held.len() < 10_000 {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => held.push(stream),
            Err(_) => break,
        }
    }
    assert!(ends_in_time(&[], address.port()).starts_with("no answer in 0.5"));
}

#[test]
fn a_header_that_drips() {
    let port = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        drip(&mut stream, b"X");
    });
    assert!(ends_in_time(&[], port).starts_with("no answer in 0.5"));
}

#[test]
fn a_body_that_drips() {
    let port = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        drip(&mut stream, b"x");
    });
    assert!(ends_in_time(&["--body", "y"], port).starts_with("no complete answer in 0.5"));
}

#[test]
fn interim_answers_without_end() {
    let port = server(|mut stream| {
        request(&mut stream);
        while stream
            .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            .is_ok()
        {}
    });
    ends_in_time(&[], port);
}

/// The most memory that waithealth had while it waited, in KB (VmHWM of proc_pid_status(5)).
fn peak_memory(options: &[&str], port: u16) -> u64 {
    let url = url(port);
    let all: Vec<&str> = [&["-t", "2", &url][..], options].concat();
    let mut running = Running::start(waithealth(&all));
    let status = format!("/proc/{}/status", running.pid());
    let mut peak = 0;
    wait_until("waithealth ends", || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = number.unwrap_or(0).max(peak);
        running.ended().is_some()
    });
    assert_eq!(running.wait(), 124);
    assert!(peak > 500, "it was seen at all");
    peak
}

/// Its own share: a debug build that is not static begins with some MB.
fn grows_little(options: &[&str], port: u16) {
    let silent = peak_memory(&[], server(|stream| silence(&stream)));
    let peak = peak_memory(options, port);
    assert!(
        peak < silent + 5_000,
        "{silent} KB when nothing comes, {peak} KB here"
    );
}

#[test]
fn an_endless_body_costs_no_memory() {
    let port = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    grows_little(&["--body", "y"], port);
    assert_eq!(
        detail(["--once", "--body", "y", &url(port)]),
        "body is longer than 1 MiB"
    );
}

#[test]
fn an_endless_header_costs_no_memory() {
    let port = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(b"X-Header: and one more of them, without an end\r\n")
            .is_ok()
        {}
    });
    grows_little(&[], port);
    let endless_line = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    grows_little(&[], endless_line);
    assert_eq!(detail(["--once", &url(endless_line)]), "endless header");
}

#[test]
fn an_endless_size_of_a_chunk_costs_no_memory() {
    let port = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    grows_little(&["--body", "y"], port);
    assert_eq!(
        detail(["--once", "--body", "y", &url(port)]),
        "body is cut short"
    );
}

#[test]
fn a_megabyte_of_small_json_values_costs_no_more_than_itself() {
    let body = format!("{{\"list\":[{}0],\"ok\":true}}", "0,".repeat(500_000));
    let port = answers(response("503 No", &body));
    grows_little(&["--code", "503", "--field", "ok=false"], port);
    assert_eq!(
        detail(["--once", "--code", "503", "--field", "ok", &url(port)]),
        "503"
    );
}

#[test]
fn a_redirect_loop() {
    let port = server(|mut stream| {
        request(&mut stream);
        let _ = stream
            .write_all(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n");
        close(&stream);
    });
    assert_eq!(
        detail(["--once", "-L", &url(port)]),
        "more than 10 redirects"
    );
}

#[test]
fn a_reset_is_not_healthy() {
    let port = server(|stream| {
        let reset = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &reset).unwrap();
    });
    for target in [url(port), format!("redis://127.0.0.1:{port}")] {
        waithealth(["--once", &target]).run().expect_code(1);
    }
}

#[test]
fn a_body_that_is_cut_short_fails() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ok\":true}";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"ok\":true}\r\n";
    for text in [length, chunked] {
        let url = url(answers(text));
        assert_eq!(
            detail(["--once", "--field", "ok", &url]),
            "body is cut short"
        );
        waithealth(["--once", &url]).run().expect_code(0);
    }
    let whole = format!("{chunked}0\r\n\r\n");
    waithealth(["--once", "--field", "ok", &url(answers(whole))])
        .run()
        .expect_code(0);
}

#[test]
fn garbage_is_not_healthy() {
    let zeros = vec![0; 100_000];
    let garbage: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n".to_vec(),
        b"220 mail.example ESMTP\r\n".to_vec(),
        b"HTTP/1.1\r\n\r\n".to_vec(),
        b"HTTP/1.1 999999 X\r\n\r\n".to_vec(),
        b"HTTP/1.1 abc\r\n\r\n".to_vec(),
        b"HTTP/9.9 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\n\xff\xfe: \x00\r\n\r\n".to_vec(),
        b"\x15\x03\x01\x00\x02\x02\x46".to_vec(),
        b"<html>200 OK</html>".to_vec(),
        (0..=255).cycle().take(70_000).collect(),
        zeros,
    ];
    for text in garbage {
        let port = says(text.clone());
        let start = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
        for target in [
            url(port),
            format!("https://127.0.0.1:{port}/"),
            format!("postgres://127.0.0.1:{port}"),
            format!("redis://127.0.0.1:{port}"),
            format!("mysql://127.0.0.1:{port}"),
            format!("mongodb://127.0.0.1:{port}"),
        ] {
            let ran = waithealth(["--once", "-a", "1", &target]).run();
            assert_eq!(
                ran.code(),
                Some(1),
                "{start:?} at {target}: {}{}",
                ran.stdout,
                ran.stderr
            );
        }
    }
}

#[test]
fn proxies_in_the_environment_are_ignored() {
    let good = url(answers(response("200 OK", "")));
    let proxy = url(server(|stream| silence(&stream)));
    let mut tool = waithealth(["--once", &good]);
    for variable in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        tool = tool.env(variable, &proxy);
    }
    tool.run().expect_code(0);
    for nonsense in ["", ":::", "http://", "socks5://x:y"] {
        waithealth(["--once", &good])
            .env("http_proxy", nonsense)
            .env("ALL_PROXY", nonsense)
            .run()
            .expect_code(0);
    }
}

#[test]
fn localhost_is_found_on_one_family_only_and_without_a_resolver() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let port = server_on(address, |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(response("200 OK", "").as_bytes());
            close(&stream);
        });
        waithealth(["--once", &format!("http://localhost:{port}/")])
            .run()
            .expect_code(0);
        waithealth(["--once", &format!(":{port}")])
            .run()
            .expect_code(0);
        let (good, bad) = if address.starts_with('[') {
            ("-6", "-4")
        } else {
            ("-4", "-6")
        };
        waithealth(["--once", good, &format!("http://localhost:{port}/")])
            .run()
            .expect_code(0);
        waithealth(["--once", bad, &format!("http://localhost:{port}/")])
            .run()
            .expect_code(1);
    }
}

#[test]
fn a_sick_server_on_one_family_does_not_hide_a_healthy_one_on_the_other() {
    let sick = answers(response("503 No", ""));
    let healthy = std::net::TcpListener::bind(("::1", sick)).unwrap();
    std::thread::spawn(move || {
        for mut stream in healthy.incoming().flatten() {
            request(&mut stream);
            let _ = stream.write_all(response("200 OK", "").as_bytes());
        }
    });
    waithealth(["--once", &format!("http://localhost:{sick}/")])
        .run()
        .expect_code(0);
}

#[test]
fn a_silent_server_on_one_family_hides_a_healthy_one_for_one_attempt_only() {
    let silent = server(|stream| silence(&stream));
    let healthy = std::net::TcpListener::bind(("::1", silent)).unwrap();
    std::thread::spawn(move || {
        for mut stream in healthy.incoming().flatten() {
            request(&mut stream);
            let _ = stream.write_all(response("200 OK", "").as_bytes());
        }
    });
    let ran = waithealth(["-a", "0.5", &format!("http://localhost:{silent}/")])
        .run()
        .expect_code(0);
    assert_eq!(ran.records()[0][3], "2");
}

#[test]
fn a_name_that_does_not_resolve_is_waited_for() {
    let ran = waithealth(["-t", "0.4", "http://name.invalid/"])
        .run()
        .expect_code(124);
    assert!(ran.records()[0][4].contains("name"), "{}", ran.stdout);
}

#[test]
fn a_name_server_that_never_answers_holds_nobody_up() {
    in_namespace!();
    needs!("mount");
    // Port 53 of 127.0.0.1: somebody listens, nobody answers.
    let _name_server = std::net::UdpSocket::bind("127.0.0.1:53").unwrap();
    let conf = testkit::scratch();
    let file = conf.path().join("resolv.conf");
    std::fs::write(
        &file,
        "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n",
    )
    .unwrap();
    testkit::Tool::named("mount")
        .args(["--bind"])
        .arg(&file)
        .arg("/etc/resolv.conf")
        .run()
        .expect_code(0);
    let ran = waithealth(["--once", "-a", "0.5", "http://slow.example.org/"])
        .run()
        .expect_code(1);
    assert!(
        ran.records()[0][4].starts_with("no answer from the name server in 0.5"),
        "{}",
        ran.stdout
    );
    assert!(ran.elapsed < Duration::from_secs(5), "{:?}", ran.elapsed);
}

#[test]
fn a_connection_to_itself_is_not_a_server() {
    in_namespace!();
    // With two ports to choose from, the kernel soon takes the one that is asked for as its own.
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").unwrap();
    let ran = waithealth(["-t", "1", "-i", "1ms", "tcp://127.0.0.1:40000"])
        .run()
        .expect_code(124);
    let attempts: u32 = ran.records()[0][3].parse().unwrap();
    assert!(attempts > 50, "{attempts}");
    // And it left nothing behind that would keep a server from the port.
    std::net::TcpListener::bind("127.0.0.1:40000").unwrap();
}
