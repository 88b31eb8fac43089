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
    /// on-failure (default), always or never
    ///
    /// When COMMAND is started again: after every end but exit code 0, after any end, or not.
    /// `never`, without -s and -g, makes a plain init: every signal is passed on as itself.
    #[arg(
        short,
        long,
        value_name = "WHEN",
        default_value = "on-failure",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub(crate) restart: When,
    /// Restarts in a row before giving up (10)
    ///
    /// 0 never gives up. A run that lasted --stable starts the count anew.
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 10,
        hide_default_value = true
    )]
    pub(crate) max_restarts: u32,
    /// A run this long starts the count anew (10s)
    #[arg(long, value_name = "DUR", default_value = "10s", hide_default_value = true, value_parser = duration::parse)]
    pub(crate) stable: Duration,
    /// As -m, until it was stable once (as -m)
    ///
    /// Here 0 is no restart at all: a start script wants to hear early.
    #[arg(long, value_name = "N")]
    pub(crate) startup_restarts: Option<u32>,
    /// Pause before a restart (500ms..30s)
    ///
    /// It doubles from MIN to MAX, and varies by 10 % at random; MIN alone is constant. A run
    /// that lasted --stable begins with MIN again.
    #[arg(
        short,
        long,
        value_name = "MIN[..MAX]",
        default_value = "500ms..30s",
        hide_default_value = true
    )]
    pub(crate) backoff: Pauses,
    /// `sh -c CMD` says whether it is healthy
    ///
    /// COMMAND is restarted when it fails --health-retries times in a row.
    #[arg(long, value_name = "CMD")]
    pub(crate) health_cmd: Option<OsString>,
    /// Pause between two health checks (10s)
    #[arg(long, value_name = "DUR", default_value = "10s", hide_default_value = true, value_parser = duration::parse, requires = "health_cmd")]
    pub(crate) health_interval: Duration,
    /// A check that takes longer has failed (5s)
    #[arg(long, value_name = "DUR", default_value = "5s", hide_default_value = true, value_parser = duration::parse, requires = "health_cmd")]
    pub(crate) health_timeout: Duration,
    /// Failures in a row that restart it (3)
    #[arg(long, value_name = "N", default_value_t = 3, hide_default_value = true, requires = "health_cmd",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) health_retries: u32,
    /// Failures so early do not count (0s)
    ///
    /// Until the first check has passed, as in Docker.
    #[arg(long, value_name = "DUR", default_value = "0s", hide_default_value = true, value_parser = duration::parse, requires = "health_cmd")]
    pub(crate) health_start_period: Duration,
    /// Restarts it when its tree uses more
    ///
    /// Shared pages are counted once (Pss); looked at every 2 s. 512M, 1.5G: powers of 1024.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) max_memory: Option<u64>,
    /// The signal that stops COMMAND (TERM)
    #[arg(short, long, value_name = "SIG")]
    pub(crate) stop_signal: Option<Signal>,
    /// From that to KILL of all that is left (8s)
    #[arg(short, long, value_name = "DUR", value_parser = duration::parse)]
    pub(crate) grace: Option<Duration>,
    /// Runs `sh -c CMD` before every start
    ///
    /// If it fails, that counts as a failed start.
    #[arg(long, value_name = "CMD")]
    pub(crate) before: Option<OsString>,
    /// Runs `sh -c CMD` after every end
    ///
    /// With PROCWATCH_PID, PROCWATCH_EXIT (code, or signal:NAME), PROCWATCH_RESTARTS,
    /// PROCWATCH_UPTIME_MS and PROCWATCH_REASON in its environment.
    #[arg(long, value_name = "CMD")]
    pub(crate) after: Option<OsString>,
    /// Appends COMMAND's output to FILE
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Rotates it at this size (10M; 0: never)
    #[arg(long, value_name = "SIZE", default_value = "10M", hide_default_value = true, value_parser = size::parse, requires = "log")]
    pub(crate) log_size: u64,
    /// Rotated files to keep, .1 the newest (10)
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        hide_default_value = true,
        requires = "log"
    )]
    pub(crate) log_keep: u32,
    /// Appends each event as a line of JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// Options that all five tools have.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The command, and its arguments
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
