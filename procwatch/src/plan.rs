//! What is to be done, as plain data.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use treekill::duration;
use treekill::signal::Signal;

use crate::cli::Options;

/// After which ends COMMAND is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum When {
    /// After every end but exit code 0
    OnFailure,
    /// After every end
    Always,
    /// After none
    Never,
}

/// The pauses before restarts: from `min`, doubling up to `max`; equal is constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// The first pause.
    pub(crate) min: Duration,
    /// The longest pause.
    pub(crate) max: Duration,
}

impl FromStr for Pauses {
    type Err = String;

    /// Reads `MIN` or `MIN..MAX`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let (min, max) = (duration::parse(min)?, duration::parse(max)?);
        if min > max {
            return Err("its minimum is above its maximum".into());
        }
        Ok(Self { min, max })
    }
}

/// Whether and when to start COMMAND again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestartPlan {
    /// After which ends.
    pub(crate) when: When,
    /// Restarts in a row before giving up; `None` is unlimited.
    pub(crate) max: Option<u32>,
    /// The same as long as COMMAND was never stable.
    pub(crate) startup: Option<u32>,
    /// A run this long is stable.
    pub(crate) stable: Duration,
    /// The pauses in between.
    pub(crate) pauses: Pauses,
}

/// The health check.
#[derive(Clone, Debug)]
pub(crate) struct HealthPlan {
    /// What `sh -c` runs.
    pub(crate) command: OsString,
    /// From the start, and from the end of one check, to the next.
    pub(crate) interval: Duration,
    /// How long one check may take.
    pub(crate) timeout: Duration,
    /// So many failures in a row are unhealthy.
    pub(crate) retries: u32,
    /// Failures this soon after the start do not count.
    pub(crate) start_period: Duration,
}

/// The log of COMMAND's output.
#[derive(Clone, Debug)]
pub(crate) struct LogPlan {
    /// The file.
    pub(crate) file: PathBuf,
    /// Bytes it may hold; 0 is unlimited.
    pub(crate) size: u64,
    /// Rotated files to keep.
    pub(crate) keep: u32,
}

/// The whole of what procwatch was asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// COMMAND.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Whether and when it is started again.
    pub(crate) restart: RestartPlan,
    /// How its health is asked for.
    pub(crate) health: Option<HealthPlan>,
    /// Bytes its tree may use.
    pub(crate) max_memory: Option<u64>,
    /// The signal that stops it.
    pub(crate) stop_signal: Signal,
    /// How long it may take to stop.
    pub(crate) grace: Duration,
    /// Whether every signal is passed on as itself, without a stop of our own: a plain init.
    pub(crate) plain_init: bool,
    /// Run before every start.
    pub(crate) before: Option<OsString>,
    /// Run after every end.
    pub(crate) after: Option<OsString>,
    /// Where its output goes, if not to our own streams.
    pub(crate) log: Option<LogPlan>,
    /// Where events go.
    pub(crate) events: Option<PathBuf>,
}

/// Fits into the ten seconds that `docker stop` gives.
const GRACE: Duration = Duration::from_secs(8);

impl Plan {
    /// The plan that these options ask for.
    #[must_use]
    pub(crate) fn new(options: Options) -> Self {
        let unless_zero = |number: u32| (number > 0).then_some(number);
        let max = unless_zero(options.max_restarts);
        let mut words = options.command.into_iter();
        Self {
            program: words.next().unwrap_or_default(),
            arguments: words.collect(),
            restart: RestartPlan {
                when: options.restart,
                max,
                startup: options.startup_restarts.map_or(max, Some),
                stable: options.stable,
                pauses: options.backoff,
            },
            health: options.health_cmd.map(|command| HealthPlan {
                command,
                interval: options.health_interval,
                timeout: options.health_timeout,
                retries: options.health_retries,
                start_period: options.health_start_period,
            }),
            max_memory: options.max_memory,
            plain_init: options.restart == When::Never
                && options.stop_signal.is_none()
                && options.grace.is_none(),
            stop_signal: options.stop_signal.unwrap_or(Signal::TERM),
            grace: options.grace.unwrap_or(GRACE),
            before: options.before,
            after: options.after,
            log: options.log.map(|file| LogPlan {
                file,
                size: options.log_size,
                keep: options.log_keep,
            }),
            events: options.events,
        }
    }
}
