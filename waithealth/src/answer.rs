//! What one attempt at a target heard.

use std::io;
use std::time::Duration;

use treekill::exec::os_words;

/// How a target stands after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It passes everything that was asked for.
    Healthy,
    /// Nobody is there: the connection is refused, the file or socket is absent.
    Refused,
    /// It said something else, or it is unknown whether anybody is there.
    Unhealthy,
    /// It said nothing within the attempt's time.
    Unanswered,
}

/// What an attempt heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// How the target stands.
    pub health: Health,
    /// The same in a few words, as the record carries it; not escaped yet.
    pub detail: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// What `--print` prints of the body.
    pub printed: Option<String>,
}

impl Answer {
    fn new(health: Health, detail: impl Into<String>) -> Self {
        Self {
            health,
            detail: detail.into(),
            status: None,
            printed: None,
        }
    }

    /// A healthy target.
    pub(crate) fn healthy(detail: impl Into<String>) -> Self {
        Self::new(Health::Healthy, detail)
    }

    /// Nobody is there.
    pub(crate) fn refused(detail: impl Into<String>) -> Self {
        Self::new(Health::Refused, detail)
    }

    /// A target that is not healthy.
    pub(crate) fn unhealthy(detail: impl Into<String>) -> Self {
        Self::new(Health::Unhealthy, detail)
    }

    /// Silence until the end of the attempt, which is filled in by [`Answer::after`].
    pub(crate) fn silence() -> Self {
        Self::new(Health::Unanswered, "no answer")
    }

    /// The start of an answer, and then no more of it until the end of the attempt.
    pub(crate) fn unfinished() -> Self {
        Self::new(Health::Unanswered, "no complete answer")
    }

    /// A name server that said nothing until the end of the attempt.
    pub(crate) fn unresolved() -> Self {
        Self::new(Health::Unanswered, "no answer from the name server")
    }

    /// The same with the HTTP status that came with it.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// Silence, with the time that it lasted.
    pub(crate) fn after(mut self, waited: Duration) -> Self {
        if self.health == Health::Unanswered {
            self.detail = format!("{} in {}", self.detail, in_words(waited));
        }
        self
    }

    /// What a failure to connect, read or write says about the target.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::silence(),
            io::ErrorKind::ConnectionRefused => Self::refused("refused"),
            io::ErrorKind::ConnectionReset => Self::unhealthy("reset"),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                Self::unhealthy("closed without an answer")
            }
            _ => Self::unhealthy(os_words(error).to_lowercase()),
        }
    }
}

/// A length of time for people: `5s`, `0.25s`, `1h` stays `3600s`.
pub(crate) fn in_words(length: Duration) -> String {
    // Rounded to 10 ms: an attempt never ends to the microsecond.
    let hundredths = (length.as_millis() + 5) / 10;
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_as_they_were_written() {
        for (millis, text) in [
            (5_000, "5s"),
            (250, "0.25s"),
            (300_000, "300s"),
            (1_503, "1.5s"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn only_silence_has_a_length() {
        let second = Duration::from_secs(1);
        assert_eq!(Answer::silence().after(second).detail, "no answer in 1s");
        assert_eq!(Answer::refused("refused").after(second).detail, "refused");
    }
}
