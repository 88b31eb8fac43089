//! Servers of every kind, as a few lines of Python each.

use std::path::PathBuf;

use testkit::{Ran, Running, Tool, wait_until};

/// What the servers' own lines stand on.
const PRELUDE: &str = r"
import ctypes, os, signal, socket, subprocess, sys, threading, time

def bound(port=8000, address='', reuse=True, share=False, only6=True, kind=socket.SOCK_STREAM):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    s = socket.socket(family, kind)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
    s.bind((address, port))
    return s

def listener(*words, **more):
    s = bound(*words, **more)
    s.listen()
    return s

def name(text):
    with open('/proc/self/comm', 'wb') as comm:
        comm.write(text)

def ready():
    print('ready', flush=True)

def forever():
    while True:
        time.sleep(1000)

def ignore(*signals):
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
";

/// Python itself, not a wrapper that would stand between us and it.
pub(crate) fn python() -> PathBuf {
    let usual = PathBuf::from("/usr/bin/python3");
    if usual.exists() {
        usual
    } else {
        "python3".into()
    }
}

/// A script of these lines, about to be run.
pub(crate) fn script(lines: &str) -> Tool {
    Tool::at(python()).args(["-u", "-c", &format!("{PRELUDE}{lines}")])
}

/// Runs these lines, and `ready(); forever()`, as a server, and waits until it is ready.
pub(crate) fn serve(lines: &str) -> Running {
    await_ready(Running::start(script(&format!(
        "{lines}\nready()\nforever()\n"
    ))))
}

/// Waits until the script said that it is ready.
pub(crate) fn await_ready(server: Running) -> Running {
    wait_until("the server is ready", || {
        let output = server.output();
        assert!(!output.contains("Traceback"), "{output}");
        output.contains("ready\n")
    });
    server
}

/// portfree with these arguments.
pub(crate) fn tool(arguments: &[&str]) -> Tool {
    Tool::at(env!("CARGO_BIN_EXE_portfree")).args(arguments)
}

/// Runs portfree to its end.
pub(crate) fn portfree(arguments: &[&str]) -> Ran {
    tool(arguments).run()
}

/// Whether a server could start on this port now: on both families, as servers do.
pub(crate) fn can_start(port: u16) -> bool {
    let lines = format!("listener({port})\nlistener({port}, '::')\n");
    script(&lines).run().code() == Some(0)
}

/// The PID in a record's or a message's text.
pub(crate) fn pid(running: &Running) -> String {
    running.pid().to_string()
}
