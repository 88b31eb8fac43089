//! The options, declared once: help, man page and completions come from here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use treekill::common::Common;
use treekill::duration;
use treekill::signal::Signal;

use crate::plan::{Pauses, When};
use crate::size;

const AFTER_HELP: &str = "\
Exit codes:
  COMMAND's own; ended by a signal, procwatch ends by that signal too
  1        gave up on a COMMAND whose last status was 0
  125      wrong usage, or a FILE or the system that cannot be used; nothing was started
  126/127  COMMAND cannot be executed / was not found at its first start

Examples:
  procwatch -- ./server --port 8000
  procwatch -r always -b 1s..1m --health-cmd 'waithealth --once :8000' -- ./server
  pidlock -d run.pid -- procwatch -o server.log --before 'portfree 8000' -- ./server";

/// Runs COMMAND, starts it again when it fails, and leaves nothing behind
///
/// COMMAND is started, watched and, when it fails, started again after a pause that grows. What
/// it started in its turn is ended before it starts again and at the end. Told to stop, procwatch
/// stops COMMAND in order and returns its status.
#[derive(Parser, Debug)]
#[command(
    name = "procwatch",
    version,
    after_long_help = AFTER_HELP,
    override_usage = "procwatch [OPTIONS] [--] COMMAND [ARG...]",
    max_term_width = 100,
    args_override_self = true
)]
pub(crate) struct Options {
    /// When to start COMMAND again: not after exit 0, after any end, or never
    #[arg(short, long, value_name = "WHEN", default_value = "on-failure")]
    pub(crate) restart: When,
    /// Gives up after N restarts in a row; 0 never gives up
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    pub(crate) max_restarts: u32,
    /// A run this long starts the count and the pauses anew
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = duration::parse)]
    pub(crate) stable: Duration,
    /// The same as -m until COMMAND was stable once; 0 starts it only once [default: as -m]
    #[arg(long, value_name = "N")]
    pub(crate) startup_restarts: Option<u32>,
    /// Pause before a restart, doubling from MIN to MAX; MIN alone is constant
    #[arg(short, long, value_name = "MIN[..MAX]", default_value = "500ms..30s")]
    pub(crate) backoff: Pauses,
    /// Asks `sh -c CMD` whether COMMAND is healthy, and restarts it when it is not
    #[arg(long, value_name = "CMD")]
    pub(crate) health_cmd: Option<OsString>,
    /// Pause between two health checks
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = duration::parse, requires = "health_cmd")]
    pub(crate) health_interval: Duration,
    /// A health check that takes longer has failed
    #[arg(long, value_name = "DUR", default_value = "5s", value_parser = duration::parse, requires = "health_cmd")]
    pub(crate) health_timeout: Duration,
    /// So many failures in a row are unhealthy
    #[arg(long, value_name = "N", default_value_t = 3, requires = "health_cmd",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) health_retries: u32,
    /// Failures this soon after a start do not count, until the first success
    #[arg(long, value_name = "DUR", default_value = "0s", value_parser = duration::parse, requires = "health_cmd")]
    pub(crate) health_start_period: Duration,
    /// Restarts COMMAND when its tree uses more memory than this, shared pages counted once
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) max_memory: Option<u64>,
    /// The signal that stops COMMAND [default: TERM]
    #[arg(short, long, value_name = "SIG")]
    pub(crate) stop_signal: Option<Signal>,
    /// How long it may take to stop before all that is left is killed [default: 8s]
    #[arg(short, long, value_name = "DUR", value_parser = duration::parse)]
    pub(crate) grace: Option<Duration>,
    /// Runs `sh -c CMD` before every start; its failure is a failed start
    #[arg(long, value_name = "CMD")]
    pub(crate) before: Option<OsString>,
    /// Runs `sh -c CMD` after every end, which the PROCWATCH_ variables describe
    #[arg(long, value_name = "CMD")]
    pub(crate) after: Option<OsString>,
    /// Appends COMMAND's output to FILE, and rotates it
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// FILE grows no larger than this; 0 does not rotate it
    #[arg(long, value_name = "SIZE", default_value = "10M", value_parser = size::parse, requires = "log")]
    pub(crate) log_size: u64,
    /// So many rotated files are kept, FILE.1 the newest
    #[arg(long, value_name = "N", default_value_t = 10, requires = "log")]
    pub(crate) log_keep: u32,
    /// Appends each event to FILE as a line of JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// Options that all five tools have.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The command to run, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_declaration_holds_together() {
        Options::command().debug_assert();
    }

    #[test]
    fn options_end_at_the_first_word_of_the_command() {
        for (line, command) in [
            ("procwatch -q sleep -r 5 -q", "sleep -r 5 -q"),
            ("procwatch -q -- sleep -- 5", "sleep -- 5"),
            ("procwatch sleep -- 5 --help", "sleep -- 5 --help"),
            ("procwatch -- -odd --version", "-odd --version"),
        ] {
            let options = Options::try_parse_from(line.split(' ')).unwrap();
            let words: Vec<&str> = options.command.iter().filter_map(|w| w.to_str()).collect();
            assert_eq!(words.join(" "), command, "{line}");
        }
    }

    #[test]
    fn the_last_of_an_option_given_twice_counts() {
        let line = "procwatch -m 1 --max-restarts 2 -q -q sleep";
        let options = Options::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(options.max_restarts, 2);
    }

    #[test]
    fn what_is_wrong_usage() {
        for line in [
            "procwatch",
            "procwatch --",
            "procwatch --bogus sleep",
            "procwatch -r sometimes sleep",
            "procwatch -m -1 sleep",
            "procwatch -b 1..0.5 sleep",
            "procwatch -b x sleep",
            "procwatch -s NONE sleep",
            "procwatch -g -1 sleep",
            "procwatch --max-memory 5x sleep",
            "procwatch --health-interval 1 sleep",
            "procwatch --health-cmd true --health-retries 0 sleep",
            "procwatch --log-keep 3 sleep",
        ] {
            assert!(Options::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
