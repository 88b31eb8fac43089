//! MongoDB: `hello`, and what the server says it is.
//!
//! Protocol: mongodb.com/docs/manual/reference/mongodb-wire-protocol (OP_MSG), bsonspec.org, and
//! reference/command/hello. `hello` needs no login, and is answered while a member of a replica
//! set is still starting up or recovering: then it is neither primary nor secondary.

use std::io::{self, Read, Write};

use crate::answer::Answer;

/// No reply to `hello` is longer; what is, is no MongoDB.
const MESSAGE_MAX: usize = 1024 * 1024;
const HEADER: usize = 16;
const OP_MSG: i32 = 2013;
/// "no such command": servers before 4.4.2 know `isMaster` alone.
const COMMAND_NOT_FOUND: f64 = 59.0;

/// Asks the server what it is.
pub(super) fn speak(mut wire: impl Read + Write) -> Answer {
    talk(&mut wire).unwrap_or_else(|error| Answer::from_io(&error))
}

fn talk(wire: &mut (impl Read + Write)) -> io::Result<Answer> {
    let mut reply = ask(wire, b"hello")?;
    if let Some(Reply {
        code, ok: false, ..
    }) = &reply
    {
        if *code == Some(COMMAND_NOT_FOUND) {
            reply = ask(wire, b"isMaster")?;
        }
    }
    Ok(reply.map_or_else(|| Answer::unhealthy("no MongoDB"), |reply| reply.judge()))
}

fn ask(wire: &mut (impl Read + Write), command: &[u8]) -> io::Result<Option<Reply>> {
    wire.write_all(&message(command))?;
    let mut head = [0; HEADER];
    wire.read_exact(&mut head)?;
    let number =
        |at: usize| i32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = usize::try_from(number(0)).unwrap_or_default();
    if number(12) != OP_MSG || !(HEADER..=MESSAGE_MAX).contains(&length) {
        return Ok(None);
    }
    let mut body = vec![0; length - HEADER];
    wire.read_exact(&mut body)?;
    // Four bytes of flags, then a section of kind 0, which is one document.
    Ok(body
        .get(4..)
        .and_then(|section| section.strip_prefix(&[0]))
        .and_then(Reply::read))
}

/// `{COMMAND: 1, $db: "admin"}` as an OP_MSG.
fn message(command: &[u8]) -> Vec<u8> {
    let mut elements = vec![0x10];
    elements.extend(command);
    elements.push(0);
    elements.extend(1_i32.to_le_bytes());
    elements.extend(b"\x02$db\0\x06\0\0\0admin\0");
    let size = |extra: usize| {
        i32::try_from(elements.len() + extra)
            .unwrap_or_default()
            .to_le_bytes()
    };
    // The document's size, its end, the flags, the section's kind, the header.
    let head = [
        size(4 + 1 + 4 + 1 + HEADER),
        1_i32.to_le_bytes(),
        [0; 4],
        OP_MSG.to_le_bytes(),
    ]
    .concat();
    [&head[..], &[0; 4], &[0], &size(4 + 1), &elements, &[0]].concat()
}

/// What matters of a reply.
#[derive(Debug, Default)]
struct Reply {
    ok: bool,
    code: Option<f64>,
    error: String,
    mongos: bool,
    writable: bool,
    secondary: bool,
    arbiter: bool,
    uninitialised: bool,
}

impl Reply {
    /// Reads the document; `None` for what is none.
    fn read(document: &[u8]) -> Option<Self> {
        let size = usize::try_from(i32::from_le_bytes(document.first_chunk().copied()?)).ok()?;
        let mut rest = document.get(4..size)?;
        let mut reply = Self::default();
        while let Some((kind, name, value)) = element(&mut rest)? {
            let truth = number(kind, value) == Some(1.0);
            match name {
                b"ok" => reply.ok = truth,
                b"code" => reply.code = number(kind, value),
                b"errmsg" => reply.error = text(value),
                b"msg" => reply.mongos = text(value) == "isdbgrid",
                b"isWritablePrimary" | b"ismaster" => reply.writable |= truth,
                b"secondary" => reply.secondary = truth,
                b"arbiterOnly" => reply.arbiter = truth,
                b"isreplicaset" => reply.uninitialised = truth,
                _ => {}
            }
        }
        Some(reply)
    }

    fn judge(&self) -> Answer {
        match self {
            Self {
                ok: false, error, ..
            } => Answer::unhealthy(error.as_str()),
            Self { mongos: true, .. } => Answer::healthy("mongos"),
            Self { writable: true, .. } => Answer::healthy("writable"),
            Self {
                secondary: true, ..
            } => Answer::healthy("secondary"),
            Self { arbiter: true, .. } => Answer::unhealthy("arbiter"),
            Self {
                uninitialised: true,
                ..
            } => Answer::unhealthy("replica set is not initialised"),
            _ => Answer::unhealthy("starting up or recovering"),
        }
    }
}

/// Takes the next element off a document's rest: its type, name and value. `Some(None)` is the
/// document's end, `None` something that is no BSON.
#[allow(clippy::type_complexity)]
fn element<'a>(rest: &mut &'a [u8]) -> Option<Option<(u8, &'a [u8], &'a [u8])>> {
    let (&kind, tail) = rest.split_first()?;
    if kind == 0 {
        return Some(None);
    }
    let end = tail.iter().position(|&byte| byte == 0)?;
    let (name, tail) = (&tail[..end], &tail[end + 1..]);
    let prefix = || {
        tail.first_chunk()
            .map(|four| u32::from_le_bytes(*four) as usize)
    };
    let length = match kind {
        0x06 | 0x0a | 0x7f | 0xff => 0,
        0x08 => 1,
        0x10 => 4,
        0x01 | 0x09 | 0x11 | 0x12 => 8,
        0x07 => 12,
        0x13 => 16,
        // A text counts its bytes after the count, a document all of its own.
        0x02 | 0x0d | 0x0e => prefix()?.checked_add(4)?,
        0x05 => prefix()?.checked_add(5)?,
        0x03 | 0x04 | 0x0f => prefix()?,
        _ => return None,
    };
    let value = tail.get(..length)?;
    *rest = &tail[length..];
    Some(Some((kind, name, value)))
}

/// A number or truth value as a number.
fn number(kind: u8, value: &[u8]) -> Option<f64> {
    match kind {
        0x01 => value.first_chunk().map(|eight| f64::from_le_bytes(*eight)),
        0x08 => value.first().map(|&byte| f64::from(byte)),
        0x10 => value
            .first_chunk()
            .map(|four| f64::from(i32::from_le_bytes(*four))),
        0x12 => {
            let eight = i64::from_le_bytes(value.first_chunk().copied()?);
            i32::try_from(eight).ok().map(f64::from)
        }
        _ => None,
    }
}

/// A text without its count and NUL.
fn text(value: &[u8]) -> String {
    let text = value.get(4..).unwrap_or_default();
    String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Health;
    use proptest::prelude::*;

    /// A document of these elements, as they stand in one.
    fn document(elements: &[u8]) -> Vec<u8> {
        let size = i32::try_from(elements.len() + 5).unwrap();
        [&size.to_le_bytes()[..], elements, &[0]].concat()
    }

    #[test]
    fn what_a_server_says_it_is() {
        for (elements, health) in [
            (&b"\x08isWritablePrimary\0\x01"[..], Health::Healthy),
            (b"\x08secondary\0\x01", Health::Healthy),
            (b"\x02msg\0\x09\0\0\0isdbgrid\0", Health::Healthy),
            (b"\x08arbiterOnly\0\x01", Health::Unhealthy),
            (b"\x08isreplicaset\0\x01", Health::Unhealthy),
            (
                b"\x08isWritablePrimary\0\0\x08secondary\0\0",
                Health::Unhealthy,
            ),
        ] {
            let ok = b"\x10ok\0\x01\0\0\0";
            let reply = Reply::read(&document(&[elements, ok].concat())).unwrap();
            assert_eq!(reply.judge().health, health, "{reply:?}");
            let reply = Reply::read(&document(elements)).unwrap();
            assert_eq!(reply.judge().health, Health::Unhealthy, "without ok");
        }
    }

    proptest! {
        #[test]
        fn no_document_makes_the_reader_panic(
            bytes: Vec<u8>, kind in 0_u8..0x14, length: u32, name in "[a-z]{0,4}",
        ) {
            let near = [&[kind][..], name.as_bytes(), &[0], &length.to_le_bytes(), &bytes].concat();
            for bytes in [&bytes[..], &document(&bytes), &document(&near)] {
                if let Some(reply) = Reply::read(bytes) {
                    let _ = reply.judge();
                }
            }
        }
    }
}
