//! PostgreSQL: a start-up message, and what the server makes of it.
//!
//! Protocol: postgresql.org/docs/current/protocol-flow.html (Start-up) and protocol-message-formats;
//! error codes: errcodes-appendix. A server that is starting up, shutting down or recovering says
//! so with SQLSTATE 57P03; one that asks who we are takes clients.

use std::io::{self, Read, Write};

use crate::answer::Answer;

/// No message before the first query is longer; what is, is no PostgreSQL.
const MESSAGE_MAX: usize = 64 * 1024;
/// A server sends some 20 messages before it is ready for a query.
const MESSAGES_MAX: usize = 200;
/// Protocol 3.0.
const VERSION: i32 = 3 << 16;
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// Asks for a session that is never used.
pub(super) fn speak(mut wire: impl Read + Write) -> Answer {
    talk(&mut wire).unwrap_or_else(|error| Answer::from_io(&error))
}

fn talk(wire: &mut (impl Read + Write)) -> io::Result<Answer> {
    wire.write_all(&start_up())?;
    for _ in 0..MESSAGES_MAX {
        let (kind, body) = match receive(wire)? {
            Some(message) => message,
            None => return Ok(Answer::unhealthy("no PostgreSQL")),
        };
        match kind {
            // AuthenticationOk: nobody asked, and the rest is still to come.
            b'R' if body.starts_with(&[0, 0, 0, 0]) => {}
            b'R' if body.len() >= 4 => return goodbye(wire, Answer::healthy("asks for a login")),
            b'Z' => return goodbye(wire, Answer::healthy("ready")),
            b'E' => return Ok(judge(&body)),
            b'S' | b'K' | b'N' | b'v' => {}
            _ => break,
        }
    }
    Ok(Answer::unhealthy("no PostgreSQL"))
}

fn start_up() -> Vec<u8> {
    let parameters = b"user\0waithealth\0database\0postgres\0\0";
    let length = i32::try_from(parameters.len() + 8).unwrap_or_default();
    [
        &length.to_be_bytes()[..],
        &VERSION.to_be_bytes(),
        parameters,
    ]
    .concat()
}

/// One message: its kind and body; `None` for what cannot be one.
fn receive(wire: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 5];
    wire.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if !(4..=MESSAGE_MAX).contains(&length) {
        return Ok(None);
    }
    let mut body = vec![0; length - 4];
    wire.read_exact(&mut body)?;
    Ok(Some((head[0], body)))
}

/// Ends the session in order, or the server would log a lost connection.
fn goodbye(wire: &mut impl Write, answer: Answer) -> io::Result<Answer> {
    // The verdict is in, whether or not the server still hears this.
    let _ = wire.write_all(&TERMINATE);
    Ok(answer)
}

/// Reads an ErrorResponse: fields of a letter and a NUL-terminated text.
fn judge(body: &[u8]) -> Answer {
    let field = |letter: u8| {
        let mut fields = body.split(|&byte| byte == 0);
        let found = fields.find(|field| field.first() == Some(&letter));
        String::from_utf8_lossy(found.map_or(&[][..], |field| &field[1..])).into_owned()
    };
    let (code, message) = (field(b'C'), field(b'M'));
    let is_sqlstate = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    if code.len() != 5 || !code.bytes().all(is_sqlstate) {
        return Answer::unhealthy("no PostgreSQL");
    }
    match &code[..2] {
        // No resources, operator's intervention (57P03: cannot connect now), trouble of its own.
        "53" | "57" | "58" | "XX" => Answer::unhealthy(message),
        // Anything else is about us: who we are, what we asked for.
        _ => Answer::healthy(format!("refuses our login: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Health;
    use proptest::prelude::*;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    #[test]
    fn errors_about_the_server_and_errors_about_us() {
        for (code, health) in [
            ("57P03", Health::Unhealthy),
            ("57P01", Health::Unhealthy),
            ("53300", Health::Unhealthy),
            ("28P01", Health::Healthy),
            ("28000", Health::Healthy),
            ("3D000", Health::Healthy),
        ] {
            let body = format!("SFATAL\0VFATAL\0C{code}\0Mthe message\0\0");
            let answer = judge(body.as_bytes());
            assert_eq!(answer.health, health, "{code}");
            assert!(answer.detail.ends_with("the message"), "{answer:?}");
        }
        for body in [&b"\0\0"[..], b"C28\0\0", b"C28p01\0\0", b"C28P0\x94\0\0"] {
            assert_eq!(judge(body).health, Health::Unhealthy, "{body:?}");
        }
    }

    #[test]
    fn a_request_for_a_login_says_which() {
        for (answer, health) in [
            (&b"R\0\0\0\x08\0\0\0\x05"[..], Health::Healthy),
            (b"R\0\0\0\x04", Health::Unhealthy),
        ] {
            let (mut server, wire) = UnixStream::pair().unwrap();
            server.write_all(answer).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
            assert_eq!(speak(wire).health, health, "{answer:?}");
        }
    }

    proptest! {
        #[test]
        fn no_error_response_makes_the_reader_panic(body: Vec<u8>, tail: String) {
            let _ = judge(&body);
            let _ = judge(&[b"SFATAL\0C", &body[..], b"\0M", tail.as_bytes()].concat());
        }

        #[test]
        fn an_error_response_reads_back(code in "[0-9A-Z]{5}", message in "[^\0]{0,40}") {
            let answer = judge(format!("SFATAL\0C{code}\0M{message}\0\0").as_bytes());
            prop_assert!(answer.detail.ends_with(&message), "{answer:?}");
        }
    }
}
