//! From the options to the exit code.

use std::io;
use std::net::SocketAddr;

use treekill::common::{parse, usage_error};
use treekill::exec::os_words;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::plan::{Mode, Plan};
use crate::prove::{Proof, bind_for_a_moment};
use crate::report::Report;
use crate::sockets::Sockets;
use crate::{free, next, show, sys};

/// The name under which this tool speaks.
pub(crate) const TOOL: &str = "portfree";

/// Runs the tool; returns its exit code.
pub(crate) fn run() -> u8 {
    // A listening socket that our caller passed on by accident would make us one of its holders.
    sys::close_what_was_inherited();
    let cli: Cli = match parse(TOOL) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let (out, words) = cli.common.streams(TOOL);
    let plan = match cli
        .plan()
        .and_then(|plan| check_addresses(&plan).map(|()| plan))
    {
        Ok(plan) => plan,
        Err(what) => return usage_error(TOOL, &what),
    };
    let mut report = Report::new(out, words);
    let exit = carry_out(&plan, &mut report).unwrap_or_else(|error| {
        report.words.fail(failure(&error));
        Exit::Failed
    });
    report.exit_code(exit, plan.mode != Mode::Free)
}

/// What failed and why. What is not said by the error itself is any of many system calls.
#[must_use]
pub(crate) fn failure(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => format!("cannot go on: {}", os_words(error)),
        None => error.to_string(),
    }
}

fn carry_out(plan: &Plan, report: &mut Report) -> io::Result<Exit> {
    let mut sockets = Sockets::open();
    if let Some(error) = sockets.denied() {
        let why = os_words(error);
        report.words.step(format_args!(
            "socket diagnostics: {why}; /proc/net is read instead"
        ));
    }
    match plan.mode {
        Mode::Free => free::free(plan, &mut sockets, report),
        Mode::Check => show::check(plan, &mut sockets, report),
        Mode::List => show::list(plan, &mut sockets, report),
        Mode::Pids => show::pids(plan, &mut sockets, report),
        Mode::DryRun => show::dry_run(plan, &mut sockets, report),
        Mode::Next => next::next(plan, &mut sockets, report),
        Mode::Wait(patience) => show::wait(plan, patience, &mut sockets, report),
    }
}

/// An address that this machine does not have is a mistake, not a free port.
fn check_addresses(plan: &Plan) -> Result<(), String> {
    for target in &plan.targets {
        let Some(address) = target.address else {
            continue;
        };
        // Port 0 is any free one: only the address is tried.
        match bind_for_a_moment(target.protocol, address, 0) {
            Ok(Proof::NoSuchAddress) => {
                let any = SocketAddr::new(address, *target.ports.start());
                return Err(format!("{any}: this machine has no such address"));
            }
            Ok(_) => {}
            Err(error) => return Err(format!("{target}: {}", os_words(&error))),
        }
    }
    Ok(())
}
