//! Redis: PING, and what comes back.
//!
//! Protocol: redis.io/docs/latest/develop/reference/protocol-spec (RESP). A server that still
//! reads its data answers `-LOADING`; one that wants a password, `-NOAUTH`, takes clients.

use std::io::{self, Read as _, Write as _};

use crate::answer::Answer;
use crate::wire::Wire;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// No reply to PING is longer.
const LINE_MAX: usize = 1024;

/// Sends one PING.
pub(super) fn speak(mut wire: Wire) -> Answer {
    match talk(&mut wire) {
        Ok(Some(line)) => judge(&line),
        Ok(None) => Answer::unhealthy("no Redis"),
        Err(error) => Answer::from_io(&error),
    }
}

/// The first line of the reply without its end; `None` when that does not come.
fn talk(wire: &mut Wire) -> io::Result<Option<String>> {
    wire.write_all(PING)?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut some = [0; 256];
        match wire.read(&mut some)? {
            0 if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => return Ok(None),
            _ if line.len() > LINE_MAX => return Ok(None),
            amount => line.extend_from_slice(&some[..amount]),
        }
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8(line).ok())
}

fn judge(line: &str) -> Answer {
    let word = line.split(' ').next().unwrap_or_default();
    match word {
        "+PONG" => Answer::healthy("PONG"),
        // It knows clients, only not us.
        "-NOAUTH" | "-NOPERM" | "-DENIED" | "-WRONGPASS" => Answer::healthy("asks for a login"),
        _ => match line.strip_prefix('-') {
            // LOADING, MASTERDOWN, BUSY, MISCONF, "ERR max number of clients reached".
            Some(why) => Answer::unhealthy(why),
            None => Answer::unhealthy("no Redis"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Health;
    use proptest::prelude::*;

    #[test]
    fn replies_to_ping() {
        for (line, health) in [
            ("+PONG", Health::Healthy),
            ("-NOAUTH Authentication required.", Health::Healthy),
            (
                "-DENIED Redis is running in protected mode",
                Health::Healthy,
            ),
            (
                "-LOADING Redis is loading the dataset in memory",
                Health::Unhealthy,
            ),
            ("-MASTERDOWN Link with MASTER is down", Health::Unhealthy),
            ("-ERR max number of clients reached", Health::Unhealthy),
            ("SSH-2.0-OpenSSH_9.2", Health::Unhealthy),
            ("", Health::Unhealthy),
        ] {
            assert_eq!(judge(line).health, health, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_line_is_good_only_as_pong_or_as_a_login(line: String) {
            for line in [line.clone(), format!("-{line}"), format!("+{line}")] {
                let word = line.split(' ').next().unwrap_or_default();
                let good = ["+PONG", "-NOAUTH", "-NOPERM", "-DENIED", "-WRONGPASS"];
                prop_assert_eq!(judge(&line).health == Health::Healthy, good.contains(&word));
            }
        }
    }
}
