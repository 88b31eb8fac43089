//! The system calls that std and nix do not offer: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal as Named};

use crate::signal::Signal;

/// Whether SIGPIPE was ignored when this process was started, before Rust's runtime ignored it.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Looks at SIGPIPE before `main`, and so before Rust's runtime changes it.
extern "C" fn look_at_sigpipe() {
    // SAFETY: zeroed is a valid `sigaction`; with a null action the call only fills `now`.
    let ignored = unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut now);
        now.sa_sigaction == libc::SIG_IGN
    };
    SIGPIPE_WAS_IGNORED.store(ignored, Ordering::Relaxed);
}

// SAFETY: the loader calls each pointer in `.init_array` once, before `main`; the function
// needs no runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look_at_sigpipe;

/// Lets a program begin at this function of its own, `fn()`, in the place of std's start: that reads
/// `/proc/self/maps` for a handler of stack overflows, which a program that is there and gone would
/// pay for each time. The crate says `#![cfg_attr(not(test), no_main)]`.
#[macro_export]
macro_rules! begin_at {
    ($main:path) => {
        #[cfg(not(test))]
        mod entry {
            use std::ffi::{c_char, c_int};

            // SAFETY: the one `main` of the program; the C library calls it once, with its own
            // types. The arguments are std's from before (`.init_array`).
            #[allow(unsafe_code)]
            #[unsafe(no_mangle)]
            extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
                $crate::sys::prepare_streams();
                $main();
                0
            }
        }
    };
}

/// What else std's start does, for [`begin_at!`](crate::begin_at): a descriptor that is opened later
/// must not become a standard stream by accident, and a reader that went away is an error of
/// write(2), not our end.
pub fn prepare_streams() {
    // SAFETY: the name ends in NUL; SIG_IGN is no handler that could run.
    unsafe {
        for fd in 0..=2 {
            if libc::fcntl(fd, libc::F_GETFD) < 0 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// Makes the command start with the signal mask of this moment and the SIGPIPE disposition that
/// we were started with.
pub fn pass_signals_through(command: &mut Command) {
    let mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
    pass_signals_through_with(command, mask);
}

/// The same with this signal mask, for a program that has blocked signals of its own meanwhile.
pub fn pass_signals_through_with(command: &mut Command, mask: SigSet) {
    let restore = move || restore_signals(&mask);
    // SAFETY: between fork and exec the closure only calls sigaction and sigprocmask, which are
    // async-signal-safe (signal-safety(7)).
    unsafe {
        command.pre_exec(restore);
    }
}

fn restore_signals(mask: &SigSet) -> io::Result<()> {
    if SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed) {
        // SAFETY: SIG_IGN is no handler that could run.
        unsafe { nix::sys::signal::signal(Named::SIGPIPE, SigHandler::SigIgn) }?;
    }
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None)?;
    Ok(())
}

/// Ends this process by `signal` with its default action, leaving no core file. Returns only
/// where the signal does not end a process.
pub fn die_by(signal: Signal) {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // SAFETY: the default action is no handler; the set is filled before it is used; raise and
    // pthread_sigmask have no memory preconditions.
    unsafe {
        libc::signal(signal.number(), libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal.number());
        libc::raise(signal.number());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Columns of the terminal behind `fd` (ioctl_tty(2), TIOCGWINSZ); `None` where it says none.
pub fn terminal_columns(fd: &impl AsFd) -> Option<u16> {
    // SAFETY: zeroed is a valid `winsize`, and TIOCGWINSZ writes one.
    let columns = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        let result = libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size);
        (result == 0).then_some(size.ws_col)?
    };
    (columns > 0).then_some(columns)
}

/// Clock ticks per second of `/proc/PID/stat` (sysconf(3), `_SC_CLK_TCK`).
#[must_use]
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf only returns a number.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(0).max(1)
}

/// A descriptor of the process with this number, closed on exec (pidfd_open(2)).
///
/// # Errors
/// ESRCH: no such process; EINVAL: the number of a thread; EMFILE and ENFILE; ENOSYS before
/// Linux 5.3.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes two integers; a non-negative result is a new descriptor that nobody
    // else owns.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(
            i32::try_from(fd).map_err(|_| Errno::EBADF)?,
        ))
    }
}

/// Sends a signal to the process that a pidfd holds (pidfd_send_signal(2)).
///
/// # Errors
/// EPERM: not ours to signal; ESRCH: dead and reaped.
pub fn pidfd_send_signal(fd: BorrowedFd<'_>, signal: Signal) -> Result<(), Errno> {
    pidfd_send(fd, signal.number())
}

/// Whether the process that a pidfd holds is dead and reaped, so that its number may go to
/// another: signal 0 reaches nobody, and only a reaped process has no number any more.
#[must_use]
pub fn pidfd_is_reaped(fd: BorrowedFd<'_>) -> bool {
    pidfd_send(fd, 0) == Err(Errno::ESRCH)
}

fn pidfd_send(fd: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for the length of the call, and a null siginfo is allowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd.as_raw_fd(),
            number,
            no_info,
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// Gives back the memory of program text and constants that starting up has touched, which is most
/// of what a process that only waits has. What is still needed is mapped again from the page cache
/// when it is used (madvise(2), MADV_DONTNEED).
pub fn give_back_text() {
    unsafe extern "C" {
        // Where the program begins in memory and where its code ends (end(3)).
        static __executable_start: u8;
        static etext: u8;
    }
    // SAFETY: sysconf only returns a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let start = (&raw const __executable_start).addr() / page * page;
    let end = (&raw const etext).addr() / page * page;
    // SAFETY: these pages are mapped from the program's file and never written, so what is dropped
    // comes back as it was.
    unsafe {
        libc::madvise(
            std::ptr::without_provenance_mut(start),
            end.saturating_sub(start),
            libc::MADV_DONTNEED,
        );
    }
}
