//! Servers of any behaviour, and running waithealth.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use testkit::Tool;

/// waithealth with these arguments.
pub(crate) fn waithealth<'a>(arguments: impl AsRef<[&'a str]>) -> Tool {
    Tool::at(env!("CARGO_BIN_EXE_waithealth")).args(arguments.as_ref())
}

/// A server on a port of 127.0.0.1 that treats each connection so, in a thread of its own.
pub(crate) fn server(behaviour: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    server_on("127.0.0.1:0", behaviour)
}

/// The same at this address.
pub(crate) fn server_on(
    address: &str,
    behaviour: impl Fn(TcpStream) + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    let behaviour = Arc::new(behaviour);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behaviour = Arc::clone(&behaviour);
            thread::spawn(move || behaviour(stream));
        }
    });
    port
}

/// An HTTP server that always answers this, as it stands.
pub(crate) fn answers(text: impl Into<Vec<u8>>) -> u16 {
    let text = text.into();
    server(move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(&text);
        close(&stream);
    })
}

/// A server that says this to everybody without being asked.
pub(crate) fn says(text: impl Into<Vec<u8>>) -> u16 {
    let text = text.into();
    server(move |mut stream| {
        let _ = stream.write_all(&text);
        close(&stream);
    })
}

/// An answer with this status line and body.
pub(crate) fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Reads a request's head.
pub(crate) fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Ends our side, and listens until the other side has ended too.
pub(crate) fn close(mut stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut rest = [0; 4096];
    while stream.read(&mut rest).is_ok_and(|amount| amount > 0) {}
}

/// Keeps a connection open without a word.
pub(crate) fn silence(stream: &TcpStream) {
    let _ = stream;
    thread::sleep(Duration::from_secs(100));
}

/// A port of 127.0.0.1 and ::1 where nobody listens.
pub(crate) fn refused() -> u16 {
    testkit::free_port()
}

/// The URL of a port on 127.0.0.1.
pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/health")
}

/// Runs waithealth and returns its first record's detail.
pub(crate) fn detail<'a>(arguments: impl AsRef<[&'a str]>) -> String {
    let ran = waithealth(arguments).run();
    let records = ran.records();
    let field = |at: usize| records.first().and_then(|record| record.get(at));
    field(4).map_or_else(
        || panic!("no record: {}", ran.stderr),
        |text| (*text).to_owned(),
    )
}
