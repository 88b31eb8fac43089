//! `pidlock FILE -- COMMAND`: one COMMAND under one FILE, whatever happens.
//!
//! # Theory of operation
//!
//! The lock is the kernel's: POSIX record locks, which are gone the instant their process is. COMMAND
//! holds one byte of FILE, the `pidlock` that waits for it (its keeper) another, and a newcomer needs
//! both; so either may be killed, or lose its lock by closing FILE, and the other still keeps
//! everybody out. The keeper also holds flock(2), for scripts that know only that and to put
//! newcomers in line. The number in FILE is for people and `treekill -p`; nothing here trusts it.
//!
//! [`cli`] reads the command line into a plan. [`lock`] takes the locks on a [`lockfile`], [`start`]
//! forks and lets COMMAND take its own, [`keep`] waits and hands signals on, [`run`] puts these in
//! order, [`detach`] does so in the [`background`]; [`status`] only asks.
#![cfg_attr(not(test), no_main)]

mod background;
mod cli;
mod detach;
mod exit;
mod keep;
mod lock;
mod lockfile;
#[cfg(test)]
mod packaging;
mod report;
mod run;
mod start;
mod status;
mod sys;

use cli::Plan;
use exit::Exit;
use run::Outcome;
use treekill::common::{print_help, usage_error};

// A tenth of what a run with `--no-fork` costs would be std's own start.
treekill::begin_at!(crate::main);

fn main() {
    let (common, plan) = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(what) => std::process::exit(usage_error("pidlock", &what).into()),
    };
    let (mut out, mut words) = common.streams("pidlock");
    let exit = match plan {
        Plan::Print(text) => {
            print_help(&text);
            Exit::Done
        }
        Plan::Status(file) => status::status(&file, &mut out, &mut words),
        Plan::Holder(file) => status::holder(&file, &mut out, &mut words),
        Plan::Run(run) => match run::run(&run, &mut words) {
            Outcome::Started(pid) => {
                report::pid(&mut out, Some(pid));
                Exit::Done
            }
            Outcome::Ended(ending) => Exit::Command(ending),
            Outcome::Not(exit) => exit,
        },
    };
    exit.end()
}
