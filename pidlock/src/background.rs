//! Leaving the caller: a session of its own, streams that lead elsewhere, no descriptor of his.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use treekill::exec::os_words;
use treekill::record::escape;

use crate::lockfile::LockFile;
use crate::sys;

/// Where the standard streams of a process in the background lead, opened while there is still
/// somebody to tell of a failure.
#[derive(Debug)]
pub(crate) struct Background {
    streams: Option<(File, File)>,
}

impl Background {
    /// Standard input from /dev/null; output and errors appended to `log`, or to /dev/null.
    ///
    /// # Errors
    /// Says which file cannot be opened, and why.
    pub(crate) fn open(log: Option<&Path>, locked: &LockFile) -> Result<Self, String> {
        let null = Path::new("/dev/null");
        let input = File::open(null).map_err(|error| unusable(null, &error))?;
        let path = log.unwrap_or(null);
        // O_NONBLOCK: a FIFO that nobody reads is an error, and not for ever.
        let output = OpenOptions::new()
            .append(true)
            .create(true)
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| unusable(path, &error))?;
        let same = |other: &File| -> io::Result<bool> {
            let (a, b) = (output.metadata()?, other.metadata()?);
            Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
        };
        if same(locked.file()).unwrap_or(true) {
            let log = escape(path.as_os_str().as_encoded_bytes());
            return Err(format!("{log}: the log cannot be FILE itself"));
        }
        sys::make_blocking(&output).map_err(|error| unusable(path, &error))?;
        Ok(Self {
            streams: Some((input, output)),
        })
    }

    /// A session of its own, and nothing else: for the child of a process that is there already.
    #[must_use]
    pub(crate) fn session_only() -> Self {
        Self { streams: None }
    }

    /// Takes this process there, and closes every descriptor but the standard ones and `kept`.
    ///
    /// # Errors
    /// As setsid(2) and dup2(2).
    pub(crate) fn enter(&self, kept: &[RawFd]) -> io::Result<()> {
        nix::unistd::setsid()?;
        if let Some((input, output)) = &self.streams {
            sys::place(input, 0)?;
            sys::place(output, 1)?;
            sys::place(output, 2)?;
            sys::close_all_but(kept);
        }
        Ok(())
    }
}

fn unusable(path: &Path, error: &io::Error) -> String {
    let path = escape(path.as_os_str().as_encoded_bytes());
    format!("{path}: cannot open: {}", os_words(error))
}
