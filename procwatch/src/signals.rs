//! What a signal that arrived here means for COMMAND.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal as Named};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};
use treekill::signal::Signal;
use treekill::table::Proc;

use crate::sys;

/// A signal that arrived, and how (`ssi_code` of signalfd(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Which one.
    pub(crate) signal: Signal,
    /// Whether the kernel sent it, as a terminal does, and not a process.
    pub(crate) by_kernel: bool,
}

/// What is to be done about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// A child changed.
    Reap,
    /// Stop COMMAND for good.
    Stop(Signal),
    /// Pass it on.
    Pass(Signal),
    /// Suspend COMMAND, and ourselves after it.
    Suspend(Signal),
    /// Nothing.
    Nothing,
}

/// Every signal, blocked and read from a descriptor.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: SignalFd,
    plain_init: bool,
    original: SigSet,
    /// Those of the terminal's signals that we were started to ignore, as by nohup(1).
    ignored: Vec<Named>,
    had_terminal: bool,
}

const FROM_TERMINAL: [Named; 6] = [
    Named::SIGHUP,
    Named::SIGINT,
    Named::SIGQUIT,
    Named::SIGTSTP,
    Named::SIGTTIN,
    Named::SIGTTOU,
];

impl Signals {
    /// Blocks every signal from here on; they arrive here instead. With `plain_init`, none of
    /// them means a stop.
    ///
    /// # Errors
    /// Where no descriptor is left.
    pub(crate) fn take(plain_init: bool) -> Result<Self, Errno> {
        let ignored = FROM_TERMINAL.into_iter().filter(|s| sys::is_ignored(*s));
        let ignored = ignored.collect();
        // Where our parent ignored CHLD, the kernel would reap in our place and lose the status.
        sys::set_default(Named::SIGCHLD);
        let original = SigSet::thread_get_mask()?;
        SigSet::all().thread_block()?;
        Ok(Self {
            fd: Self::descriptor()?,
            plain_init,
            original,
            ignored,
            had_terminal: has_terminal(),
        })
    }

    fn descriptor() -> Result<SignalFd, Errno> {
        SignalFd::with_flags(
            &SigSet::all(),
            SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
        )
    }

    /// The descriptor to wait on.
    pub(crate) fn fd(&self) -> &SignalFd {
        &self.fd
    }

    /// The mask we were started with, for the programs we start.
    pub(crate) fn original(&self) -> SigSet {
        self.original
    }

    /// The next signal that has arrived.
    pub(crate) fn next(&self) -> Option<Arrived> {
        loop {
            let info = self.fd.read_signal().ok()??;
            let number = i32::try_from(info.ssi_signo).ok()?;
            let by_kernel = info.ssi_code == libc::SI_KERNEL;
            let by_us = info.ssi_code == libc::SI_USER
                && i32::try_from(info.ssi_pid) == Ok(getpid().as_raw());
            // The kernel sends PIPE and XFSZ in our own name where a write of ours failed.
            let is_write_error = by_us && [libc::SIGPIPE, libc::SIGXFSZ].contains(&number);
            if let (Some(signal), false) = (Signal::from_number(number), is_write_error) {
                return Some(Arrived { signal, by_kernel });
            }
        }
    }

    /// What it means.
    pub(crate) fn order(&self, arrived: Arrived) -> Order {
        let Arrived { signal, by_kernel } = arrived;
        let is = |named: Named| signal.number() == named as i32;
        let is_hangup = is(Named::SIGHUP) && (by_kernel || self.lost_terminal());
        let of_terminal = by_kernel || is_hangup;
        let was_ignored = self.ignored.iter().any(|named| is(*named));
        if is(Named::SIGCHLD) {
            Order::Reap
        } else if of_terminal && was_ignored {
            Order::Nothing
        } else if is(Named::SIGTSTP) || is(Named::SIGTTIN) || is(Named::SIGTTOU) {
            Order::Suspend(signal)
        } else if self.plain_init {
            Order::Pass(signal)
        } else if is_hangup || is(Named::SIGTERM) || is(Named::SIGINT) || is(Named::SIGQUIT) {
            Order::Stop(signal)
        } else {
            Order::Pass(signal)
        }
    }

    /// Whether the terminal that we were started on is gone. A shell that is hung up sends HUP
    /// to its jobs itself, and only this tells it from a request to reload.
    fn lost_terminal(&self) -> bool {
        self.had_terminal && !has_terminal()
    }
}

/// Whether we have a controlling terminal (tty(4): opening `/dev/tty` fails without one).
fn has_terminal() -> bool {
    File::options()
        .read(true)
        .custom_flags(libc::O_NOCTTY)
        .open("/dev/tty")
        .is_ok()
}

/// Whether a signal that the kernel sent us has reached this child as well: a terminal signals
/// the whole foreground group, but its hang-up only the leader of the session.
pub(crate) fn reached(arrived: Arrived, child: i32) -> bool {
    let hangup_of_leader = arrived.signal.number() == libc::SIGHUP && getsid(None) == Ok(getpid());
    arrived.by_kernel && !hangup_of_leader && getpgid(Some(Pid::from_raw(child))) == Ok(getpgrp())
}

/// The signal that suspends this child: itself where the child handles or ignores it, else STOP,
/// whose effect is the same and also works where no shell could continue it.
pub(crate) fn suspending(proc: &Proc, child: i32, signal: Signal) -> Signal {
    let mut status = Vec::new();
    if proc
        .read_into(&format!("{child}/status"), &mut status)
        .is_err()
    {
        return signal;
    }
    let bit = 1_u64 << (signal.number() - 1);
    let set = |key: &str| {
        String::from_utf8_lossy(&status)
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    };
    let is_default = (set("SigIgn:") | set("SigCgt:") | set("SigBlk:")) & bit == 0;
    if is_default { Signal::STOP } else { signal }
}
