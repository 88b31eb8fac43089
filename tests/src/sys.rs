//! What a child does between fork and exec, and what the hostile programs of the fire tests need of
//! the kernel: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Makes the command die with the thread that starts it (PR_SET_PDEATHSIG(2const)).
pub(crate) fn dies_with_its_starter(command: &mut Command) {
    // SAFETY: the closure makes one prctl call, which is async-signal-safe, and allocates nothing.
    unsafe {
        command.pre_exec(|| check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)));
    }
}

/// Makes the command lead a session of its own, without a terminal.
pub(crate) fn leads_a_session(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe.
    unsafe {
        command.pre_exec(|| check(libc::setsid()));
    }
}

/// Makes the command lead a session whose terminal is its standard input.
pub(crate) fn leads_a_terminal(command: &mut Command) {
    // SAFETY: setsid and ioctl are async-signal-safe; TIOCSCTTY takes a plain number.
    unsafe {
        command.pre_exec(|| {
            check(libc::setsid())?;
            check(libc::ioctl(0, libc::TIOCSCTTY, 0))
        });
    }
}

/// Brings the loopback interface of this network namespace up (netdevice(7), SIOCSIFFLAGS).
pub(crate) fn bring_loopback_up() -> io::Result<()> {
    // SAFETY: zeroed is a valid `ifreq`; both calls read and write only it, and the socket is
    // closed before returning.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(socket)?;
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        let up = check(libc::ioctl(socket, libc::SIOCGIFFLAGS, &raw mut request)).and_then(|()| {
            request.ifr_ifru.ifru_flags |= i16::try_from(libc::IFF_UP).unwrap_or_default();
            check(libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request))
        });
        libc::close(socket);
        up
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// fork(2) for a program of one thread: the child's PID, or `None` in the child.
///
/// # Errors
/// As fork(2).
pub fn fork() -> io::Result<Option<libc::pid_t>> {
    // SAFETY: whoever calls this has one thread, so the child's memory is whole and unlocked.
    let pid = unsafe { libc::fork() };
    check(pid)?;
    Ok((pid != 0).then_some(pid))
}

/// Ends this process at once (_exit(2)): nothing is flushed or run any more.
pub fn end_process(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// Ends the calling thread alone, even the first of its process (exit(2) without the group).
pub fn end_thread() -> ! {
    loop {
        // SAFETY: it does not return; the thread's stack is left as it is.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// Sets a signal to be ignored.
pub fn ignore(signal: nix::sys::signal::Signal) {
    // SAFETY: no handler is involved.
    unsafe { libc::signal(signal as i32, libc::SIG_IGN) };
}

/// Reaps a child, and returns how it ended and the most memory it ever had resident, in KiB
/// (wait4(2), getrusage(2)).
///
/// # Errors
/// As wait4(2).
pub fn reap_with_peak(pid: libc::pid_t) -> io::Result<(std::process::ExitStatus, i64)> {
    use std::os::unix::process::ExitStatusExt as _;
    let mut status = 0;
    // SAFETY: zeroed is a valid `rusage`; the call writes only to the two places it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        check(libc::wait4(pid, &raw mut status, 0, &raw mut usage))?;
        usage
    };
    let status = std::process::ExitStatus::from_raw(status);
    Ok((status, usage.ru_maxrss))
}

/// Sets the size of a terminal in character cells (ioctl_tty(2), TIOCSWINSZ).
pub(crate) fn set_terminal_size(terminal: &impl AsRawFd, rows: u16, columns: u16) {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is open for the length of the call, which reads one `winsize`.
    unsafe {
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size);
    }
}
