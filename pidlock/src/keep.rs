//! The keeper: waits for COMMAND, and hands on to it what is sent to us.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use nix::sys::signal::{Signal as Named, kill};
use nix::unistd::{Pid, getpgid, getpid, getsid};
use treekill::exec::Ending;
use treekill::sys::give_back_text;

use crate::sys::{self, Arrived};

/// A COMMAND that runs for longer is one to make ourselves small for.
const LONG_RUN: Duration = Duration::from_millis(200);

/// Waits until COMMAND has ended, and says how.
///
/// Every signal is blocked and read one by one: none is lost, and no handler runs.
#[must_use]
pub(crate) fn keep(command: i32) -> Ending {
    let mut keeper = Keeper {
        command,
        told_to_stop: false,
        command_stopped: false,
    };
    let mut patience = Some(LONG_RUN);
    loop {
        // COMMAND is our child and not reaped yet, so there is one more signal to come.
        match sys::next_signal(patience) {
            Some(arrived) => {
                if let Some(ending) = keeper.take(arrived) {
                    return ending;
                }
            }
            None if patience.take().is_some() => give_back_text(),
            None => {}
        }
    }
}

struct Keeper {
    command: i32,
    /// We were told to stop, as a job is. When COMMAND does stop then, so do we: the shell that
    /// waits for us must see its job stopped. A COMMAND that is stopped by other means stops
    /// alone, since nobody would think of waking us.
    told_to_stop: bool,
    /// COMMAND has stopped, as far as we have been told.
    command_stopped: bool,
}

impl Keeper {
    /// Acts on a signal; says how COMMAND ended, if it did.
    fn take(&mut self, arrived: Arrived) -> Option<Ending> {
        match arrived.number {
            libc::SIGCHLD => {
                if let Some(ending) = self.look() {
                    return Some(ending);
                }
            }
            number => {
                match number {
                    libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => self.told_to_stop = true,
                    libc::SIGCONT => self.told_to_stop = false,
                    _ => {}
                }
                if !self.has_reached_command(arrived) {
                    sys::send(self.command, number);
                }
            }
        }
        // Either may come first: that we are to stop, or that COMMAND has.
        if self.told_to_stop && self.command_stopped {
            self.stop_with_command();
        }
        None
    }

    /// Whether a terminal sent it, which sends to a whole process group at once.
    fn has_reached_command(&self, arrived: Arrived) -> bool {
        let of_terminal = matches!(
            arrived.number,
            libc::SIGINT
                | libc::SIGQUIT
                | libc::SIGHUP
                | libc::SIGWINCH
                | libc::SIGTSTP
                | libc::SIGTTIN
                | libc::SIGTTOU
                | libc::SIGCONT
        );
        // When a terminal closes, the leader of its session alone is told.
        let to_leader_alone =
            matches!(arrived.number, libc::SIGHUP | libc::SIGCONT) && getsid(None) == Ok(getpid());
        let same_group = getpgid(Some(Pid::from_raw(self.command))) == getpgid(None);
        arrived.from_kernel && of_terminal && same_group && !to_leader_alone
    }

    /// Looks what became of our children. As PID 1 we also reap those that others left.
    fn look(&mut self) -> Option<Ending> {
        while let Some((pid, status)) = sys::next_child() {
            if pid == self.command {
                if let Some(ending) = Ending::of(status) {
                    return Some(ending);
                }
                self.command_stopped = status.stopped_signal().is_some();
            }
        }
        None
    }

    /// Stops as COMMAND has, and sees to it that COMMAND goes on when we do.
    fn stop_with_command(&mut self) {
        // Perhaps we have been woken before we came to stop.
        if !sys::take_pending(Named::SIGCONT) {
            sys::stop();
            sys::take_pending(Named::SIGCONT);
        }
        self.told_to_stop = false;
        self.command_stopped = false;
        let _ = kill(Pid::from_raw(self.command), Named::SIGCONT);
    }
}
