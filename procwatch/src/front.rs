//! The process that stands in front, where children may come that are none of COMMAND's.
//!
//! PID 1 adopts every orphan of the container, those of `docker exec` too, and
//! `helper & exec procwatch` brings children along whose own orphans a subreaper would adopt.
//! There the work is done by a second process, which starts without children and is the
//! subreaper, so that what comes to it is COMMAND's. The first reaps, passes signals on, and ends
//! as the second does.

use std::ffi::OsStr;

use nix::sys::signal::Signal as Named;
use nix::unistd::getpid;
use treekill::common::Common;
use treekill::duration::{Deadline, FOREVER};
use treekill::signal::Signal;

use crate::exit::Exit;
use crate::plan::Plan;
use crate::report::Report;
use crate::signals::{Arrived, Order, Signals, reached};
use crate::supervise::Supervisor;
use crate::sys;
use crate::wait::{Event, Waiter};

/// Does what the plan says, behind a front where one is needed.
pub(crate) fn stand_before(plan: Plan, common: Common) -> Exit {
    let Ok(mut report) = Report::open(&plan, common) else {
        return Exit::Unable;
    };
    let signals = match Signals::take(plan.plain_init) {
        Ok(signals) => signals,
        Err(error) => {
            report.cannot(OsStr::new("signals"), &error.into());
            return Exit::Unable;
        }
    };
    let is_init = getpid().as_raw() == 1;
    if is_init || sys::has_children() {
        let front = getpid().as_raw();
        match sys::fork() {
            Ok(Some(behind)) => return wait_for(behind, Waiter::new(signals, None), is_init),
            // Of a parent that is dead already nobody hears any more.
            Ok(None) if sys::die_with_parent(front).is_err() && !is_init => return Exit::Unable,
            Ok(None) => {}
            Err(error) => {
                report.cannot(OsStr::new("fork"), &error.into());
                return Exit::Unable;
            }
        }
    }
    match Supervisor::new(plan, signals, report, !is_init) {
        Ok(supervisor) => supervisor.run(),
        Err(exit) => exit,
    }
}

/// Reaps orphans and passes signals on to the process behind until that ends.
fn wait_for(behind: i32, mut waiter: Waiter, is_init: bool) -> Exit {
    loop {
        match waiter.next(Deadline::after(FOREVER)) {
            Event::Ended(pid, ending) if pid == behind => return Exit::As(ending),
            Event::Signal(arrived, order) => pass_on(behind, arrived, order, is_init),
            Event::Ended(..) | Event::Due => {}
        }
    }
}

fn pass_on(behind: i32, arrived: Arrived, order: Order, is_init: bool) {
    if !reached(arrived, behind) {
        let signal = match order {
            // Passed on, it would be taken for a request to reload.
            Order::Stop(signal) if signal.number() == libc::SIGHUP => Signal::TERM,
            _ => arrived.signal,
        };
        sys::signal_child(behind, signal);
    }
    if matches!(order, Order::Suspend(_)) && !is_init {
        suspend(arrived);
    }
}

/// Suspends this process after its child: by the terminal's signal itself, or for sure.
pub(crate) fn suspend(arrived: Arrived) {
    let named = Named::try_from(arrived.signal.number()).unwrap_or(Named::SIGSTOP);
    if arrived.by_kernel && named != Named::SIGSTOP {
        sys::suspend_by(named);
    } else {
        let _ = nix::sys::signal::raise(Named::SIGSTOP);
    }
}
