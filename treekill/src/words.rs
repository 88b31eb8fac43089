//! Words for people on standard error: `TOOL: what: why`, one line each, and one live line.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// `--quiet`: only what goes with exit code 125.
    Quiet,
    /// What a person wants to know.
    Normal,
    /// `--verbose`: each step.
    Verbose,
}

/// Standard error in the name of one tool.
#[derive(Debug)]
pub struct Words {
    tool: &'static str,
    loudness: Loudness,
    coloured: bool,
    live: Option<Live>,
}

/// The live line: shown on a terminal once a wait has become long.
#[derive(Debug)]
struct Live {
    waiting_since: Instant,
    drawn: Option<Instant>,
}

/// A wait shorter than this shows no live line.
const LONG_WAIT: Duration = Duration::from_secs(1);
/// The live line is drawn at most this often.
const REDRAW: Duration = Duration::from_millis(200);

impl Words {
    /// Words of `tool`. Colours and the live line need a terminal; `NO_COLOR` (no-color.org) and
    /// `TERM=dumb` are honoured.
    #[must_use]
    pub fn new(tool: &'static str, loudness: Loudness) -> Self {
        let terminal = io::stderr().is_terminal()
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            tool,
            loudness,
            coloured: terminal && !plain,
            live: (terminal && loudness == Loudness::Normal).then(|| Live {
                waiting_since: Instant::now(),
                drawn: None,
            }),
        }
    }

    /// How much is said.
    #[must_use]
    pub fn loudness(&self) -> Loudness {
        self.loudness
    }

    /// Whether there is a live line to show: on a terminal, unless told to be quiet or verbose.
    #[must_use]
    pub fn has_live_line(&self) -> bool {
        self.live.is_some()
    }

    /// Says what a person wants to know; `--quiet` leaves it out.
    pub fn say(&mut self, text: impl Display) {
        if self.loudness >= Loudness::Normal {
            self.line(&text.to_string());
        }
    }

    /// Says a step; only `--verbose` shows it.
    pub fn step(&mut self, text: impl Display) {
        if self.loudness >= Loudness::Verbose {
            self.line(&text.to_string());
        }
    }

    /// Says why the tool could not do its work, even under `--quiet`: goes with exit code 125.
    pub fn fail(&mut self, text: impl Display) {
        self.line(&text.to_string());
    }

    /// Shows what is waited for, on one line that the next word or [`Words::settle`] erases.
    pub fn waiting(&mut self, text: impl Display) {
        let width = terminal_width();
        let Some(live) = &mut self.live else { return };
        let fresh = live.drawn.is_some_and(|at| at.elapsed() < REDRAW);
        if live.waiting_since.elapsed() < LONG_WAIT || fresh {
            return;
        }
        live.drawn = Some(Instant::now());
        let line: String = printable(&format!("{}: {text}", self.tool))
            .chars()
            .take(width.saturating_sub(1))
            .collect();
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
    }

    /// Erases the live line; the next wait is counted from here.
    pub fn settle(&mut self) {
        let Some(live) = &mut self.live else { return };
        if live.drawn.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        live.waiting_since = Instant::now();
    }

    fn line(&mut self, text: &str) {
        if let Some(live) = &mut self.live {
            if live.drawn.take().is_some() {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        }
        let text = printable(text);
        let line = if self.coloured {
            format!("\x1b[1m{}:\x1b[0m {text}\n", self.tool)
        } else {
            format!("{}: {text}\n", self.tool)
        };
        // A closed standard error is no reason to stop.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// One printable line: what a caller forgot to escape cannot reach the terminal raw.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// Columns of the terminal on standard error; 80 where it does not say.
fn terminal_width() -> usize {
    crate::sys::terminal_columns(&io::stderr()).map_or(80, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_carries_a_control_character() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("plain é"), "plain é");
    }
}
