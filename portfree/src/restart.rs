//! Who might start a holder again, and watching whether it does.

use std::io;
use std::time::{Duration, Instant};

use treekill::describe::describe;
use treekill::guard::{Guard, Refusal};
use treekill::identity::Pinned;
use treekill::table::{Proc, Stat, Table};

use crate::origin::Origin;

/// Programs that are a shell.
const SHELLS: [&[u8]; 10] = [
    b"sh", b"bash", b"dash", b"zsh", b"fish", b"ksh", b"mksh", b"ash", b"csh", b"tcsh",
];

/// Start times are counted in ticks of 10 ms and rounded down.
const CLOCK_TICKS: Duration = Duration::from_millis(20);

/// Whether this process, a parent of one that we ended, might start it again. Not PID 1, which
/// also adopts what others started; not our own ancestor, which waits for us; not a shell that
/// reads commands from a terminal.
pub(crate) fn may_restart(proc: &Proc, guard: &Guard, stat: &Stat) -> bool {
    let is_ours = matches!(
        guard.refusal(stat),
        Some(Refusal::Ourselves | Refusal::OurAncestor)
    );
    !is_ours && stat.pid() > 1 && !is_shell_on_a_terminal(proc, stat)
}

/// A shell with a terminal and without a script: no argument but options, and no `-c` in them.
fn is_shell_on_a_terminal(proc: &Proc, stat: &Stat) -> bool {
    let is_shell = SHELLS.contains(&stat.comm.as_slice());
    is_shell && stat.has_terminal && {
        let cmdline = describe(proc, stat).cmdline;
        let mut arguments = cmdline.split(|&b| b == b' ').skip(1);
        arguments.all(|word| {
            word.starts_with(b"--") || (word.starts_with(b"-") && !word.contains(&b'c'))
        })
    }
}

/// Those who might start again what is about to be ended.
#[derive(Debug, Default)]
pub(crate) struct Restarters {
    above: Vec<Pinned>,
    /// Whether a holder belongs to a service unit or a container other than our own: its manager
    /// is no parent, or one that ends with it.
    is_managed: bool,
}

impl Restarters {
    /// Pins the living parents of the holders, up to the first that starts nothing again.
    ///
    /// # Errors
    /// Where no process can be pinned.
    pub(crate) fn add<'a>(
        &mut self,
        proc: &Proc,
        table: &Table,
        holders: impl Iterator<Item = &'a Stat>,
    ) -> io::Result<()> {
        let guard = Guard::new(table);
        let ours = Origin::of(proc, nix::unistd::getpid().as_raw());
        for holder in holders {
            let Origin { unit, container } = Origin::of(proc, holder.pid());
            self.is_managed |= unit.is_some() && unit != ours.unit;
            self.is_managed |= container.is_some() && container != ours.container;
            let above = table.ancestors(holder.pid());
            let above = above.iter().filter_map(|&pid| table.get(pid));
            for stat in above.take_while(|stat| may_restart(proc, &guard, stat)) {
                if self
                    .above
                    .iter()
                    .all(|known| known.identity() != stat.identity)
                {
                    self.above.extend(Pinned::open(proc, stat.identity)?);
                }
            }
        }
        Ok(())
    }

    /// Whether one of them is still there.
    pub(crate) fn are_left(&self) -> bool {
        self.is_managed || self.above.iter().any(|pinned| !pinned.is_dead())
    }

    /// Whether one of them has a child that was started since then: it may be the holder's
    /// successor, on its way to the port.
    ///
    /// # Errors
    /// Where `/proc` cannot be listed.
    pub(crate) fn have_started_something(&self, proc: &Proc, since: Instant) -> io::Result<bool> {
        let is_one = |pid| {
            let mut living = self.above.iter().filter(|pinned| !pinned.is_dead());
            living.any(|pinned| pinned.identity().pid == pid)
        };
        let table = proc.table()?;
        let oldest = since.elapsed() + CLOCK_TICKS;
        let mut young = table.iter().filter(|stat| stat.identity.age() < oldest);
        Ok(young.any(|stat| is_one(stat.ppid)))
    }

    /// Waits this long, less where the last of them ends.
    pub(crate) fn wait(&self, pause: Duration) {
        match self.above.iter().find(|pinned| !pinned.is_dead()) {
            Some(pinned) if !self.is_managed => {
                let _ = pinned.wait(pause);
            }
            _ => std::thread::sleep(pause),
        }
    }
}
