//! A small HTTP server with worker processes, such as gunicorn is: for `scripts/demo.sh` and the
//! end-to-end tests.
//!
//! `demo-server PORT [WORKERS]` binds the port, hands the listening socket to its workers as
//! their standard input, starts a new worker for each that dies, and on TERM or INT ends them
//! and itself. Workers outlive a server that is killed, and keep the port, as real ones do.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, ExitCode, Stdio, id};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["--worker"] => work(),
        [port] => serve(port, "2"),
        [port, workers] => serve(port, workers),
        _ => Err(io::Error::other("usage: demo-server PORT [WORKERS]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps `workers` workers alive until TERM or INT.
fn serve(port: &str, workers: &str) -> io::Result<()> {
    let number = |text: &str| text.parse().map_err(io::Error::other);
    let listener = TcpListener::bind(("127.0.0.1", number(port)?))?;
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD]);
    signals.thread_block()?;
    let mut team: Vec<Child> = (0..number(workers)?)
        .map(|_| hire(&listener))
        .collect::<io::Result<_>>()?;
    println!(
        "demo-server {} listens on port {port}, {} workers",
        id(),
        team.len()
    );
    while signals.wait()? == Signal::SIGCHLD {
        for worker in &mut team {
            if let Some(status) = worker.try_wait()? {
                println!(
                    "demo-server {}: worker {} ended: {status}",
                    id(),
                    worker.id()
                );
                *worker = hire(&listener)?;
            }
        }
    }
    println!("demo-server {} ends", id());
    for worker in &mut team {
        let pid = i32::try_from(worker.id()).map_err(io::Error::other)?;
        // Not reaped yet, so the number is its own.
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        worker.wait()?;
    }
    Ok(())
}

fn hire(listener: &TcpListener) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg("--worker")
        .stdin(Stdio::from(listener.as_fd().try_clone_to_owned()?))
        .spawn()
}

/// Answers one connection after the other.
fn work() -> io::Result<()> {
    // It was started with the mask of the server.
    SigSet::all().thread_unblock()?;
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    for connection in listener.incoming() {
        // A client that went away is no reason to end.
        let _ = connection.and_then(answer);
    }
    Ok(())
}

fn answer(connection: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(&connection).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The head ends with an empty line; an answer sent before it was read could be lost.
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, kind, body) = match path {
        "/" => (
            "200 OK",
            "text/plain",
            "Hello from five small tools.\n".to_owned(),
        ),
        "/health" => {
            let body = format!("{{\"status\":\"ok\",\"worker\":{}}}\n", id());
            ("200 OK", "application/json", body)
        }
        _ => ("404 Not Found", "text/plain", "not found\n".to_owned()),
    };
    let length = body.len();
    write!(
        &connection,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
