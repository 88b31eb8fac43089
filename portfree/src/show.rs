//! Looking without touching: `--check`, `--list`, `--pids`, `--dry-run`, `--wait`.

use std::collections::HashSet;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use treekill::duration::Deadline;

use crate::assess::assess;
use crate::exit::Exit;
use crate::holders;
use crate::plan::Plan;
use crate::report::Report;
use crate::select::{meant, select};
use crate::sockets::Sockets;

/// While waiting, the port is looked at after this long, and ever more seldom.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// Says by the exit code alone whether the ports are free.
pub(crate) fn check(plan: &Plan, sockets: &mut Sockets, report: &mut Report) -> io::Result<Exit> {
    let assessment = assess(sockets, &plan.targets)?;
    report.step_assessment(&assessment, sockets, &plan.targets)?;
    Ok(if assessment.is_free() {
        Exit::Holds
    } else {
        Exit::DoesNotHold
    })
}

/// A record per holder, and per connection in the way.
pub(crate) fn list(plan: &Plan, sockets: &mut Sockets, report: &mut Report) -> io::Result<Exit> {
    let mut assessment = assess(sockets, &plan.targets)?;
    report.step_assessment(&assessment, sockets, &plan.targets)?;
    if assessment.is_free() && !plan.established {
        return Ok(Exit::DoesNotHold);
    }
    let mut shown = meant(plan, sockets)?;
    assessment
        .in_the_way
        .retain(|socket| !shown.contains(socket));
    shown.append(&mut assessment.in_the_way);
    if shown.is_empty() && assessment.blocked.is_empty() {
        return Ok(Exit::DoesNotHold);
    }
    let proc = holders::open_proc()?;
    let found = holders::find(&proc, &shown)?;
    for socket in &shown {
        let mut owners = found
            .holders
            .iter()
            .filter(|h| h.sockets.contains(socket))
            .peekable();
        if owners.peek().is_none() {
            report.socket(&proc, socket, None);
        }
        for owner in owners {
            report.socket(&proc, socket, Some(&owner.stat));
        }
    }
    let unseen: Vec<_> = found
        .unseen
        .into_iter()
        .filter(|socket| socket.holds())
        .collect();
    report.unseen(&plan.targets, &unseen, found.closed_to_us);
    report.blocked(&assessment.blocked);
    Ok(Exit::Holds)
}

/// The PID of each process that freeing would signal.
pub(crate) fn pids(plan: &Plan, sockets: &mut Sockets, report: &mut Report) -> io::Result<Exit> {
    let meant = meant(plan, sockets)?;
    if meant.is_empty() {
        return Ok(Exit::DoesNotHold);
    }
    let proc = holders::open_proc()?;
    let selection = select(plan, &proc, &meant, &HashSet::new())?;
    for member in &selection.members {
        report.pid(member.stat.pid());
    }
    report.spared(&proc, &plan.targets, &selection);
    Ok(
        match report.unseen(&plan.targets, &selection.unseen, selection.closed_to_us) {
            Some(Exit::Denied) => Exit::Denied,
            _ if selection.members.is_empty() => Exit::DoesNotHold,
            _ => Exit::Holds,
        },
    )
}

/// A record for each process that freeing would signal.
pub(crate) fn dry_run(plan: &Plan, sockets: &mut Sockets, report: &mut Report) -> io::Result<Exit> {
    let meant = meant(plan, sockets)?;
    if meant.is_empty() {
        return Ok(Exit::Holds);
    }
    let proc = holders::open_proc()?;
    let selection = select(plan, &proc, &meant, &HashSet::new())?;
    for holder in &selection.holders {
        for socket in &holder.sockets {
            report.socket(&proc, socket, Some(&holder.stat));
        }
    }
    for member in &selection.members {
        if member.depth > 0 {
            report.descendant(&proc, &member.stat);
        }
    }
    report.spared(&proc, &plan.targets, &selection);
    report.unseen(&plan.targets, &selection.unseen, selection.closed_to_us);
    Ok(Exit::Holds)
}

/// Waits for the ports to become free, signalling nobody.
pub(crate) fn wait(
    plan: &Plan,
    patience: Duration,
    sockets: &mut Sockets,
    report: &mut Report,
) -> io::Result<Exit> {
    let deadline = Deadline::after(patience);
    let mut pause = FIRST_PAUSE;
    loop {
        let assessment = assess(sockets, &plan.targets)?;
        if assessment.is_free() {
            report.words.settle();
            report.step_assessment(&assessment, sockets, &plan.targets)?;
            return Ok(Exit::Holds);
        }
        if deadline.passed() {
            let found = holders::find(&holders::open_proc()?, &assessment.holding)?;
            report.words.settle();
            report.held_by(&plan.targets, found.holders.iter());
            report.unseen(&plan.targets, &found.unseen, found.closed_to_us);
            report.in_the_way(&plan.targets, &assessment.in_the_way);
            report.blocked(&assessment.blocked);
            return Ok(Exit::TimeRanOut);
        }
        report.waiting(&plan.targets, &assessment, deadline.remaining());
        sleep(pause.min(deadline.remaining()));
        pause = (pause * 5 / 4).min(LAST_PAUSE);
    }
}
