//! Durations as people write them, and deadlines that cannot overflow.

use std::time::{Duration, Instant};

use fundu::{DurationParser, TimeUnit};

/// Longer than anything lives: what `inf` means.
pub const FOREVER: Duration = Duration::MAX;

/// Reads `5`, `5s`, `0.5`, `500ms`, `2m`, `1h30m`, `1d` or `inf`; a bare number is seconds.
///
/// # Errors
/// Says in a few words why the text is no duration: empty, negative, not a number, an unknown
/// unit, or too long to be counted.
pub fn parse(text: &str) -> Result<Duration, String> {
    let is_infinite = text == "inf" || text == "infinity";
    let starts_as_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.starts_with('-') {
        return Err("it is negative".into());
    }
    if !is_infinite && (!starts_as_number || text.contains(char::is_whitespace)) {
        return Err("it is no number".into());
    }
    let units = [
        TimeUnit::MilliSecond,
        TimeUnit::Second,
        TimeUnit::Minute,
        TimeUnit::Hour,
        TimeUnit::Day,
    ];
    let parsed = DurationParser::builder()
        .time_units(&units)
        .default_unit(TimeUnit::Second)
        .parse_multiple(None)
        .disable_exponent()
        .build()
        .parse(text)
        .map_err(|_| {
            "a number with ms, s, m, h or d is wanted, as in 500ms, 5, 1h30m, or inf".to_owned()
        })?;
    let length = Duration::try_from(parsed).map_err(|_| "it is out of range".to_owned())?;
    if length == FOREVER && !is_infinite {
        return Err("it is too long to be counted".into());
    }
    Ok(length)
}

/// A length of time in whole milliseconds, as records carry it.
#[must_use]
pub fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// A point on the monotonic clock after which patience ends; `None` inside is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// The moment `length` from now.
    #[must_use]
    pub fn after(length: Duration) -> Self {
        Self(Instant::now().checked_add(length))
    }

    /// What is left until then: zero once it has passed, [`FOREVER`] when it never comes.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0
            .map_or(FOREVER, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// The earlier of the two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_contract() {
        let ms = Duration::from_millis;
        for (text, length) in [
            ("5", ms(5_000)),
            ("5s", ms(5_000)),
            ("0.5", ms(500)),
            (".5", ms(500)),
            ("500ms", ms(500)),
            ("2m", ms(120_000)),
            ("1h30m", ms(5_400_000)),
            ("1d", ms(86_400_000)),
            ("0", ms(0)),
            ("inf", FOREVER),
        ] {
            assert_eq!(parse(text), Ok(length), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "",
            " ",
            "-1",
            "-0.5s",
            "x",
            "5x",
            "5 s",
            " 5",
            "5S",
            "1M",
            "1y",
            "nan",
            "1e3",
            "+5",
            "s",
            "5,5",
            "1h 30m",
            "99999999999999999999999999",
            "18446744073709551616d",
            "-inf",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn an_infinite_deadline_never_passes() {
        let never = Deadline::after(FOREVER);
        assert!(!never.passed());
        assert_eq!(never.remaining(), FOREVER);
        assert!(Deadline::after(Duration::ZERO).earlier(never).passed());
    }
}
