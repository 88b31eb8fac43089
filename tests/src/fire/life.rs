//! Random lives of a COMMAND that is restarted: what it starts, and how it ends.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::Rng;
use super::tree::{Node, Temper};

/// One run of the COMMAND.
#[derive(Clone, Debug)]
pub struct Life {
    /// What it starts; the root is the COMMAND, and its temper what it does when told to end.
    pub tree: Node,
    /// How long it lasts, if it ends by itself.
    pub lasts: Duration,
    /// How it ends by itself.
    pub end: End,
}

/// How a COMMAND ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
    /// Not at all.
    Never,
}

impl Life {
    /// The life of that run, 0 being the first; `may_stay` says whether one may be without end.
    #[must_use]
    pub fn of(seed: u64, run: u64, may_stay: bool) -> Self {
        let mut rng = Rng::new(seed.wrapping_add(run));
        let size = *rng.pick(&[1, 1, 2, 5, 12]);
        let mut tree = Node::random(&mut rng, size);
        tree.temper = *rng.pick(&[Temper::Ends, Temper::Ends, Temper::Ignores, Temper::Lingers]);
        let end = match rng.below(10) {
            0..=2 if may_stay => End::Never,
            3 | 4 => End::Code(0),
            5 | 6 => End::Signal(*rng.pick(&[
                Signal::SIGKILL,
                Signal::SIGTERM,
                Signal::SIGSEGV,
                Signal::SIGABRT,
                Signal::SIGHUP,
                Signal::SIGINT,
                Signal::SIGUSR1,
            ])),
            _ => End::Code(i32::try_from(rng.below(256)).unwrap_or_default()),
        };
        Self {
            tree,
            lasts: rng.micros(20_000),
            end,
        }
    }
}
