//! The system calls that std and nix do not offer: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal as Named, sigprocmask};
use nix::unistd::{ForkResult, getppid};
use treekill::signal::Signal;

/// What waitpid(2) has to say about our children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This child ended so, and is reaped.
    Ended(i32, ExitStatus),
    /// There are children, and none has ended.
    NoneEnded,
    /// There is no child left (ECHILD).
    NoneLeft,
}

/// Reaps one child without waiting for it. Not nix: it knows no real-time signals, and a status
/// with one would be lost.
pub(crate) fn reap() -> Reaped {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes one integer, which is ours.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            0 => return Reaped::NoneEnded,
            1.. => return Reaped::Ended(pid, ExitStatus::from_raw(status)),
            _ if Errno::last() == Errno::EINTR => {}
            _ => return Reaped::NoneLeft,
        }
    }
}

/// Whether this process has children, dead or alive.
pub(crate) fn has_children() -> bool {
    // SAFETY: zeroed is a valid `siginfo_t`, and WNOWAIT leaves every child as it is.
    let result = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_ALL, 0, &raw mut info, flags)
    };
    result == 0
}

/// Makes another process of this one (fork(2)): its PID here, `None` there.
///
/// # Errors
/// EAGAIN and ENOMEM, as fork(2).
pub(crate) fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: called while this process has one thread, so the child may do all that we may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child.as_raw())),
        ForkResult::Child => Ok(None),
    }
}

/// Makes this process die with its parent, which must be this one (PR_SET_PDEATHSIG(2const)).
///
/// # Errors
/// ESRCH: the parent is dead already.
pub(crate) fn die_with_parent(parent: i32) -> Result<(), Errno> {
    prctl::set_pdeathsig(Named::SIGKILL)?;
    // It may have died before the kernel knew.
    if getppid().as_raw() == parent {
        Ok(())
    } else {
        Err(Errno::ESRCH)
    }
}

/// Makes the command die with this process, the moment this process is gone.
pub(crate) fn bind_to_us(command: &mut Command) {
    let us = nix::unistd::getpid().as_raw();
    let bind = move || die_with_parent(us).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure only calls prctl and getppid, which are
    // async-signal-safe; turning an errno into an error allocates nothing.
    unsafe {
        command.pre_exec(bind);
    }
}

/// Whether this signal is ignored in this process.
pub(crate) fn is_ignored(signal: Named) -> bool {
    // SAFETY: zeroed is a valid `sigaction`; with a null action the call only fills `now`.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal as i32, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Gives a signal its default action.
pub(crate) fn set_default(signal: Named) {
    // SAFETY: the default action is no handler that could run.
    let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
}

/// Suspends this process by the default action of a terminal's signal, which the kernel leaves
/// undone where no shell could continue us (an orphaned process group, credentials(7)). The
/// signal must be blocked and have its default action.
pub(crate) fn suspend_by(signal: Named) {
    let mut only = SigSet::empty();
    only.add(signal);
    let _ = nix::sys::signal::raise(signal);
    // Here it is delivered, and here we go on once somebody sends CONT.
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None);
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&only), None);
}

/// Sends a signal to a child of ours that is not reaped yet, so that its PID is its own. Not
/// nix: it knows no real-time signals.
pub(crate) fn signal_child(pid: i32, signal: Signal) {
    // SAFETY: kill takes two integers.
    let _ = unsafe { libc::kill(pid, signal.number()) };
}
