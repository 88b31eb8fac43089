//! The options, declared once: help, man page and completions come from here.

use std::time::Duration;

use clap::{Args, Parser};
use treekill::common::{Common, Escalation};
use treekill::duration;
use treekill::tree::Scope;

use crate::plan::{MANY_PORTS, Mode, Plan};
use crate::ports::Target;

const EXAMPLES: &str = "\
Exit codes:
  0    every port is free, proved by binding it (--list, --pids, --next: there was one)
  1    still held, or taken again (--list, --pids, --next: there was none)
  77   held by a process that this user may not see or signal, and nothing else
  124  --wait ran out of time
  125  wrong usage, or portfree could not do its work; no process was touched

Examples:
  portfree 8000 && exec ./server          free the port, then start
  portfree --list 8000-8010 53/udp        who holds these ports
  PORT=$(portfree --next 8000)            the first free port from 8000 on";

/// Frees a port: ends every holder and its descendants, and proves that a server can start now
///
/// A holder is a process with a TCP socket that listens or is bound, or a UDP socket that is
/// bound and unconnected. Clients are no holders and are never touched.
#[derive(Debug, Parser)]
#[command(name = "portfree", version, after_long_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Cli {
    // Not a doc comment: rustdoc would take `[::1]` for a link.
    #[arg(
        value_name = "PORT",
        required = true,
        help = "8000, 8000-8010, 8000/tcp, 53/udp, 127.0.0.1:8000, [::1]:8000; TCP when not said"
    )]
    ports: Vec<Target>,
    #[command(flatten)]
    mode: ModeOptions,
    #[command(flatten)]
    escalation: Escalation,
    /// Leaves the holders' descendants alone
    #[arg(long)]
    only_holders: bool,
    /// Also takes processes that hold connections on this local port
    #[arg(long)]
    established: bool,
    /// How long the port must stay free when a parent lives that might start the holder again
    #[arg(long, value_name = "DUR", default_value = "1.2s", value_parser = duration::parse)]
    settle: Duration,
    /// Also takes a container engine's port forwarder, and frees a range of more than 100 ports
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What to do instead of freeing: one of these at most.
#[derive(Args, Debug)]
#[group(multiple = false)]
struct ModeOptions {
    /// Says by the exit code alone whether the port is free
    #[arg(short, long)]
    check: bool,
    /// A record per holder, and per connection in the way
    #[arg(short, long)]
    list: bool,
    /// The PID of each process that freeing would signal, a line each
    #[arg(long)]
    pids: bool,
    /// Prints the first free port at or above PORT, or within the range
    #[arg(long)]
    next: bool,
    /// Waits up to DUR for the port to become free, signalling nobody
    #[arg(short, long, value_name = "DUR", value_parser = duration::parse)]
    wait: Option<Duration>,
    /// Prints the records it would act on, signals nobody
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl ModeOptions {
    fn mode(&self) -> Mode {
        match self {
            Self { check: true, .. } => Mode::Check,
            Self { list: true, .. } => Mode::List,
            Self { pids: true, .. } => Mode::Pids,
            Self { next: true, .. } => Mode::Next,
            Self { dry_run: true, .. } => Mode::DryRun,
            Self {
                wait: Some(patience),
                ..
            } => Mode::Wait(*patience),
            _ => Mode::Free,
        }
    }
}

impl Cli {
    /// What these options ask for.
    ///
    /// # Errors
    /// Why they do not go together.
    pub(crate) fn plan(self) -> Result<Plan, String> {
        let mode = self.mode.mode();
        let many = self.ports.iter().find(|target| target.count() > MANY_PORTS);
        if let (Mode::Free, Some(target), false) = (mode, many, self.force) {
            let count = target.count();
            return Err(format!(
                "{target}: {count} ports are freed only with --force"
            ));
        }
        let scope = if self.only_holders {
            Scope::Alone
        } else {
            Scope::Tree
        };
        Ok(Plan {
            targets: self.ports,
            mode,
            policy: self.escalation.policy(false),
            scope,
            established: self.established,
            settle: self.settle,
            force: self.force,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_options_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn many_ports_are_freed_only_by_force() {
        let plan = |words: &[&str]| {
            let words = [&["portfree"], words].concat();
            Cli::try_parse_from(words).unwrap().plan()
        };
        assert!(plan(&["8000-8099"]).is_ok());
        assert!(plan(&["8000-8100"]).is_err());
        assert!(plan(&["-f", "8000-8100"]).is_ok());
        assert!(plan(&["--list", "8000-8100"]).is_ok());
    }
}
