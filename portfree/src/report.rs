//! What is told: records on standard output, words on standard error.

use std::io;
use std::time::Duration;

use nix::unistd::geteuid;
use treekill::describe::user_name;
use treekill::duration::millis;
use treekill::exec::os_words;
use treekill::record::{Field, Output, escape};
use treekill::table::{Proc, Stat, Table};
use treekill::terminate::{Ending, Outcome, Step};
use treekill::words::{Loudness, Words};

use crate::assess::Assessment;
use crate::describe::{Described, label};
use crate::exit::Exit;
use crate::forwarder::{Engine, engine_of};
use crate::holders::{Found, Holder};
use crate::ports::{Port, Target};
use crate::select::{Selection, Spared};
use crate::sockets::{Socket, Sockets, Wanted};
use crate::stop;

/// Both streams.
#[derive(Debug)]
pub(crate) struct Report {
    out: Output,
    /// Standard error.
    pub(crate) words: Words,
}

/// Records.
impl Report {
    /// A report on these streams.
    pub(crate) fn new(out: Output, words: Words) -> Self {
        Self { out, words }
    }

    /// A holder or a connection with its socket; nobody where no process was seen.
    pub(crate) fn socket(&mut self, proc: &Proc, socket: &Socket, owner: Option<&Stat>) {
        let owner = owner.map(|stat| {
            let mut described = Described::of(proc, stat);
            if let Some(engine) = engine_of(stat) {
                described.origin.container = engine.container_on(socket);
            }
            (described, stat.identity.started())
        });
        let creator = || (socket.inode != 0).then(|| user_name(socket.uid));
        let user = match &owner {
            Some((described, _)) => described.user.clone(),
            None => creator(),
        };
        let (described, started) = owner.unzip();
        if let Some(described) = &described {
            self.words.step(format_args!(
                "{}: {}",
                socket.local(),
                described.at_length()
            ));
        }
        let place = Place {
            protocol: socket.protocol.name().into(),
            local: socket.local().to_string().into(),
            address: socket.address.to_string().into(),
            port: Field::number(socket.port),
            state: socket.state.name().into(),
        };
        self.process(place, described, user, started.flatten());
    }

    /// A process below a holder: it has no socket of its own to name.
    pub(crate) fn descendant(&mut self, proc: &Proc, stat: &Stat) {
        let described = Described::of(proc, stat);
        let user = described.user.clone();
        self.process(
            Place::unknown(),
            Some(described),
            user,
            stat.identity.started(),
        );
    }

    fn process(
        &mut self,
        place: Place,
        described: Option<Described>,
        user: Option<String>,
        started: Option<std::time::SystemTime>,
    ) {
        let pid = Field::from(described.as_ref().map(|d| d.pid));
        let origin = described
            .as_ref()
            .map(|d| d.origin.clone())
            .unwrap_or_default();
        let text = described.map(|d| d.text).unwrap_or_default();
        let (name, cmdline) = (Field::text(text.name), Field::text(text.cmdline));
        let plain = [
            place.protocol.clone(),
            place.local,
            place.state.clone(),
            pid.clone(),
            user.clone().into(),
            name.clone(),
            cmdline.clone(),
        ];
        let json = [
            ("proto", place.protocol),
            ("address", place.address),
            ("port", place.port),
            ("state", place.state),
            ("pid", pid),
            ("user", user.into()),
            ("name", name),
            ("cmdline", cmdline),
            ("unit", origin.unit.map(|unit| unit.name).into()),
            (
                "container",
                origin.container.map(|container| container.name).into(),
            ),
            ("started", started.into()),
        ];
        self.out.record(&plain, &json);
    }

    /// What became of a process.
    pub(crate) fn outcome(&mut self, outcome: &Outcome) {
        let stat = &outcome.member.stat;
        let pid = Field::from(stat.pid());
        let ending = Field::from(outcome.ending.word());
        let name = Field::text(outcome.description.name.clone());
        let cmdline = Field::text(outcome.description.cmdline.clone());
        let plain = [pid.clone(), ending.clone(), name.clone(), cmdline.clone()];
        let json = [
            ("pid", pid),
            ("ppid", stat.ppid.into()),
            ("outcome", ending),
            (
                "signal",
                outcome.signal.map(|signal| signal.to_string()).into(),
            ),
            ("elapsed_ms", Field::number(millis(outcome.elapsed))),
            ("name", name),
            ("cmdline", cmdline),
        ];
        self.out.record(&plain, &json);
        let who = label(stat);
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

    /// A PID alone.
    pub(crate) fn pid(&mut self, pid: i32) {
        self.out.record(&[pid.into()], &[("pid", pid.into())]);
    }

    /// A free port, its number alone.
    pub(crate) fn next(&mut self, port: Port) {
        let number = Field::number(port.number);
        let address = port.address.map(|address| address.to_string());
        let json = [
            ("proto", port.protocol.name().into()),
            ("address", address.into()),
            ("port", number.clone()),
        ];
        self.out.record(&[number], &json);
    }

    /// The number to end with. Where the records are all that was asked for, losing them is a
    /// failure.
    pub(crate) fn exit_code(&mut self, exit: Exit, only_records: bool) -> u8 {
        match self.out.check() {
            Err(error) => {
                self.words
                    .fail(format_args!("standard output: {}", os_words(&error)));
                if only_records {
                    Exit::Failed.code()
                } else {
                    exit.code()
                }
            }
            Ok(()) => exit.code(),
        }
    }
}

/// Where a process has its socket, as fields.
struct Place {
    protocol: Field,
    local: Field,
    address: Field,
    port: Field,
    state: Field,
}

impl Place {
    fn unknown() -> Self {
        Self {
            protocol: Field::Unknown,
            local: Field::Unknown,
            address: Field::Unknown,
            port: Field::Unknown,
            state: Field::Unknown,
        }
    }
}

/// Words.
impl Report {
    /// Steps of ending a tree.
    pub(crate) fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Signalled(member, signal) => {
                self.words
                    .step(format_args!("{}: {signal}", label(&member.stat)));
            }
            Step::Waiting(count, left) => {
                let (processes, left) = (processes(count), left.as_secs());
                self.words
                    .waiting(format_args!("{processes} to end, {left} s left"));
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
            let left = left.as_secs();
            self.words.waiting(format_args!(
                "{port}: waiting until it is free, {left} s left"
            ));
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
