//! A process that cannot be mistaken for another: its PID with its start time, held by a pidfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};

use crate::duration::Deadline;
use crate::signal::Signal;
use crate::sys;
use crate::table::Proc;

/// A PID, and the moment its process started in clock ticks since boot (field 22 of
/// proc_pid_stat(5)): together they name one process for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The PID.
    pub pid: i32,
    /// Start time in clock ticks since boot.
    pub start: u64,
}

impl Identity {
    /// When the process started, to one clock tick (10 ms); `None` where the clocks cannot be
    /// read.
    ///
    /// Ticks are counted from boot, so this rests on the difference between the two clocks as it
    /// is now (clock_gettime(2)); `btime` of `/proc/stat` has whole seconds only.
    #[must_use]
    pub fn started(self) -> Option<SystemTime> {
        let real = Duration::from(clock_gettime(ClockId::CLOCK_REALTIME).ok()?);
        let boot = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
        let after_boot =
            Duration::from_millis(self.start.saturating_mul(1000) / sys::ticks_per_second());
        SystemTime::UNIX_EPOCH.checked_add(real.checked_sub(boot)? + after_boot)
    }

    /// How long the process has been there.
    #[must_use]
    pub fn age(self) -> Duration {
        self.started()
            .and_then(|started| started.elapsed().ok())
            .unwrap_or_default()
    }
}

/// A process held by a pidfd (pidfd_open(2)): signals and waits reach it or nobody.
#[derive(Debug)]
pub struct Pinned {
    identity: Identity,
    fd: OwnedFd,
}

impl Pinned {
    /// Holds the process; `None` when it is gone, or its number has gone to another.
    ///
    /// # Errors
    /// Where the kernel has no pidfds (before 5.3), or no descriptor is left (EMFILE, ENFILE).
    pub fn open(proc: &Proc, identity: Identity) -> io::Result<Option<Self>> {
        let fd = match sys::pidfd_open(identity.pid) {
            Ok(fd) => fd,
            // EINVAL: the number of a thread that leads no process.
            Err(Errno::ESRCH | Errno::EINVAL | Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The number is pinned; now it must still be the one that was selected.
        let same = proc
            .stat(identity.pid)
            .is_some_and(|stat| stat.identity == identity);
        Ok(same.then_some(Self { identity, fd }))
    }

    /// Holds whatever process has this number now.
    ///
    /// # Errors
    /// As [`Pinned::open`].
    pub fn of_pid(proc: &Proc, pid: i32) -> io::Result<Option<Self>> {
        match proc.stat(pid) {
            Some(stat) => Self::open(proc, stat.identity),
            None => Ok(None),
        }
    }

    /// Which process this is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Sends a signal (pidfd_send_signal(2)); one to a dead process reaches nobody.
    ///
    /// # Errors
    /// EPERM where the process is not ours to signal; ESRCH where it is dead and reaped.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        sys::pidfd_send_signal(self.fd.as_fd(), signal)
    }

    /// Whether it is dead: all its threads have ended, whether or not its parent has reaped it.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Whether its number is still its own: it lives, or nobody has reaped it yet.
    #[must_use]
    pub fn has_its_number(&self) -> bool {
        !sys::pidfd_is_reaped(self.fd.as_fd())
    }

    /// Waits until it is dead, at most this long, and says whether it is.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        let deadline = Deadline::after(patience);
        loop {
            let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, poll_timeout(deadline.remaining())) {
                Ok(0) if deadline.passed() => return false,
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }
}

impl AsFd for Pinned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A length of time for poll(2) and epoll_wait(2), rounded up to its milliseconds and cut to
/// what fits: the caller looks at its deadline again.
#[must_use]
pub fn poll_timeout(length: Duration) -> PollTimeout {
    let millis = length.as_nanos().div_ceil(1_000_000);
    i32::try_from(millis)
        .ok()
        .and_then(|millis| PollTimeout::try_from(millis).ok())
        .unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn an_unreaped_child_is_dead_at_once() {
        let proc = Proc::open().unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pinned = Pinned::of_pid(&proc, pid).unwrap().unwrap();
        assert!(!pinned.is_dead());
        pinned.signal(Signal::KILL).unwrap();
        assert!(pinned.wait(Duration::from_secs(10)));
        assert_eq!(proc.stat(pid).unwrap().state, b'Z');
        assert!(pinned.has_its_number());
        child.wait().unwrap();
        assert!(!pinned.has_its_number());
        assert!(Pinned::open(&proc, pinned.identity()).unwrap().is_none());
    }

    #[test]
    fn another_start_time_is_another_process() {
        let proc = Proc::open().unwrap();
        let me = proc
            .stat(i32::try_from(std::process::id()).unwrap())
            .unwrap();
        let other = Identity {
            start: me.identity.start + 1,
            ..me.identity
        };
        assert!(Pinned::open(&proc, other).unwrap().is_none());
    }

    #[test]
    fn a_start_time_is_a_moment_of_the_clock() {
        let proc = Proc::open().unwrap();
        let before = SystemTime::now();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let started = proc
            .stat(i32::try_from(child.id()).unwrap())
            .and_then(|stat| stat.identity.started())
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let tick = Duration::from_millis(20);
        assert!(started >= before - tick && started <= SystemTime::now() + tick);
    }
}
