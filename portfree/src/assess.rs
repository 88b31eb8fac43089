//! Whether ports are free: a clean answer of the kernel and a successful bind.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::ports::{Port, Target};
use crate::prove::{Proof, addresses, bind_for_a_moment};
use crate::sockets::{Socket, Sockets, Wanted};

/// What stands between the ports and a server that starts now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assessment {
    /// The sockets that hold a port.
    pub(crate) holding: Vec<Socket>,
    /// Connections and leftovers over which bind fails, on ports that nobody holds.
    pub(crate) in_the_way: Vec<Socket>,
    /// Ports that cannot be bound though the kernel shows no socket on them.
    pub(crate) blocked: Vec<Port>,
    /// Ports that this user may not bind: the kernel's answer alone speaks for them.
    pub(crate) unproved: Vec<Port>,
    /// Whether what was in the way of a bind may be gone in a moment: somebody else's proof, or
    /// a connection that is just ending.
    may_pass: bool,
}

impl Assessment {
    /// Whether a server can start on every port.
    pub(crate) fn is_free(&self) -> bool {
        self.holding.is_empty() && self.in_the_way.is_empty() && self.blocked.is_empty()
    }
}

/// A port on which something passes is assessed this often, with a pause.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// Assesses the ports.
///
/// # Errors
/// Where the kernel does not answer, or binding fails for another reason than the port.
pub(crate) fn assess(sockets: &mut Sockets, targets: &[Target]) -> io::Result<Assessment> {
    let mut assessment = assess_once(sockets, targets)?;
    for _ in 1..TRIES {
        if !assessment.may_pass {
            break;
        }
        sleep(PAUSE);
        assessment = assess_once(sockets, targets)?;
    }
    Ok(assessment)
}

/// Where a holder is found, its port is not bound: that proves nothing new.
fn assess_once(sockets: &mut Sockets, targets: &[Target]) -> io::Result<Assessment> {
    let mut assessment = Assessment {
        holding: sockets.holding(targets)?,
        ..Assessment::default()
    };
    let mut in_use = Vec::new();
    for port in targets.iter().flat_map(Target::each) {
        if assessment
            .holding
            .iter()
            .any(|socket| port.is_met_by(socket))
        {
            continue;
        }
        match prove(port)? {
            Proof::InUse => in_use.push(port),
            Proof::NotAllowed => assessment.unproved.push(port),
            Proof::Free | Proof::NoSuchAddress => {}
        }
    }
    if !in_use.is_empty() {
        let all = sockets.look(targets, Wanted::All)?;
        assessment.explain(&in_use, &all, sockets);
    }
    Ok(assessment)
}

impl Assessment {
    /// Finds what is in the way of the ports that could not be bound.
    fn explain(&mut self, in_use: &[Port], all: &[Socket], sockets: &Sockets) {
        for &port in in_use {
            let mut explained = false;
            for socket in all.iter().filter(|socket| port.is_met_by(socket)) {
                explained = true;
                self.may_pass |= socket.is_passing();
                // A holder that came between the two looks.
                let list = if sockets.is_holder(socket) {
                    &mut self.holding
                } else {
                    &mut self.in_the_way
                };
                if !list.contains(socket) {
                    list.push(*socket);
                }
            }
            if !explained {
                self.may_pass = true;
                self.blocked.push(port);
            }
        }
    }
}

/// Binds each address a server may want of this port; the worst of the answers.
///
/// # Errors
/// What has nothing to do with the port.
pub(crate) fn prove(port: Port) -> io::Result<Proof> {
    let mut worst = Proof::NoSuchAddress;
    for address in addresses(port) {
        match bind_for_a_moment(port.protocol, address, port.number)? {
            Proof::InUse => return Ok(Proof::InUse),
            Proof::NotAllowed => worst = Proof::NotAllowed,
            Proof::Free if worst != Proof::NotAllowed => worst = Proof::Free,
            Proof::Free | Proof::NoSuchAddress => {}
        }
    }
    Ok(worst)
}
