//! The system calls that std and nix do not offer: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal as Named, sigaction, sigprocmask,
};
use nix::sys::time::TimeSpec;

/// Forks (fork(2)); `None` in the child, its PID in the parent.
///
/// # Errors
/// EAGAIN: too many processes; ENOMEM.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: this program has one thread, so the child may do whatever the parent may.
    let pid = unsafe { libc::fork() };
    let pid = Errno::result(pid)?;
    Ok((pid != 0).then_some(pid))
}

/// Takes (`LOCK_EX`), tries to take (`LOCK_EX | LOCK_NB`) or drops (`LOCK_UN`) the lock of
/// flock(2).
///
/// # Errors
/// EWOULDBLOCK: another one has it; EINTR; ENOLCK.
pub(crate) fn flock(file: &File, operation: i32) -> Result<(), Errno> {
    // SAFETY: takes two integers.
    let result = unsafe { libc::flock(file.as_raw_fd(), operation) };
    Errno::result(result).map(drop)
}

/// The same file under a descriptor of at least `least`, closed on exec; the old one is closed.
/// A process must not hold a record lock on the file yet: the close would drop it.
#[must_use]
pub(crate) fn moved_up(file: File, least: RawFd) -> File {
    // SAFETY: takes integers; a result that is no error is a new descriptor that is ours.
    unsafe {
        let fd = libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least);
        if fd < 0 { file } else { File::from_raw_fd(fd) }
    }
}

/// Makes a descriptor survive exec.
///
/// # Errors
/// As fcntl(2).
pub(crate) fn keep_on_exec(file: &File) -> io::Result<()> {
    // SAFETY: takes integers.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
    Ok(Errno::result(result).map(drop)?)
}

/// Puts `file` in the place of descriptor `at` (dup2(2)).
///
/// # Errors
/// As dup2(2).
pub(crate) fn place(file: &File, at: RawFd) -> io::Result<()> {
    // SAFETY: only descriptors 0 to 2 are given here, which no value in this program owns.
    let result = unsafe { libc::dup2(file.as_raw_fd(), at) };
    Ok(Errno::result(result).map(drop)?)
}

/// Takes O_NONBLOCK off a descriptor that was opened with it (fcntl(2)).
///
/// # Errors
/// As fcntl(2).
pub(crate) fn make_blocking(file: &File) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Closes every descriptor above 2 but these (close_range(2)).
pub(crate) fn close_all_but(kept: &[RawFd]) {
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    kept.push(RawFd::MAX);
    let mut from = 3;
    for fd in kept {
        if from < fd {
            close_range(from, fd - 1);
        }
        from = fd.saturating_add(1);
    }
}

fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: takes integers. What is closed here was inherited from the caller, or belongs to
    // values that this process never uses again.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) == 0 {
            return;
        }
        // Before Linux 5.9.
        let limit = i32::try_from(libc::sysconf(libc::_SC_OPEN_MAX)).unwrap_or(1024);
        for fd in first..=last.min(limit) {
            libc::close(fd);
        }
    }
}

/// The signal state that this process was started with, put aside while it waits for COMMAND.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signals {
    mask: SigSet,
    child: SigAction,
}

impl Signals {
    /// Blocks every signal, to be read with [`next_signal`], and sees to it that a child that
    /// ends can be waited for (a caller may have left SIGCHLD ignored).
    ///
    /// # Errors
    /// As sigprocmask(2) and sigaction(2).
    pub(crate) fn put_aside() -> io::Result<Self> {
        let mut mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut mask))?;
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action is no handler.
        let child = unsafe { sigaction(Named::SIGCHLD, &default) }?;
        Ok(Self { mask, child })
    }

    /// Gives COMMAND what we were given.
    ///
    /// # Errors
    /// As sigprocmask(2) and sigaction(2).
    pub(crate) fn restore(&self) -> io::Result<()> {
        // SAFETY: this program sets no handler for SIGCHLD, so the old action is none.
        unsafe { sigaction(Named::SIGCHLD, &self.child) }?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None)?;
        Ok(())
    }
}

/// A signal that reached this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    /// Its number.
    pub number: i32,
    /// Whether the kernel itself sent it, as it does for a terminal.
    pub from_kernel: bool,
}

/// Waits for the next signal (sigwaitinfo(2)), at most for `patience` if there is one; `None` when
/// that ran out or the wait was interrupted.
#[must_use]
pub(crate) fn next_signal(patience: Option<Duration>) -> Option<Arrived> {
    let set = SigSet::all();
    let patience = patience.map(|length| *TimeSpec::from(length).as_ref());
    let limit = patience
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: zeroed is a valid `siginfo_t`; set, info and limit live through the call.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let number = libc::sigtimedwait(set.as_ref(), &raw mut info, limit);
        (number > 0).then_some(Arrived {
            number,
            from_kernel: info.si_code == libc::SI_KERNEL,
        })
    }
}

/// Takes this signal, if it has already arrived (sigtimedwait(2)).
pub(crate) fn take_pending(signal: Named) -> bool {
    let mut set = SigSet::empty();
    set.add(signal);
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: set and time live through the call; a null info is allowed.
    unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &raw const at_once) > 0 }
}

/// Sends a signal to our own child, which keeps its number until we reap it (kill(2)).
pub(crate) fn send(child: i32, signal: i32) {
    // SAFETY: takes two integers.
    unsafe {
        libc::kill(child, signal);
    }
}

/// Stops this process as a terminal would (SIGTSTP); returns when it is continued, and at once
/// where there is no shell that could do that (an orphaned process group).
pub(crate) fn stop() {
    let mut set = SigSet::empty();
    set.add(Named::SIGTSTP);
    let _ = nix::sys::signal::raise(Named::SIGTSTP);
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None);
}

/// What became of a child that ended, stopped or went on, if any did (waitpid(2)).
#[must_use]
pub(crate) fn next_child() -> Option<(i32, ExitStatus)> {
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
    (pid > 0).then(|| (pid, ExitStatus::from_raw(status)))
}

/// Waits for a child that is about to end (waitpid(2)).
pub(crate) fn reap(child: i32) {
    // SAFETY: a null status is allowed.
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } < 0
        && Errno::last() == Errno::EINTR
    {}
}

/// A timer that interrupts system calls that block, and the signal state from before it.
pub(crate) struct Alarm {
    timer: KernelTimer,
    action: SigAction,
    mask: SigSet,
}

/// After the first time the timer goes off this often: the first may come just before the call
/// that it is to interrupt.
const AGAIN: Duration = Duration::from_millis(20);

extern "C" fn only_interrupt(_: libc::c_int) {}

impl Alarm {
    /// Interrupts what blocks after `length`, and from then on every 20 ms.
    ///
    /// # Errors
    /// As timer_create(2).
    pub(crate) fn start(length: Duration) -> io::Result<Self> {
        // No SA_RESTART: the call that blocks returns EINTR.
        let handler = SigHandler::Handler(only_interrupt);
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        let action = unsafe { sigaction(Named::SIGVTALRM, &action) }?;
        let (mut set, mut mask) = (SigSet::empty(), SigSet::empty());
        set.add(Named::SIGVTALRM);
        sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), Some(&mut mask))?;
        let timer = KernelTimer::start(length.max(Duration::from_nanos(1)).min(LONGEST_TIMER))?;
        Ok(Self {
            timer,
            action,
            mask,
        })
    }

    /// Ends it, and puts the signal state back as it was.
    ///
    /// # Errors
    /// As sigaction(2).
    pub(crate) fn stop(self) -> io::Result<()> {
        self.timer.stop();
        // SAFETY: this program has no other handler for this signal, so the old action is none.
        unsafe { sigaction(Named::SIGVTALRM, &self.action) }?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None)?;
        Ok(())
    }
}

/// What a timer can count; whoever waits longer looks at the clock again.
const LONGEST_TIMER: Duration = Duration::from_secs(86_400);

/// A timer of timer_create(2), asked of the kernel itself: the C library's own would bring its
/// threads, and with them its resolver, into a static build (a tenth of the program).
struct KernelTimer(libc::c_int);

impl KernelTimer {
    /// Sends SIGVTALRM after `length`, and then every [`AGAIN`].
    fn start(length: Duration) -> Result<Self, Errno> {
        let times = libc::itimerspec {
            it_value: *TimeSpec::from(length).as_ref(),
            it_interval: *TimeSpec::from(AGAIN).as_ref(),
        };
        let mut timer = Self(0);
        // SAFETY: zeroed is a valid `sigevent`; it, the number and the times live through the
        // calls, and have the kernel's layout.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGVTALRM;
            let clock = libc::CLOCK_MONOTONIC;
            let made = libc::syscall(
                libc::SYS_timer_create,
                clock,
                &raw const event,
                &raw mut timer.0,
            );
            Errno::result(made)?;
            let unwanted = std::ptr::null_mut::<libc::itimerspec>();
            let set = libc::syscall(
                libc::SYS_timer_settime,
                timer.0,
                0,
                &raw const times,
                unwanted,
            );
            Errno::result(set)?;
        }
        Ok(timer)
    }

    /// Ends it.
    fn stop(self) {
        // SAFETY: takes one integer.
        unsafe {
            libc::syscall(libc::SYS_timer_delete, self.0);
        }
    }
}

/// Makes a pipe, both ends closed on exec.
///
/// # Errors
/// EMFILE, ENFILE.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}
