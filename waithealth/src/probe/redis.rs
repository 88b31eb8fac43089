//! Redis: PING, and what comes back.
//!
//! Protocol: redis.io/docs/latest/develop/reference/protocol-spec (RESP). A server that still
//! reads its data answers `-LOADING`; one that wants a password, `-NOAUTH`, takes clients.

use std::io::{self, BufRead as _, BufReader, Read, Write};

use crate::answer::Answer;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// No reply to PING is longer.
const LINE_MAX: u64 = 1024;

/// Sends one PING.
pub(super) fn speak(mut wire: impl Read + Write) -> Answer {
    let line = wire.write_all(PING).and_then(|()| first_line(&mut wire));
    match line {
        Ok(Some(line)) => judge(&line),
        Ok(None) => Answer::unhealthy("no Redis"),
        Err(error) => Answer::from_io(&error),
    }
}

/// The first line of the reply without its end; `None` when that does not come.
fn first_line(wire: &mut impl Read) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    BufReader::new(wire.take(LINE_MAX)).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = line.strip_suffix(b"\r\n").map(<[u8]>::to_vec);
    Ok(text.and_then(|text| String::from_utf8(text).ok()))
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

    #[test]
    fn only_the_first_line_counts_however_it_is_cut() {
        let long = [b"-NOAUTH ", &[b'x'; LINE_MAX as usize][..], b"\r\n"].concat();
        for (reply, line) in [
            (&b"+PONG\r\n"[..], Some("+PONG")),
            (b"+PONG\r\n-ERR\r\n", Some("+PONG")),
            (b"+PONG\r\nx", Some("+PONG")),
            (b"+PONG\n", None),
            (b"+PONG", None),
            (&long, None),
        ] {
            for cut in 0..reply.len() {
                let (start, end) = reply.split_at(cut);
                let found = first_line(&mut start.chain(end)).unwrap();
                assert_eq!(found.as_deref(), line, "{reply:?} cut at {cut}");
            }
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
