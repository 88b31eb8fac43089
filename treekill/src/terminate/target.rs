//! One member under way to its end.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Ending, Outcome};
use crate::describe::{Description, describe};
use crate::identity::{Identity, Pinned};
use crate::signal::Signal;
use crate::table::Proc;
use crate::tree::Member;

/// A member, how it is held, and what has happened to it.
pub(super) struct Target {
    pub(super) member: Member,
    description: Option<Description>,
    pub(super) pinned: Pin,
    pub(super) is_dead: bool,
    pub(super) is_denied: bool,
    signal: Option<Signal>,
    first_signal: Option<Instant>,
    end: Option<Instant>,
}

/// What pinning an identity came to.
pub(super) enum Pin {
    Held(Pinned),
    Gone,
    /// The descriptor limit is near: the identity is pinned anew at each use instead.
    NoDescriptor,
}

impl Pin {
    pub(super) fn of(proc: &Proc, identity: Identity) -> io::Result<Self> {
        match Pinned::open(proc, identity) {
            Ok(Some(pinned)) => Ok(Self::Held(pinned)),
            Ok(None) => Ok(Self::Gone),
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::EMFILE | Errno::ENFILE => Ok(Self::NoDescriptor),
                _ => Err(error),
            },
        }
    }
}

impl Target {
    pub(super) fn new(member: Member, pinned: Pin) -> Self {
        Self {
            member,
            description: None,
            is_dead: matches!(pinned, Pin::Gone),
            pinned,
            is_denied: false,
            signal: None,
            first_signal: None,
            end: None,
        }
    }

    /// Whether it lives and is ours to signal.
    pub(super) fn is_left(&self) -> bool {
        !self.is_dead && !self.is_denied
    }

    /// Whether the first signal has been tried on it.
    pub(super) fn was_signalled(&self) -> bool {
        self.first_signal.is_some()
    }

    /// Whether this was the last signal that it was sent for the record.
    pub(super) fn was_sent(&self, signal: Signal) -> bool {
        self.signal == Some(signal)
    }

    /// Reads its name and command line while it has them.
    pub(super) fn describe(&mut self, proc: &Proc) {
        if self.description.is_none() {
            self.description = Some(describe(proc, &self.member.stat));
        }
    }

    pub(super) fn set_dead(&mut self) {
        self.is_dead = true;
        self.end.get_or_insert_with(Instant::now);
    }

    /// Looks whether one that could not be pinned is still there.
    pub(super) fn look(&mut self, proc: &Proc) {
        let stat = proc.stat(self.member.stat.pid());
        let is_there = stat.is_some_and(|stat| {
            stat.identity == self.member.stat.identity && !matches!(stat.state, b'Z' | b'X')
        });
        if !is_there {
            self.set_dead();
        }
    }

    /// Sends a signal that the record will name; whether it was accepted.
    pub(super) fn send(&mut self, proc: &Proc, signal: Signal) -> bool {
        self.first_signal.get_or_insert_with(Instant::now);
        let accepted = self.send_quietly(proc, signal);
        if accepted {
            self.signal = Some(signal);
        }
        accepted
    }

    /// Sends a signal; whether it was accepted.
    pub(super) fn send_quietly(&mut self, proc: &Proc, signal: Signal) -> bool {
        let result = match &self.pinned {
            Pin::Held(pinned) => pinned.signal(signal),
            Pin::Gone => Err(Errno::ESRCH),
            Pin::NoDescriptor => match Pin::of(proc, self.member.stat.identity) {
                Ok(Pin::Held(pinned)) => pinned.signal(signal),
                Ok(Pin::Gone) => Err(Errno::ESRCH),
                Ok(Pin::NoDescriptor) | Err(_) => Err(Errno::EMFILE),
            },
        };
        match result {
            Ok(()) => return true,
            Err(Errno::EPERM) => self.is_denied = true,
            Err(Errno::ESRCH) => self.set_dead(),
            Err(_) => {}
        }
        false
    }

    /// What became of it. `asked` says whether there was a grace in which it could end.
    pub(super) fn outcome(self, proc: &Proc, asked: bool, now: Instant) -> Outcome {
        let stat = &self.member.stat;
        let ending = match self.signal {
            _ if !self.is_dead && self.is_denied => Ending::Denied,
            _ if !self.is_dead => Ending::Alive(proc.stat(stat.pid()).map_or(b'?', |s| s.state)),
            Some(Signal::KILL) => Ending::Kill,
            Some(_) => Ending::Term,
            // With the signal going to the roots alone, it ended because they did.
            None if asked && self.end.is_some() && self.first_signal.is_none() => Ending::Term,
            None => Ending::Gone,
        };
        let elapsed = self
            .first_signal
            .map_or(Duration::ZERO, |first| self.end.unwrap_or(now) - first);
        let description = self.description.unwrap_or_else(|| Description {
            name: stat.comm.clone(),
            cmdline: Vec::new(),
        });
        Outcome {
            member: self.member,
            description,
            ending,
            signal: self.signal,
            elapsed,
        }
    }
}
