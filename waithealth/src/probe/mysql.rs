//! MySQL and MariaDB: the server's greeting, answered with a login that it may refuse.
//!
//! Protocol: dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html,
//! mariadb.com/kb/en/connection. A greeting that is not answered counts as a connection error,
//! and after `max_connect_errors` of them the server blocks this host; a refused login does not.

use std::io::{self, Read, Write};

use crate::answer::Answer;

/// No packet of the connection phase is longer; what is, is no MySQL.
const PACKET_MAX: usize = 64 * 1024;
/// How often the server may ask for another way to log in.
const ROUNDS_MAX: usize = 5;

const CLIENT_LONG_PASSWORD: u32 = 1;
const CLIENT_PROTOCOL_41: u32 = 1 << 9;
const CLIENT_SECURE_CONNECTION: u32 = 1 << 15;
const CLIENT_PLUGIN_AUTH: u32 = 1 << 19;
const MAX_PACKET: u32 = 1 << 24;
const UTF8: u8 = 33;
const COM_QUIT: u8 = 1;

/// Logs in as a user that hardly exists, without a password.
pub(super) fn speak(mut wire: impl Read + Write) -> Answer {
    talk(&mut wire).unwrap_or_else(|error| Answer::from_io(&error))
}

fn talk(wire: &mut (impl Read + Write)) -> io::Result<Answer> {
    let no_mysql = || Ok(Answer::unhealthy("no MySQL"));
    let Some((sequence, greeting)) = receive(wire)? else {
        return no_mysql();
    };
    match greeting.first() {
        Some(10) => {}
        Some(0xff) => return Ok(judge(&greeting)),
        _ => return no_mysql(),
    }
    send(wire, sequence.wrapping_add(1), &login(plugin(&greeting)))?;
    for _ in 0..ROUNDS_MAX {
        let Some((sequence, packet)) = receive(wire)? else {
            return no_mysql();
        };
        match packet.first() {
            Some(0x00) => {
                // The verdict is in, whether or not the server still hears this.
                let _ = send(wire, 0, &[COM_QUIT]);
                return Ok(Answer::healthy("ready"));
            }
            Some(0xff) => return Ok(judge(&packet)),
            // Another plugin, or more data for this one: an empty password answers both.
            Some(0xfe | 0x01) => send(wire, sequence.wrapping_add(1), &[])?,
            _ => return no_mysql(),
        }
    }
    no_mysql()
}

/// One packet: its sequence number and payload; `None` for what cannot be one.
fn receive(wire: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 4];
    wire.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
    if length > PACKET_MAX {
        return Ok(None);
    }
    let mut payload = vec![0; length];
    wire.read_exact(&mut payload)?;
    Ok(Some((head[3], payload)))
}

fn send(wire: &mut impl Write, sequence: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len())
        .unwrap_or_default()
        .to_le_bytes();
    wire.write_all(&[&[length[0], length[1], length[2], sequence], payload].concat())
}

/// The plugin that the greeting proposes, which is its last text.
fn plugin(greeting: &[u8]) -> &[u8] {
    let text = greeting.strip_suffix(&[0]).unwrap_or(greeting);
    let start = text
        .iter()
        .rposition(|&byte| byte == 0)
        .map_or(0, |at| at + 1);
    &text[start..]
}

/// HandshakeResponse41.
fn login(plugin: &[u8]) -> Vec<u8> {
    let flags =
        CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH;
    let mut packet = Vec::new();
    packet.extend(flags.to_le_bytes());
    packet.extend(MAX_PACKET.to_le_bytes());
    packet.push(UTF8);
    packet.extend([0; 23]);
    packet.extend(b"waithealth\0");
    packet.push(0); // An empty password has no bytes.
    packet.extend(plugin);
    packet.push(0);
    packet
}

/// Reads an ERR packet: 0xff, the code, `#` and the SQLSTATE where there is one, the message.
fn judge(packet: &[u8]) -> Answer {
    let code = match packet {
        [_, low, high, ..] => u16::from_le_bytes([*low, *high]),
        _ => return Answer::unhealthy("no MySQL"),
    };
    let rest = &packet[3..];
    let (state, message) = match rest.strip_prefix(b"#") {
        Some(rest) if rest.len() >= 5 => rest.split_at(5),
        _ => (&[][..], rest),
    };
    let message = String::from_utf8_lossy(message);
    // Not us, not from here, not this way, not without TLS, not this account: 1044 database,
    // 1130 host, 1251 and 1524 plugin, 1820 and 1862 expired password, 3118 and 4151 locked
    // account, 3159 TLS wanted. Class 28 is a wrong login.
    let about_us = [1044, 1130, 1251, 1524, 1820, 1862, 3118, 3159, 4151].contains(&code);
    if about_us || state.starts_with(b"28") {
        Answer::healthy("refuses our login")
    } else {
        Answer::unhealthy(format!("error {code}: {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Health;
    use proptest::prelude::*;

    #[test]
    fn errors_about_the_server_and_errors_about_us() {
        for (code, rest, health) in [
            (1045_u16, "#28000Access denied", Health::Healthy),
            (1698, "#28000Access denied", Health::Healthy),
            (
                1130,
                "Host '10.0.0.1' is not allowed to connect",
                Health::Healthy,
            ),
            (1040, "#08004Too many connections", Health::Unhealthy),
            (1129, "Host is blocked", Health::Unhealthy),
            (1053, "#08S01Server shutdown in progress", Health::Unhealthy),
        ] {
            let packet = [&[0xff][..], &code.to_le_bytes(), rest.as_bytes()].concat();
            assert_eq!(judge(&packet).health, health, "{code}");
        }
        assert_eq!(judge(&[0xff]).health, Health::Unhealthy);
    }

    #[test]
    fn the_plugin_is_the_last_text_of_the_greeting() {
        assert_eq!(
            plugin(b"\x0a8.0\0xxxx\0mysql_native_password\0"),
            b"mysql_native_password"
        );
        assert_eq!(plugin(b""), b"");
    }

    proptest! {
        #[test]
        fn no_packet_makes_the_reader_panic(packet: Vec<u8>, code: [u8; 2]) {
            let _ = judge(&packet);
            let _ = judge(&[&[0xff][..], &code, b"#", &packet].concat());
            prop_assert!(packet.ends_with(plugin(&packet)) || packet.ends_with(&[0]));
        }
    }
}
