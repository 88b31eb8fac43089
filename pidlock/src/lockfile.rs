//! FILE itself: opened with care, written in one go, removed only if it is still the same.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use treekill::exec::os_words;
use treekill::pidfile::{self, Contents, Unusable};

use crate::sys;

/// Descriptors from here on: COMMAND inherits one, and scripts use the low numbers themselves.
const HIGH: i32 = 50;
/// As long as the longest PID and a newline. Every record has this length, so that one write puts
/// it in the place of another and no reader can meet a part of both.
const RECORD: usize = 8;

/// FILE, opened for reading and writing.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    /// Opens FILE, or makes it with these permissions.
    ///
    /// # Errors
    /// Says why FILE is not one to use: no regular file, no PID file, no permission, or somebody
    /// else's trap.
    pub(crate) fn open(path: &Path, mode: Option<u32>) -> Result<Self, String> {
        let file = open_or_make(path, mode).map_err(|error| match error {
            Unusable::Missing => "its folder is not there".to_owned(),
            error => error.to_string(),
        })?;
        let opened = Self {
            path: path.to_owned(),
            file,
        }
        .moved_up();
        opened.trustworthy()?;
        opened.is_pid_file()?;
        Ok(opened)
    }

    /// The descriptor.
    #[must_use]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Opens it a second time, with a description of its own (open(2)): what is locked by flock(2)
    /// through the first is not locked through this one.
    ///
    /// # Errors
    /// As [`LockFile::open`]; or another file is in its place by now.
    pub(crate) fn again(&self) -> Result<Self, String> {
        let file = pidfile::open_with(OpenOptions::new().read(true).write(true), &self.path)
            .map_err(|error| error.to_string())?;
        // Not moved up here: whoever holds a lock already must close no descriptor of FILE.
        let second = Self {
            path: self.path.clone(),
            file,
        };
        if second.identity() == self.identity() {
            Ok(second)
        } else {
            Err("it was replaced just now".to_owned())
        }
    }

    /// The same under a high descriptor. Only before a lock is taken: the low one is closed.
    pub(crate) fn moved_up(self) -> Self {
        Self {
            file: sys::moved_up(self.file, HIGH),
            ..self
        }
    }

    /// Whether the path still leads to this very file.
    #[must_use]
    pub(crate) fn in_place(&self) -> bool {
        let there = fs::symlink_metadata(&self.path).ok();
        there.map(|metadata| (metadata.dev(), metadata.ino())) == self.identity()
    }

    fn identity(&self) -> Option<(u64, u64)> {
        let metadata = self.file.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Whether it holds no number at all.
    #[must_use]
    pub(crate) fn is_blank(&self) -> bool {
        matches!(pidfile::contents(&self.file), Ok(Contents::Blank))
    }

    /// Refuses what is no PID file: nothing of ours is ever written into it.
    ///
    /// # Errors
    /// Says so.
    pub(crate) fn is_pid_file(&self) -> Result<(), String> {
        match pidfile::contents(&self.file) {
            Ok(Contents::Blank | Contents::Digits) => Ok(()),
            Ok(Contents::Other) => {
                Err("it is no PID file (there is more in it than digits and white space)".into())
            }
            Err(error) => Err(os_words(&error)),
        }
    }

    /// Refuses a file that somebody else may have laid out for us: with a second name elsewhere,
    /// or in a folder where everybody can make files and its owner is neither us nor the folder's
    /// (what `fs.protected_regular` of proc_sys_fs(5) refuses, where it is on).
    fn trustworthy(&self) -> Result<(), String> {
        let metadata = self.file.metadata().map_err(|error| os_words(&error))?;
        if metadata.nlink() > 1 {
            return Err("it has a second name (a hard link)".to_owned());
        }
        let owner = metadata.uid();
        if owner == nix::unistd::geteuid().as_raw() {
            return Ok(());
        }
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = fs::metadata(folder).map_err(|error| os_words(&error))?;
        let anybodys = folder.mode() & 0o1002 == 0o1002;
        if anybodys && owner != folder.uid() {
            return Err(format!(
                "it belongs to user {owner}, in a folder where anybody can make files"
            ));
        }
        Ok(())
    }

    /// Writes the PID and white space over whatever stood there, in one write.
    ///
    /// # Errors
    /// As pwrite(2); what stood there then still does.
    pub(crate) fn write_pid(&self, pid: u32) -> io::Result<()> {
        let length = usize::try_from(self.file.metadata()?.len()).unwrap_or(RECORD);
        let mut record = pid.to_string().into_bytes();
        record.resize(length.max(RECORD), b'\n');
        match self.file.write_at(&record, 0)? {
            written if written == record.len() => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
        }
    }

    /// Empties FILE, as far as that works.
    pub(crate) fn empty(&self) {
        let _ = self.file.set_len(0);
    }

    /// Removes FILE, if it is still the one that is locked.
    ///
    /// # Errors
    /// As unlink(2).
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.in_place() {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

fn open_or_make(path: &Path, mode: Option<u32>) -> Result<File, Unusable> {
    loop {
        // Not with O_CREAT alone: where `fs.protected_regular` is on, that refuses a file that is
        // there and perfectly usable.
        match pidfile::open_with(OpenOptions::new().read(true).write(true), path) {
            Err(Unusable::Missing) => {}
            other => return other,
        }
        let mut making = OpenOptions::new();
        making.read(true).write(true).create_new(true);
        making.mode(mode.map_or(0o600, |mode| mode & 0o600));
        match pidfile::open_with(&mut making, path) {
            Ok(file) => {
                if let Some(mode) = mode {
                    // Said in so many words, so no umask has a say in it.
                    file.set_permissions(Permissions::from_mode(mode))?;
                }
                return Ok(file);
            }
            // Somebody else made it meanwhile.
            Err(Unusable::System(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
