//! `portfree P && server P`, over and over: never "address already in use".

use std::time::Duration;

use testkit::{Namespace, Running, in_namespace, needs};

use crate::server::{await_ready, portfree, script};

const ROUNDS: usize = 200;

/// Starts a server of these lines on port 8000, with a connection to it, frees the port, and
/// starts the next at once.
fn rounds(lines: &str, options: &[&str]) {
    let start = || Running::start(script(&format!("{lines}\nready()\nforever()\n")));
    let mut servers = Vec::new();
    for round in 0..ROUNDS {
        let server = await_ready(start());
        let client = std::net::TcpStream::connect(("127.0.0.1", 8000));
        let freed = portfree(&[options, &["8000"]].concat());
        assert_eq!(freed.code(), Some(0), "round {round}: {freed:?}");
        // A client that is still there keeps the old connections in FIN-WAIT.
        servers.push((client.unwrap(), server));
        if servers.len() > 3 {
            servers.remove(0);
        }
    }
}

fn namespace() -> Namespace {
    Namespace::new().deadline(Duration::from_secs(900))
}

#[test]
fn two_hundred_rounds_with_a_plain_server() {
    needs!("python3");
    in_namespace!(namespace());
    rounds("s = listener(8000)", &[]);
}

#[test]
fn two_hundred_rounds_with_a_pre_forked_server() {
    needs!("python3");
    in_namespace!(namespace());
    rounds(
        "s = listener(8000)
for _ in range(3):
    if os.fork() == 0:
        forever()",
        &[],
    );
}

#[test]
fn two_hundred_rounds_with_a_server_that_ignores_term() {
    needs!("python3");
    in_namespace!(namespace());
    rounds(
        "ignore(signal.SIGTERM)\ns = listener(8000)",
        &["-g", "0.05"],
    );
}
