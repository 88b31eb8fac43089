//! What is asked of an HTTP answer.

use std::io::Write as _;
use std::os::unix::net::UnixListener;

use testkit::scratch;

use crate::kit::{answers, close, detail, request, response, server, url, waithealth};

const BODY: &str = r#"{"status":"degraded","checks":{"db":{"ok":true}},"n":3}"#;

#[test]
fn statuses_200_to_299_are_good_and_code_changes_that() {
    for (status, code) in [
        (200, 0),
        (204, 0),
        (299, 0),
        (301, 1),
        (401, 1),
        (404, 1),
        (500, 1),
        (503, 1),
    ] {
        let url = url(answers(response(&format!("{status} Whatever"), "")));
        waithealth(["--once", &url]).run().expect_code(code);
        let ran = waithealth(["--once", "--code", "301,4xx,500-503", &url]).run();
        ran.expect_code(if status < 300 { 1 } else { 0 });
    }
}

#[test]
fn body_and_fields_decide() {
    let url = url(answers(response("200 OK", BODY)));
    for (options, code) in [
        (vec!["--body", "degraded"], 0),
        (vec!["--body", "^ok$"], 1),
        (vec!["--field", "checks.db.ok"], 0),
        (vec!["--field", "/checks/db/ok=true"], 0),
        (vec!["--field", "n=3"], 0),
        (vec!["--field", "status=ok"], 1),
        (vec!["--field", "n", "--field", "missing"], 1),
    ] {
        let all: Vec<&str> = [&["--once", &url][..], &options].concat();
        waithealth(&all).run().expect_code(code);
    }
    assert_eq!(
        detail(["--once", "--field", "status=ok", &url]),
        "field status is \"degraded\""
    );
    assert_eq!(
        detail(["--once", "--body", "^ok$", &url]),
        "body does not match"
    );
}

#[test]
fn print_stands_in_the_place_of_the_record() {
    let url = url(answers(response("200 OK", BODY)));
    waithealth(["--print", "status", &url])
        .run()
        .expect_code(0)
        .expect_stdout("degraded\n");
    waithealth(["--print", ".", &url])
        .run()
        .expect_code(0)
        .expect_stdout(&format!("{BODY}\n"));
    assert_eq!(
        detail(["--once", "--print", "missing", &url]),
        "no field missing"
    );
}

#[test]
fn a_hostile_body_drives_no_terminal() {
    let url = url(answers(response(
        "200 OK",
        "{\"status\":\"a\\u001b[2J\\nb\"}",
    )));
    let ran = waithealth(["--print", "status", &url]).run().expect_code(0);
    assert_eq!(ran.stdout, "a\\x1b[2J\\nb\n");
    let ran = waithealth(["--once", "--field", "status=x", &url]).run();
    assert!(
        !ran.stdout.contains('\x1b') && ran.stdout.lines().count() == 1,
        "{:?}",
        ran.stdout
    );
}

#[test]
fn the_request_is_what_was_asked_for() {
    let port = server(|mut stream| {
        let head = request(&mut stream).to_lowercase();
        let lines: Vec<&str> = head.lines().collect();
        let good = lines[0] == "put /health http/1.1"
            && lines.contains(&"host: other.example")
            && lines.contains(&"x-key: value")
            && lines.contains(&"accept: */*")
            && lines.contains(&"authorization: basic bwu6chc=")
            && head.matches("host:").count() == 1;
        let status = if good { "200 OK" } else { "400 No" };
        let _ = stream.write_all(response(status, &head).as_bytes());
        close(&stream);
    });
    let options = [
        "--once",
        "-X",
        "PUT",
        "-H",
        "Host: other.example",
        "-H",
        "X-Key: value",
    ];
    let url = url(port);
    let all: Vec<&str> = [&options[..], &["--basic-auth", "me:pw", &url]].concat();
    waithealth(&all).run().expect_code(0);
    let with_password = url.replace("://", "://me:pw@");
    let all: Vec<&str> = [&options[..], &[&with_password]].concat();
    let ran = waithealth(&all).run().expect_code(0);
    assert!(
        ran.stdout.starts_with("http://***@127.0.0.1"),
        "{}",
        ran.stdout
    );
}

#[test]
fn urls_and_headers_may_be_long() {
    let long = "x".repeat(40_000);
    let head = format!("HTTP/1.1 200 OK\r\nX: {long}\r\nContent-Length: 4\r\n\r\nlate");
    let port = server(move |mut stream| {
        let asked = request(&mut stream);
        let long = asked.len() > 80_000;
        let _ = stream.write_all(if long {
            head.as_bytes()
        } else {
            b"HTTP/1.1 400 No\r\n\r\n"
        });
        close(&stream);
    });
    let header = format!("Authorization: Bearer {long}");
    let url = format!("{}?{long}", url(port));
    waithealth(["--once", "-H", &header, "--body", "^late$", &url])
        .run()
        .expect_code(0);
}

#[test]
fn passwords_are_never_printed() {
    for target in [
        "http://me:geheim@127.0.0.1:1/",
        "redis://:geheim@127.0.0.1:1",
        "postgres://me:geheim@127.0.0.1:1/db",
        "http://me:geheim@127.0.0.1:x/",
        "nonsense://me:geheim@h",
        "http://me:gehe/im@h/",
    ] {
        for options in [&["-v", "-t", "0"][..], &["--json", "-t", "0"], &["--once"]] {
            let all: Vec<&str> = [options, &[target, "--basic-auth", "x:geheim"]].concat();
            let ran = waithealth(&all).run();
            let said = ran.stdout + &ran.stderr;
            assert!(!said.contains("geheim") && !said.contains("gehe"), "{said}");
        }
    }
}

#[test]
fn a_redirect_is_judged_by_its_status_or_followed() {
    let end = answers(response("200 OK", ""));
    let to = |place: &str| {
        format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
    };
    let start = url(answers(to(&url(end))));
    assert_eq!(detail(["--once", &start]), "302");
    assert_eq!(detail(["--once", "-L", &start]), "200");
    let nowhere = url(answers(to("ftp://127.0.0.1/")));
    waithealth(["--once", "-L", &nowhere]).run().expect_code(1);
    let refused = url(answers(to(&url(crate::kit::refused()))));
    assert_eq!(detail(["--once", "-L", &refused]), "refused");
}

#[test]
fn http_over_a_unix_socket() {
    let folder = scratch();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let amount = std::io::Read::read(&mut stream, &mut head).unwrap_or(0);
            let good = head[..amount].starts_with(b"GET /health?x=1 HTTP/1.1\r\n");
            let status = if good { "200 OK" } else { "404 No" };
            let _ = stream.write_all(response(status, "").as_bytes());
        }
    });
    let path = path.display();
    waithealth(["--once", &format!("http+unix://{path}:/health?x=1")])
        .run()
        .expect_code(0);
    waithealth(["--once", &format!("http://unix:{path}:/health?x=1")])
        .run()
        .expect_code(0);
    assert_eq!(
        detail(["--once", &format!("http+unix://{path}:/other")]),
        "404"
    );
}

#[test]
fn the_body_is_not_waited_for_unless_an_option_asks_for_it() {
    let port = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        crate::kit::silence(&stream);
    });
    let ran = waithealth(["--once", &url(port)]).run().expect_code(0);
    assert!(
        ran.elapsed < std::time::Duration::from_secs(4),
        "{:?}",
        ran.elapsed
    );
    assert!(
        detail(["--once", "-a", "0.3", "--body", "x", &url(port)])
            .starts_with("no complete answer in 0.3")
    );
}
