//! Records on standard output: TAB-separated lines or JSON Lines, never forged, never a panic.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::SystemTime;

/// One field of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Not known: `-` in a line, `null` in JSON.
    Unknown,
    /// Text as the kernel or a person gave it, possibly hostile.
    Text(Vec<u8>),
    /// A whole number; lengths of time are milliseconds.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
}

impl Field {
    /// Text, or unknown where there is none.
    pub fn text(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::Unknown
        } else {
            Self::Text(bytes)
        }
    }

    /// A number, saturating at what JSON readers can hold.
    pub fn number(number: impl TryInto<i64>) -> Self {
        Self::Number(number.try_into().unwrap_or(i64::MAX))
    }

    /// A point in time: RFC 3339 in UTC with milliseconds.
    #[must_use]
    pub fn time(time: SystemTime) -> Self {
        Self::text(rfc3339(time))
    }

    fn plain(&self) -> Cow<'static, str> {
        match self {
            Self::Unknown => "-".into(),
            Self::Text(bytes) => escape(bytes).into(),
            Self::Number(number) => number.to_string().into(),
            Self::Flag(flag) => flag.to_string().into(),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Unknown => "null".into(),
            Self::Text(bytes) => json_text(bytes),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

impl<T: Into<Field>> From<Option<T>> for Field {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Into::into)
    }
}
impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}
impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}
impl From<&[u8]> for Field {
    fn from(text: &[u8]) -> Self {
        Self::text(text)
    }
}
impl From<i32> for Field {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}
impl From<u64> for Field {
    fn from(number: u64) -> Self {
        Self::number(number)
    }
}
impl From<bool> for Field {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
impl From<SystemTime> for Field {
    fn from(time: SystemTime) -> Self {
        Self::time(time)
    }
}

/// One field of a record under its JSON key.
pub type Named = (&'static str, Field);

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Fields separated by one TAB.
    Plain,
    /// One JSON object per line.
    Json,
    /// `--quiet`: no records at all.
    Silent,
}

/// Standard output as a stream of records.
///
/// A closed standard output is remembered and passed over: what the tool does to processes and
/// its verdict do not depend on a reader. Any other failure to write is kept for
/// [`Output::check`].
#[derive(Debug)]
pub struct Output {
    format: Format,
    failure: Option<io::Error>,
}

impl Output {
    /// Standard output in this format.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            failure: None,
        }
    }

    /// The format in force.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Writes one record: the plain fields in their order, or the JSON keys in theirs.
    pub fn record(&mut self, plain: &[Field], json: &[Named]) {
        match self.format {
            Format::Plain => self.line(&plain_line(plain)),
            Format::Json => self.line(&json_line(json)),
            Format::Silent => {}
        }
    }

    /// Writes one record whose plain fields are its first `plain` JSON fields.
    pub fn prefix_record(&mut self, plain: usize, json: &[Named]) {
        let fields: Vec<Field> = json.iter().take(plain).map(|(_, f)| f.clone()).collect();
        self.record(&fields, json);
    }

    /// Writes a line as it stands (a PID alone, help); the caller has escaped what is not its own.
    pub fn line(&mut self, line: &str) {
        if self.failure.is_some() || self.format == Format::Silent {
            return;
        }
        // One write per record: a reader and a `tail -f` never see half of one.
        let result = io::stdout()
            .lock()
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| io::stdout().flush());
        if let Err(error) = result {
            self.failure = Some(error);
        }
    }

    /// Whether all records arrived, for tools whose output is what was asked for.
    ///
    /// # Errors
    /// The first failure to write other than a reader that went away.
    pub fn check(&mut self) -> io::Result<()> {
        match self.failure.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

fn plain_line(fields: &[Field]) -> String {
    let fields: Vec<_> = fields.iter().map(Field::plain).collect();
    fields.join("\t")
}

/// One JSON object of these keys and values, for records that go elsewhere than standard output.
#[must_use]
pub fn json_line(fields: &[Named]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(key, field)| format!("{}:{}", json_text(key.as_bytes()), field.json()))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// Text in which control characters, backslashes and invalid UTF-8 are escapes: `\t`, `\n`,
/// `\r`, `\\`, `\xNN` for each other byte.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                c if c.is_control() => hex(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        hex(&mut out, chunk.invalid());
    }
    out
}

fn hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// A JSON string (RFC 8259): the text itself, with every control character as an escape, DEL
/// and C1 among them, and each byte of invalid UTF-8 as the four characters `\xNN`.
fn json_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        hex(&mut text, chunk.invalid());
    }
    let quoted = serde_json::to_string(&text).unwrap_or_default();
    if !quoted.contains(char::is_control) {
        return quoted;
    }
    let mut out = String::with_capacity(quoted.len() + 8);
    for c in quoted.chars() {
        if c.is_control() {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// RFC 3339 in UTC with milliseconds, as in `2026-11-21T01:13:18.250Z`.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a count of days since 1970-01-01 in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the leap day is the last of its year.
    let from_era = days + 719_468;
    let (era, day_of_era) = (from_era / 146_097, from_era % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn hostile_text_cannot_forge() {
        assert_eq!(escape(b"a\tb\nc\\d\x1b[31m"), "a\\tb\\nc\\\\d\\x1b[31m");
        assert_eq!(escape("\u{9b}2J é".as_bytes()), "\\xc2\\x9b2J é");
        assert_eq!(escape(b"\xff\xfeok"), "\\xff\\xfeok");
        assert_eq!(
            json_text(b"a\tb\x1b\x7f\"\xff"),
            "\"a\\tb\\u001b\\u007f\\\"\\\\xff\""
        );
        assert_eq!(json_text("\u{9b}".as_bytes()), "\"\\u009b\"");
    }

    #[test]
    fn a_record_in_both_formats() {
        let named = [
            ("pid", Field::from(7)),
            ("name", Field::from("x\ty")),
            ("user", Field::Unknown),
        ];
        let plain: Vec<_> = named.iter().map(|(_, f)| f.clone()).collect();
        assert_eq!(plain_line(&plain), "7\tx\\ty\t-");
        assert_eq!(json_line(&named), r#"{"pid":7,"name":"x\ty","user":null}"#);
    }

    #[test]
    fn times_are_rfc3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.250Z"),
            (951_782_400, "2000-02-29T00:00:00.250Z"),
            (1_709_251_199, "2024-02-29T23:59:59.250Z"),
            (4_102_444_800, "2100-01-01T00:00:00.250Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 250);
            assert_eq!(rfc3339(time), text);
        }
    }
}
