//! A connection whose every read and write ends at one deadline.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, connect, getpeername,
    getsockname, getsockopt, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use treekill::duration::{Deadline, FOREVER};

/// Pause before another try at a Unix socket whose queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(5);

/// An open connection, TCP or Unix.
#[derive(Debug)]
pub(crate) struct Wire {
    fd: OwnedFd,
    /// When every read and write on it ends, with [`io::ErrorKind::TimedOut`].
    pub deadline: Deadline,
}

/// A TCP connection on its way.
#[derive(Debug)]
pub(crate) struct Dialing {
    fd: OwnedFd,
}

/// Starts to connect (connect(2) on a non-blocking socket).
///
/// # Errors
/// What the kernel says at once: refused, no route, no such family.
pub(crate) fn dial(address: SocketAddr) -> io::Result<Dialing> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd = stream_socket(family)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(Dialing { fd }),
        Err(error) => Err(error.into()),
    }
}

impl Dialing {
    /// The connection, once [`wait_any`] has said that the dialling is over.
    ///
    /// # Errors
    /// Why it failed. A socket that was connected to itself counts as refused: on loopback the
    /// kernel may choose the port that is asked for as the source, and then nobody is there.
    pub(crate) fn finish(self, deadline: Deadline) -> io::Result<Wire> {
        match getsockopt(&self.fd, sockopt::SocketError)? {
            0 => {}
            code => return Err(io::Error::from_raw_os_error(code)),
        }
        let number = self.fd.as_raw_fd();
        let ours: SockaddrStorage = getsockname(number)?;
        let theirs: SockaddrStorage = getpeername(number)?;
        if ours == theirs {
            // A reset instead of TIME_WAIT, which would keep the server from its port.
            let reset = nix::libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            setsockopt(&self.fd, sockopt::Linger, &reset)?;
            return Err(Errno::ECONNREFUSED.into());
        }
        Ok(Wire {
            fd: self.fd,
            deadline,
        })
    }
}

/// Waits until one of them is over and returns its place; `None` when `deadline` came first.
pub(crate) fn wait_any(dialing: &[Dialing], deadline: Deadline) -> io::Result<Option<usize>> {
    let mut fds: Vec<PollFd<'_>> = dialing
        .iter()
        .map(|each| PollFd::new(each.fd.as_fd(), PollFlags::POLLOUT))
        .collect();
    poll_until(&mut fds, deadline)?;
    Ok(fds.iter().position(|fd| fd.any().unwrap_or(false)))
}

/// Connects to a Unix socket.
///
/// # Errors
/// What the kernel says, or [`io::ErrorKind::TimedOut`] while its queue stays full.
pub(crate) fn connect_unix(path: &Path, deadline: Deadline) -> io::Result<Wire> {
    let address = UnixAddr::new(path)?;
    loop {
        let fd = stream_socket(AddressFamily::Unix)?;
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(Wire { fd, deadline }),
            Err(Errno::EAGAIN) if !deadline.passed() => {
                std::thread::sleep(QUEUE_FULL.min(deadline.remaining()));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    Ok(socket(family, SockType::Stream, flags, None)?)
}

/// ppoll(2) until something is ready or the deadline has passed; `false` is the latter.
fn poll_until(fds: &mut [PollFd<'_>], deadline: Deadline) -> io::Result<bool> {
    loop {
        let left = deadline.remaining();
        // A day at a time: TimeSpec cannot hold for ever.
        let patience =
            (left != FOREVER).then(|| TimeSpec::from(left.min(Duration::from_secs(86_400))));
        match ppoll(fds, patience, None) {
            Ok(0) if deadline.passed() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Wire {
    fn ready(&self, what: PollFlags) -> io::Result<()> {
        // Checked here too: who drips a byte whenever we look would never make poll wait.
        let in_time = !self.deadline.passed()
            && poll_until(&mut [PollFd::new(self.fd.as_fd(), what)], self.deadline)?;
        if in_time {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ready(PollFlags::POLLIN)?;
            match nix::unistd::read(&self.fd, buffer) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.ready(PollFlags::POLLOUT)?;
            match nix::unistd::write(&self.fd, bytes) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
