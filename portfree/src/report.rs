//! What is told to programs: records on standard output. The words are in [`crate::tell`].

use treekill::describe::user_name;
use treekill::duration::millis;
use treekill::exec::os_words;
use treekill::record::{Field, Output};
use treekill::table::{Proc, Stat};
use treekill::terminate::Outcome;
use treekill::words::Words;

use crate::describe::Described;
use crate::exit::Exit;
use crate::forwarder::engine_of;
use crate::ports::Port;
use crate::sockets::Socket;

/// Both streams.
#[derive(Debug)]
pub(crate) struct Report {
    out: Output,
    /// Standard error.
    pub(crate) words: Words,
}

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
        self.survivor(outcome);
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
