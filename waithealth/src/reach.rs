//! From a peer's addresses to open connections: every address is tried, either answer counts.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::libc;
use treekill::duration::Deadline;

use crate::answer::{Answer, Health};
use crate::names::Names;
use crate::wire::{Dialing, Wire, dial, wait_any};

/// How long an address is given before the next one is dialled beside it (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Opens connections to the addresses of `names`, one after the other, and lets `speak` find
/// out how the server there is, until one is healthy. The answer is the one that says most.
pub(crate) fn reach(
    names: &mut Names,
    deadline: Deadline,
    mut speak: impl FnMut(Wire) -> Answer,
) -> Answer {
    let mut calls = match names.addresses(deadline) {
        Ok(addresses) => Calls::new(addresses),
        Err(answer) => return answer,
    };
    while let Some(wire) = calls.next(deadline) {
        let answer = speak(wire);
        if answer.health == Health::Healthy {
            return answer;
        }
        calls.heard(answer);
    }
    let verdict = calls.verdict();
    if verdict.health == Health::Unanswered {
        names.take_turns();
    }
    verdict
}

/// The calls of one attempt.
pub(crate) struct Calls {
    addresses: VecDeque<SocketAddr>,
    dialing: Vec<Dialing>,
    heard: Option<Answer>,
    /// An address that cannot be reached from here says nothing while another one does: most
    /// hosts without IPv6 still look it up.
    unroutable: Option<Answer>,
}

impl Calls {
    /// Calls to these addresses.
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses: addresses.into(),
            dialing: Vec::new(),
            heard: None,
            unroutable: None,
        }
    }

    /// The next open connection; `None` when there is no other, or the deadline has passed.
    pub(crate) fn next(&mut self, deadline: Deadline) -> Option<Wire> {
        loop {
            if let Some(address) = self.addresses.pop_front() {
                match dial(address) {
                    Ok(dialing) => self.dialing.push(dialing),
                    Err(error) => {
                        self.failed(&error);
                        continue;
                    }
                }
            }
            if self.dialing.is_empty() {
                return None;
            }
            let patience = match self.addresses.is_empty() {
                true => deadline,
                false => deadline.earlier(Deadline::after(STAGGER)),
            };
            match wait_any(&self.dialing, patience) {
                Ok(Some(place)) => match self.dialing.swap_remove(place).finish(deadline) {
                    Ok(wire) => return Some(wire),
                    Err(error) => self.failed(&error),
                },
                Ok(None) if deadline.passed() => {
                    self.heard(Answer::silence());
                    return None;
                }
                Ok(None) => {}
                Err(error) => {
                    self.failed(&error);
                    return None;
                }
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        let no_way = [libc::ENETUNREACH, libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT];
        let answer = Answer::from_io(error);
        if error
            .raw_os_error()
            .is_some_and(|code| no_way.contains(&code))
        {
            self.unroutable = Some(answer);
        } else {
            self.heard(answer);
        }
    }

    /// Remembers an answer; who speaks says more than who is silent, and that more than a refusal.
    pub(crate) fn heard(&mut self, answer: Answer) {
        let weight = |answer: &Answer| match answer.health {
            Health::Refused => 0,
            Health::Unanswered => 1,
            Health::Unhealthy => 2,
            Health::Healthy => 3,
        };
        if self
            .heard
            .as_ref()
            .is_none_or(|before| weight(before) < weight(&answer))
        {
            self.heard = Some(answer);
        }
    }

    /// What all the calls together heard.
    pub(crate) fn verdict(self) -> Answer {
        self.heard
            .or(self.unroutable)
            .unwrap_or_else(Answer::silence)
    }
}
