//! PID files: reading them safely, and asking the kernel who holds one.
//!
//! A PID file under `pidlock` is locked with POSIX record locks (fcntl_locking(2)), which belong
//! to a process, are gone when it is, survive exec and are not inherited by fork. Two bytes are
//! used, each by the process it stands for:
//!
//! | byte | locked by |
//! |---|---|
//! | [`COMMAND_BYTE`] | COMMAND itself, taken between fork and exec |
//! | [`KEEPER_BYTE`] | the `pidlock` that waits for it |
//!
//! Besides, the keeper holds flock(2) on the whole file, for scripts that know only that.
//!
//! One trap for every process that *holds* such a lock: closing any descriptor of the file drops
//! it. The processes that only ask, as here, may open and close as they like.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use nix::fcntl::{FcntlArg, fcntl};

use crate::exec::os_words;
use crate::table::Proc;

/// The byte of FILE that COMMAND's own lock is on.
pub const COMMAND_BYTE: i64 = 0;
/// The byte of FILE that the lock of the waiting `pidlock` is on.
pub const KEEPER_BYTE: i64 = 1;

/// No PID file is longer than this: what is, is something else.
const LONGEST: usize = 4096;

/// Why a PID file cannot be opened.
#[derive(Debug)]
pub enum Unusable {
    /// There is none.
    Missing,
    /// It is something else than a regular file; what it is.
    NotRegular(&'static str),
    /// The system's own reason.
    System(io::Error),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::NotRegular(what) => write!(f, "it is {what}, not a regular file"),
            Self::System(error) => f.write_str(&os_words(error)),
        }
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT) => Self::Missing,
            // What O_NOFOLLOW answers.
            Some(libc::ELOOP) => Self::NotRegular("a symbolic link"),
            _ => Self::System(error),
        }
    }
}

/// Opens a PID file for reading. Follows no symbolic link in the last place, opens nothing but a
/// regular file, and never hangs on a FIFO.
///
/// # Errors
/// It is missing, is no regular file, or open(2) failed.
pub fn open(path: &Path) -> Result<File, Unusable> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a PID file as `options` say, with the same care as [`open`].
///
/// # Errors
/// As [`open`].
pub fn open_with(options: &mut OpenOptions, path: &Path) -> Result<File, Unusable> {
    // Looked at before it is opened: opening a device can already do something to it.
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => regular(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let file = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

fn regular(metadata: &std::fs::Metadata) -> Result<(), Unusable> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Unusable::NotRegular(what))
}

/// What stands in a file that may be a PID file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing, or white space alone.
    Blank,
    /// Digits and white space, nothing else.
    Digits,
    /// Anything else: this is no PID file.
    Other,
}

/// What stands in the file, without trusting a number in it.
///
/// # Errors
/// As read(2).
pub fn contents(file: &File) -> io::Result<Contents> {
    let text = beginning(file)?;
    let is_space = |b: &u8| b.is_ascii_whitespace();
    Ok(if text.iter().all(is_space) {
        Contents::Blank
    } else if text.len() <= LONGEST && text.iter().all(|b| b.is_ascii_digit() || is_space(b)) {
        Contents::Digits
    } else {
        Contents::Other
    })
}

/// The PID that the first line holds; `None` where that line is anything but one PID and blanks.
///
/// # Errors
/// As read(2).
pub fn first_pid(file: &File) -> io::Result<Option<i32>> {
    let text = beginning(file)?;
    let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
    let digits = line.trim_ascii();
    // `parse` would also take a sign.
    let pid = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|&pid| pid > 0);
    Ok(pid)
}

/// When the file was last written.
///
/// # Errors
/// As stat(2).
pub fn modified(file: &File) -> io::Result<SystemTime> {
    file.metadata()?.modified()
}

/// The first bytes of the file, one more than any PID file has.
fn beginning(file: &File) -> io::Result<Vec<u8>> {
    let mut text = vec![0; LONGEST + 1];
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    text.truncate(length);
    Ok(text)
}

/// Who holds a PID file, as the kernel says.
///
/// A PID here is a number and nothing more: pin it (pidfd), then ask again whether it still holds
/// the file, before doing anything to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody: whatever number stands in the file is history.
    Nobody,
    /// COMMAND runs.
    Running {
        /// COMMAND's PID.
        command: i32,
        /// The `pidlock` that waits for it, where there is one that we can see.
        keeper: Option<i32>,
    },
    /// COMMAND is gone and this `pidlock` is cleaning up, or it is about to start one: either
    /// way a matter of milliseconds.
    Changing {
        /// The `pidlock`.
        keeper: i32,
    },
    /// A process outside our PID namespace, whose number we cannot know.
    Elsewhere {
        /// Whether COMMAND's own lock is among what it holds; otherwise it may be just ending.
        command: bool,
    },
    /// No `pidlock`, but a lock of flock(2) or of an open file description.
    Foreign {
        /// A process that took it and still has FILE open, where we may look.
        taken_by: Option<i32>,
    },
}

/// Asks the kernel who holds the file (`F_GETLK`, and `/proc/locks` for flock(2)).
///
/// Needs no more than a descriptor for reading, takes no lock, and is in nobody's way.
///
/// # Errors
/// As fcntl(2): a file system without locks.
pub fn holder(file: &File) -> io::Result<Held> {
    let command = locked_by(file, COMMAND_BYTE)?;
    let keeper = locked_by(file, KEEPER_BYTE)?;
    Ok(match (command, keeper) {
        (Some(Locker::Pid(command)), keeper) => Held::Running {
            command,
            keeper: keeper.and_then(Locker::pid),
        },
        (None, Some(Locker::Pid(keeper))) => match stripped_command(file, keeper)? {
            Some(command) => Held::Running {
                command,
                keeper: Some(keeper),
            },
            None => Held::Changing { keeper },
        },
        (Some(Locker::Elsewhere), _) => Held::Elsewhere { command: true },
        (None, Some(Locker::Elsewhere)) => Held::Elsewhere { command: false },
        (Some(Locker::Description), _) | (None, Some(Locker::Description)) => {
            Held::Foreign { taken_by: None }
        }
        (None, None) => match flock_taken_by(file)? {
            Some(pid) => Held::Foreign {
                taken_by: has_open(pid, file)?.then_some(pid),
            },
            None => Held::Nobody,
        },
    })
}

/// Whether the process has the file open. The one that took a lock of flock(2) may be long gone
/// (`exec 9>FILE; flock 9`), and its number another's.
fn has_open(pid: i32, file: &File) -> io::Result<bool> {
    let ours = file.metadata()?;
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Ok(false);
    };
    Ok(descriptors
        .filter_map(|entry| std::fs::metadata(entry.ok()?.path()).ok())
        .any(|theirs| (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino())))
}

/// A COMMAND that closed all descriptors, or FILE itself, has lost its own lock and still runs:
/// the PID in FILE is then a living child of the keeper.
fn stripped_command(file: &File, keeper: i32) -> io::Result<Option<i32>> {
    let Some(pid) = first_pid(file)? else {
        return Ok(None);
    };
    let stat = Proc::open().ok().and_then(|proc| proc.stat(pid));
    let runs = stat.is_some_and(|stat| stat.ppid == keeper && !matches!(stat.state, b'Z' | b'X'));
    Ok(runs.then_some(pid))
}

/// Whose record lock it is.
#[derive(Clone, Copy)]
enum Locker {
    Pid(i32),
    /// The kernel has no number for it in our PID namespace.
    Elsewhere,
    /// An open file description (`F_OFD_SETLK`) instead of a process.
    Description,
}

impl Locker {
    fn pid(self) -> Option<i32> {
        match self {
            Self::Pid(pid) => Some(pid),
            Self::Elsewhere | Self::Description => None,
        }
    }
}

/// Who has a record lock on this byte that keeps others out. Our own locks do not count.
fn locked_by(file: &File, byte: i64) -> io::Result<Option<Locker>> {
    let mut lock = record_lock(libc::F_WRLCK, byte);
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    if i32::from(lock.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    Ok(Some(match lock.l_pid {
        1.. => Locker::Pid(lock.l_pid),
        0 => Locker::Elsewhere,
        _ => Locker::Description,
    }))
}

/// A record lock on one byte, of a kind that fcntl_locking(2) knows: `F_WRLCK` or `F_UNLCK`.
#[must_use]
pub fn record_lock(kind: i32, byte: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

/// The process that took a flock(2) on this file, as `/proc/locks` (proc_locks(5)) has it; `None`
/// where there is no such lock, or no such list.
fn flock_taken_by(file: &File) -> io::Result<Option<i32>> {
    let metadata = file.metadata()?;
    let Ok(list) = std::fs::read_to_string("/proc/locks") else {
        return Ok(None);
    };
    let name = format!(
        "{:02x}:{:02x}:{}",
        libc::major(metadata.dev()),
        libc::minor(metadata.dev()),
        metadata.ino()
    );
    Ok(flock_in(&list, &name))
}

/// The process of the first FLOCK line for the file of this name (`MAJOR:MINOR:INODE`).
pub(crate) fn flock_in(list: &str, name: &str) -> Option<i32> {
    list.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        // A line of somebody who waits has `->` here.
        let is_flock = fields.next() == Some("FLOCK");
        let pid = fields.nth(2)?.parse().ok()?;
        (is_flock && fields.next() == Some(name)).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use nix::fcntl::{Flock, FlockArg};

    fn with(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file
    }

    #[test]
    fn what_is_a_pid_file() {
        for text in [&b""[..], b"\n", b" \t\n\n"] {
            assert_eq!(contents(&with(text)).unwrap(), Contents::Blank, "{text:?}");
        }
        for text in [&b"1"[..], b"76948\n\n\n", b"  12 34\r\n"] {
            assert_eq!(contents(&with(text)).unwrap(), Contents::Digits, "{text:?}");
        }
        for text in [&b"x"[..], b"-1", b"12a", b"1\0", b"0x10", b"12\n# note"] {
            assert_eq!(contents(&with(text)).unwrap(), Contents::Other, "{text:?}");
        }
        assert_eq!(contents(&with(&[b'7'; 4097])).unwrap(), Contents::Other);
        assert_eq!(contents(&with(&[b'7'; 4096])).unwrap(), Contents::Digits);
    }

    #[test]
    fn the_first_line_is_one_pid_or_nothing() {
        for (text, pid) in [
            (&b"123\n\n\n\n\n"[..], Some(123)),
            (b"123", Some(123)),
            (b"      123\n", Some(123)),
            (b"123\r\n", Some(123)),
            (b"4194304\n", Some(4_194_304)),
            (b"123\n/var/lib/data\n5432\n", Some(123)),
            (b"", None),
            (b"\n123\n", None),
            (b"0\n", None),
            (b"-1\n", None),
            (b"+1\n", None),
            (b"12 34\n", None),
            (b"12a\n", None),
            (b"99999999999999999999\n", None),
        ] {
            assert_eq!(first_pid(&with(text)).unwrap(), pid, "{text:?}");
        }
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "1\n").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

        assert!(open(&at("file")).is_ok());
        assert!(matches!(open(&at("none")), Err(Unusable::Missing)));
        for name in ["link", "dangling", "fifo", "socket", ""] {
            assert!(
                matches!(open(&at(name)), Err(Unusable::NotRegular(_))),
                "{name}"
            );
        }
        assert!(matches!(
            open(Path::new("/dev/null")),
            Err(Unusable::NotRegular("a device"))
        ));
    }

    #[test]
    fn a_file_that_nobody_locked_has_no_holder() {
        assert_eq!(holder(&with(b"1\n")).unwrap(), Held::Nobody);
    }

    #[test]
    fn flock_is_seen_though_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let locked = File::create(&path).unwrap();
        let _lock = Flock::lock(locked, FlockArg::LockExclusive).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let asked = holder(&open(&path).unwrap()).unwrap();
        assert_eq!(asked, Held::Foreign { taken_by: Some(me) });
    }

    #[test]
    fn a_line_of_proc_locks() {
        let list = "1: -> FLOCK  ADVISORY  WRITE 7 08:01:13 0 EOF\n\
                    2: POSIX  ADVISORY  WRITE 8 08:01:13 0 0\n\
                    3: FLOCK  ADVISORY  WRITE 9 08:01:131 0 EOF\n\
                    4: FLOCK  ADVISORY  READ 10 08:01:13 0 EOF\n";
        assert_eq!(flock_in(list, "08:01:13"), Some(10));
        assert_eq!(flock_in(list, "08:01:131"), Some(9));
        assert_eq!(flock_in(list, "08:01:1"), None);
    }
}
