//! The first free port.

use testkit::{in_namespace, needs};

use crate::server::{portfree, serve};

#[test]
fn the_first_free_port_at_or_above() {
    needs!("python3");
    in_namespace!();
    portfree(&["--next", "8000"])
        .expect_code(0)
        .expect_stdout("8000\n")
        .expect_stderr("");
    let _servers = serve("s = [listener(8000), listener(8001, '::1'), bound(8002)]");
    portfree(&["--next", "8000"])
        .expect_code(0)
        .expect_stdout("8003\n");
    portfree(&["--next", "8000/udp"])
        .expect_code(0)
        .expect_stdout("8000\n");
    portfree(&["--next", "127.0.0.1:8001"])
        .expect_code(0)
        .expect_stdout("8001\n");
    let ran = portfree(&["--next", "--json", "8000"]).expect_code(0);
    assert_eq!(ran.json()[0]["port"], 8003);
}

#[test]
fn a_range_is_not_left() {
    needs!("python3");
    in_namespace!();
    let _servers = serve("s = [listener(8000), listener(8001)]");
    portfree(&["--next", "8000-8002"])
        .expect_code(0)
        .expect_stdout("8002\n");
    portfree(&["--next", "8000-8001"])
        .expect_code(1)
        .expect_stdout("")
        .expect_words("8000-8001/tcp: no port is free");
}

#[test]
fn the_last_port_of_all() {
    needs!("python3");
    in_namespace!();
    portfree(&["--next", "65535"])
        .expect_code(0)
        .expect_stdout("65535\n");
    let _server = serve("s = listener(65535)");
    portfree(&["--next", "65535"])
        .expect_code(1)
        .expect_stdout("");
    portfree(&["--next", "65534"])
        .expect_code(0)
        .expect_stdout("65534\n");
}

#[test]
fn reserved_ports_are_passed_over() {
    in_namespace!();
    let setting = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    if let Err(error) = std::fs::write(setting, "8000,8002-8010") {
        return testkit::needs::skip(&format!("needs to set reserved ports: {error}"));
    }
    portfree(&["--next", "8000"])
        .expect_code(0)
        .expect_stdout("8001\n");
    portfree(&["--next", "8002"])
        .expect_code(0)
        .expect_stdout("8011\n");
    portfree(&["--next", "8002-8010"]).expect_code(1);
}

#[test]
fn the_ephemeral_range_is_entered_with_a_word() {
    needs!("python3");
    in_namespace!();
    if let Err(error) = std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 50000") {
        return testkit::needs::skip(&format!("needs to set the ephemeral range: {error}"));
    }
    let _server = serve("s = listener(39999)");
    portfree(&["--next", "39999"])
        .expect_code(0)
        .expect_stdout("40000\n")
        .expect_words("ephemeral ports (40000-50000)");
    portfree(&["--next", "39998"])
        .expect_code(0)
        .expect_stderr("");
    // Who begins there knows.
    portfree(&["--next", "40001"])
        .expect_code(0)
        .expect_stderr("");
}

#[test]
fn two_ports_are_two() {
    in_namespace!();
    portfree(&["--next", "8000", "8000"])
        .expect_code(0)
        .expect_stdout("8000\n8001\n");
}

#[test]
fn a_client_in_the_way_is_passed_over() {
    needs!("python3");
    in_namespace!();
    let _server = serve("s = listener(9000)");
    let _client = serve(
        "c = bound(8000, '127.0.0.1', reuse=False)
c.connect(('127.0.0.1', 9000))",
    );
    portfree(&["--next", "8000"])
        .expect_code(0)
        .expect_stdout("8001\n");
}
