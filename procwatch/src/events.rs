//! The file of events: one JSON object per line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use treekill::record::{Field, Named, json_line};

/// A file that events are appended to. It is opened anew for each, so that it may be moved away
/// at any time.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    file: PathBuf,
}

impl Events {
    /// Makes the file where it is not there.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn open(file: PathBuf) -> io::Result<Self> {
        let events = Self { file };
        events.append().map(|_| events)
    }

    /// Appends one event, as it happens now, in one write.
    ///
    /// # Errors
    /// As open(2) and write(2).
    pub(crate) fn write(&self, event: &str, fields: &[Named]) -> io::Result<()> {
        let mut object: Vec<Named> = vec![
            ("time", Field::time(SystemTime::now())),
            ("event", Field::from(event)),
        ];
        object.extend_from_slice(fields);
        let line = format!("{}\n", json_line(&object));
        self.append()?.write_all(line.as_bytes())
    }

    fn append(&self) -> io::Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            // A FIFO that nobody reads must not hold us up.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&self.file)
    }
}
