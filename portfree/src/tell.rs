//! What is told to people: words on standard error.

use std::io;
use std::time::Duration;

use nix::unistd::geteuid;
use treekill::describe::user_name;
use treekill::duration::FOREVER;
use treekill::record::escape;
use treekill::table::{Proc, Table};
use treekill::terminate::{Ending, Outcome, Step};
use treekill::words::Loudness;

use crate::assess::Assessment;
use crate::describe::{Described, label};
use crate::exit::Exit;
use crate::forwarder::Engine;
use crate::holders::{Found, Holder};
use crate::ports::{Port, Target};
use crate::report::Report;
use crate::select::{Selection, Spared};
use crate::sockets::{Socket, Sockets, Wanted};
use crate::stop;

impl Report {
    /// A process that is still there.
    pub(crate) fn survivor(&mut self, outcome: &Outcome) {
        let who = label(&outcome.member.stat);
        match outcome.ending {
            Ending::Alive(b'D') => self.words.say(format_args!(
                "{who}: still alive: in uninterruptible sleep (state D)"
            )),
            Ending::Alive(state) => {
                let state = char::from(state);
                self.words
                    .say(format_args!("{who}: still alive (state {state})"));
            }
            Ending::Denied => {
                let root = needs_root();
                self.words
                    .say(format_args!("{who}: not ours to signal{root}"));
            }
            Ending::Term | Ending::Kill | Ending::Gone => {}
        }
    }

    /// Steps of ending a tree.
    pub(crate) fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Signalled(member, signal) => {
                self.words
                    .step(format_args!("{}: {signal}", label(&member.stat)));
            }
            Step::Waiting(count, left) => {
                let (processes, left) = (processes(count), until(left));
                self.words.waiting(format_args!("{processes} to end{left}"));
            }
            Step::Freezing(count) => {
                self.words.step(format_args!(
                    "the grace is over: {} frozen",
                    processes(count)
                ));
            }
            Step::Killed(count) => self
                .words
                .step(format_args!("KILL to {}", processes(count))),
        }
    }

    /// The live line of `--wait`.
    pub(crate) fn waiting(&mut self, targets: &[Target], assessment: &Assessment, left: Duration) {
        let held = assessment.holding.first().or(assessment.in_the_way.first());
        let port = held
            .map(|socket| named(targets, socket))
            .or(assessment.blocked.first().copied());
        if let Some(port) = port {
            let left = until(left);
            self.words
                .waiting(format_args!("{port}: waiting until it is free{left}"));
        }
    }

    /// What `--verbose` wants to know of an assessment: ports that could not be proved, and
    /// leftovers that are in nobody's way.
    ///
    /// # Errors
    /// Where the kernel does not answer.
    pub(crate) fn step_assessment(
        &mut self,
        assessment: &Assessment,
        sockets: &mut Sockets,
        targets: &[Target],
    ) -> io::Result<()> {
        if self.words.loudness() < Loudness::Verbose {
            return Ok(());
        }
        for port in &assessment.unproved {
            self.words.step(format_args!(
                "{port}: this user may not bind it: judged by socket diagnostics alone"
            ));
        }
        for target in targets {
            let all = sockets.look(std::slice::from_ref(target), Wanted::All)?;
            let left = all.iter().filter(|s| s.state.is_leftover());
            let left = left.filter(|s| !assessment.in_the_way.contains(s)).count();
            if left > 0 {
                self.words.step(format_args!(
                    "{target}: left of ended connections, in nobody's way (TIME-WAIT, FIN-WAIT): {left}"
                ));
            }
        }
        let verdict = if assessment.is_free() {
            "free"
        } else {
            "not free"
        };
        for target in targets {
            if targets.len() == 1 || assessment.is_free() {
                self.words.step(format_args!("{target}: {verdict}"));
            }
        }
        Ok(())
    }

    /// Holders that are not signalled, and why.
    pub(crate) fn spared(&mut self, proc: &Proc, targets: &[Target], selection: &Selection) {
        for (holder, why) in &selection.spared {
            let described = Described::of(proc, &holder.stat);
            let who = described.label();
            let ports = ports_of(targets, holder);
            match why {
                Spared::Guarded(refusal) => {
                    self.words
                        .say(format_args!("{ports}: {who} is spared: {refusal}"));
                }
                Spared::Forwarder(engine) => self.forwarder(&ports, &who, holder, *engine),
            }
        }
        for spared in selection.tree.spared() {
            let (who, why) = (label(&spared.stat), spared.refusal);
            self.words.step(format_args!("{who} is spared: {why}"));
        }
    }

    fn forwarder(&mut self, ports: &str, who: &str, holder: &Holder, engine: Engine) {
        let container = holder
            .sockets
            .iter()
            .find_map(|socket| engine.container_on(socket));
        let (whose, stop) = match container {
            Some(container) => {
                let name = escape(container.name.as_bytes());
                (
                    format!("of container {name}"),
                    format!("{} {name} does", container.stop),
                )
            }
            None => {
                let (stop, list) = (engine.stop(), engine.list());
                (
                    "of a container".to_owned(),
                    format!("{stop} NAME does, {list} shows the name"),
                )
            }
        };
        self.words.say(format_args!(
            "{ports}: {who} is spared: it forwards the port {whose}, which ending it would not stop: {stop} (--force ends it all the same)"
        ));
    }

    /// Sockets of which no process was seen: which user made them, and whether permission is
    /// what is missing. `None` where there is none.
    pub(crate) fn unseen(
        &mut self,
        targets: &[Target],
        unseen: &[Socket],
        closed: usize,
    ) -> Option<Exit> {
        let mut told = Vec::new();
        for socket in unseen {
            let port = named(targets, socket);
            if told.contains(&(port, socket.uid)) {
                continue;
            }
            told.push((port, socket.uid));
            let user = user_name(socket.uid);
            let user = escape(user.as_bytes());
            let why = if !geteuid().is_root() {
                "root is needed to see it".to_owned()
            } else if closed > 0 {
                format!("{} did not let root look", processes(closed))
            } else {
                "the kernel has it, or a process of another PID namespace".to_owned()
            };
            self.words.say(format_args!(
                "{port}: in use, holder not visible: its socket is of user {user}: {why}"
            ));
        }
        let permission = closed > 0 || !geteuid().is_root();
        (!unseen.is_empty()).then_some(if permission {
            Exit::Denied
        } else {
            Exit::DoesNotHold
        })
    }

    /// Ports that cannot be bound though the kernel shows nothing there.
    pub(crate) fn blocked(&mut self, ports: &[Port]) {
        for port in ports {
            self.words.say(format_args!(
                "{port}: in use, holder not visible: it cannot be bound, and the kernel shows no socket on it"
            ));
        }
    }

    /// Connections over which a server cannot bind.
    pub(crate) fn in_the_way(&mut self, targets: &[Target], sockets: &[Socket]) {
        let mut told = Vec::new();
        for socket in sockets {
            let port = named(targets, socket);
            if told.contains(&(port, socket.state)) {
                continue;
            }
            told.push((port, socket.state));
            let same = sockets
                .iter()
                .filter(|s| named(targets, s) == port && s.state == socket.state);
            let (count, state) = (same.count(), socket.state.name());
            if socket.state.is_leftover() {
                self.words.say(format_args!(
                    "{port}: in the way: {count} in {state}, left by a program that had not set SO_REUSEADDR; the kernel drops it within a minute"
                ));
            } else {
                self.words.say(format_args!(
                    "{port}: in the way: a client's connection, not touched ({state})"
                ));
            }
        }
    }

    /// Who still holds the ports.
    pub(crate) fn held_by<'a>(
        &mut self,
        targets: &[Target],
        holders: impl Iterator<Item = &'a Holder>,
    ) {
        for holder in holders {
            let (ports, who) = (ports_of(targets, holder), label(&holder.stat));
            self.words.say(format_args!("{ports}: still held by {who}"));
        }
    }

    /// Who took a port again, where it comes from, and what would really stop it.
    pub(crate) fn taken_again(
        &mut self,
        proc: &Proc,
        table: &Table,
        targets: &[Target],
        found: &Found,
    ) {
        for holder in &found.holders {
            let described = Described::of(proc, &holder.stat);
            let ports = ports_of(targets, holder);
            let (who, place) = (described.label(), described.place());
            let parent = table
                .get(holder.stat.ppid)
                .map(|parent| format!(", started by {}", label(parent)));
            let parent = parent.unwrap_or_default();
            let stop = stop::command(proc, table, &holder.stat, &described.origin);
            let stop = stop.map(|stop| format!("; to stop it for good: {stop}"));
            let stop = stop.unwrap_or_default();
            self.words.say(format_args!(
                "{ports}: taken again by {who}{parent}{place}{stop}"
            ));
        }
    }

    /// Ports that were taken again by a process that is gone already.
    pub(crate) fn taken_and_left(&mut self, targets: &[Target], sockets: &[Socket]) {
        for socket in sockets {
            let port = named(targets, socket);
            self.words.say(format_args!(
                "{port}: taken again, by a process that is gone already"
            ));
        }
    }

    /// A holder that is about to be ended, at length.
    pub(crate) fn step_holder(&mut self, proc: &Proc, targets: &[Target], holder: &Holder) {
        if self.words.loudness() >= Loudness::Verbose {
            let ports = ports_of(targets, holder);
            let who = Described::of(proc, &holder.stat).at_length();
            self.words.step(format_args!("{ports}: held by {who}"));
        }
    }
}

/// How the user named the port that this socket is on.
fn named(targets: &[Target], socket: &Socket) -> Port {
    let port = targets.iter().find_map(|target| target.port_of(socket));
    port.unwrap_or(Port {
        protocol: socket.protocol,
        address: None,
        number: socket.port,
    })
}

/// The ports that a holder has, as the user named them.
fn ports_of(targets: &[Target], holder: &Holder) -> String {
    let mut ports: Vec<Port> = holder.sockets.iter().map(|s| named(targets, s)).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<String> = ports.iter().map(Port::to_string).collect();
    ports.join(", ")
}

fn processes(count: usize) -> String {
    if count == 1 {
        "1 process".to_owned()
    } else {
        format!("{count} processes")
    }
}

/// What to add where permission is missing.
fn needs_root() -> &'static str {
    if geteuid().is_root() {
        ""
    } else {
        ": root is needed"
    }
}

/// `, 5 s left`, rounded up; nothing where there is no end.
fn until(left: Duration) -> String {
    if left == FOREVER {
        return String::new();
    }
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    format!(", {seconds} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_wait() {
        assert_eq!(until(Duration::from_millis(1200)), ", 2 s left");
        assert_eq!(until(Duration::from_secs(2)), ", 2 s left");
        assert_eq!(until(FOREVER), "");
    }
}
