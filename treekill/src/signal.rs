//! Signals by name and number, as signal(7) lists them.

use std::fmt;
use std::str::FromStr;

use nix::sys::signal::Signal as Named;

/// A signal number that this kernel knows: 1 to 31, or a real-time one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signal(i32);

impl Signal {
    /// SIGTERM, the polite request.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// SIGKILL, which cannot be refused.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// SIGSTOP, which freezes.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// SIGCONT, which thaws.
    pub const CONT: Self = Self(libc::SIGCONT);

    /// The signal with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let known = Named::try_from(number).is_ok()
            || (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number);
        known.then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

impl From<Named> for Signal {
    fn from(named: Named) -> Self {
        Self(named as i32)
    }
}

impl fmt::Display for Signal {
    /// `TERM`, `KILL`, `RTMIN+3`: the name without SIG.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Named::try_from(self.0) {
            Ok(named) => f.write_str(named.as_str().trim_start_matches("SIG")),
            Err(_) => match self.0 - libc::SIGRTMIN() {
                0 => f.write_str("RTMIN"),
                above => write!(f, "RTMIN+{above}"),
            },
        }
    }
}

impl FromStr for Signal {
    type Err = String;

    /// Reads `TERM`, `SIGTERM`, `term`, `15`, `RTMIN+3`, `RTMAX-1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || "there is no such signal".to_owned();
        if let Ok(number) = text.parse::<u8>() {
            return Self::from_number(number.into()).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Ok(named) = Named::from_str(&format!("SIG{name}")) {
            return Ok(named.into());
        }
        let synonym = match name {
            "CLD" => Some(libc::SIGCHLD),
            "POLL" => Some(libc::SIGIO),
            "IOT" => Some(libc::SIGABRT),
            _ => real_time(name),
        };
        synonym.and_then(Self::from_number).ok_or_else(unknown)
    }
}

/// The number of `RTMIN`, `RTMIN+N`, `RTMAX` or `RTMAX-N`.
fn real_time(name: &str) -> Option<i32> {
    let offset = |text: &str, sign: char| match text {
        "" => Some(0),
        _ => text.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        libc::SIGRTMIN() + offset(rest, '+')?
    } else {
        libc::SIGRTMAX() - offset(name.strip_prefix("RTMAX")?, '-')?
    };
    (libc::SIGRTMIN()..=libc::SIGRTMAX())
        .contains(&number)
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_signal_many_spellings() {
        for text in ["TERM", "SIGTERM", "term", "sigterm", "15"] {
            assert_eq!(text.parse(), Ok(Signal::TERM), "{text}");
        }
    }

    #[test]
    fn every_name_reads_back() {
        for number in (1..=31).chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.to_string().parse(), Ok(signal), "{signal}");
        }
    }

    #[test]
    fn what_is_no_signal() {
        for text in [
            "", "0", "-9", "32", "65", "999", "TERMX", "SIG", "RTMIN+99", "RTMAX-99", "9x",
        ] {
            assert!(text.parse::<Signal>().is_err(), "{text:?} was taken");
        }
    }
}
