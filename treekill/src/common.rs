//! The options that all five tools have, and the streams they lead to.

#[cfg(feature = "clap")]
use std::time::Duration;

use crate::record::{Format, Output};
#[cfg(feature = "clap")]
use crate::signal::Signal;
#[cfg(feature = "clap")]
use crate::terminate::Policy;
use crate::words::{Loudness, Words};

/// The exit code of wrong usage, or of a tool that could not do its work; no process was touched.
pub const USAGE: u8 = 125;

/// `--quiet`, `--verbose` and `--json`, as every tool takes them.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct Common {
    /// No records; words only with exit code 125
    #[cfg_attr(feature = "clap", arg(short, long, overrides_with = "verbose"))]
    pub quiet: bool,
    /// Says each step on standard error
    #[cfg_attr(feature = "clap", arg(short, long))]
    pub verbose: bool,
    /// Each record as a line of JSON
    #[cfg_attr(feature = "clap", arg(long))]
    pub json: bool,
}

impl Common {
    /// Standard output and standard error of `tool` under these options.
    #[must_use]
    pub fn streams(self, tool: &'static str) -> (Output, Words) {
        let format = match (self.quiet, self.json) {
            (true, _) => Format::Silent,
            (false, true) => Format::Json,
            (false, false) => Format::Plain,
        };
        let loudness = match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Normal,
        };
        (Output::new(format), Words::new(tool, loudness))
    }
}

/// `--signal`, `--grace` and `--no-kill`, as the tools that end trees take them.
#[cfg(feature = "clap")]
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Escalation {
    /// First signal to each process
    #[arg(short, long, value_name = "SIG", default_value = "TERM")]
    signal: Signal,
    /// Time between the first signal and KILL; 0 kills at once
    #[arg(short, long, value_name = "DUR", default_value = "5s", value_parser = crate::duration::parse)]
    grace: Duration,
    /// Never escalates to KILL
    #[arg(long)]
    no_kill: bool,
}

#[cfg(feature = "clap")]
impl Escalation {
    /// The policy behind these options.
    #[must_use]
    pub fn policy(self, leader_first: bool) -> Policy {
        Policy {
            signal: self.signal,
            grace: self.grace,
            escalate: !self.no_kill,
            leader_first,
        }
    }
}

/// Writes what `--help` or `--version` asks for to standard output; a reader that went away is
/// no failure.
pub fn print_help(text: &str) {
    Output::new(Format::Plain).line(text.trim_end());
}

/// Says wrong usage in one line, with the way to the help, and returns the code for it.
pub fn usage_error(tool: &'static str, what: &str) -> u8 {
    let mut words = Words::new(tool, Loudness::Quiet);
    words.fail(format_args!("{what} (see {tool} --help)"));
    USAGE
}

/// Parses the command line of a clap tool: help and version end with 0, wrong usage with 125 and
/// one line.
///
/// # Errors
/// The exit code to end with.
#[cfg(feature = "clap")]
pub fn parse<T: clap::Parser>(tool: &'static str) -> Result<T, u8> {
    use clap::error::ErrorKind;
    T::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print_help(&error.render().to_string());
            0
        }
        _ => usage_error(tool, &one_line(&error)),
    })
}

/// What clap has to say without its tips and usage, on one line.
#[cfg(feature = "clap")]
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first: Vec<&str> = text
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect();
    first.join(" ").trim_start_matches("error: ").to_owned()
}
