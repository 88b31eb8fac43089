//! Targets in the file system: a Unix socket that accepts, a file that exists.

use std::io;
use std::path::Path;

use treekill::duration::Deadline;

use crate::answer::Answer;
use crate::wire::{Wire, connect_unix};

/// Whether a connection to the socket is accepted.
pub(super) fn socket(path: &Path, deadline: Deadline) -> Answer {
    match open(path, deadline) {
        Ok(_) => Answer::healthy("connected"),
        Err(answer) => answer,
    }
}

/// A connection to the socket.
pub(super) fn open(path: &Path, deadline: Deadline) -> Result<Wire, Answer> {
    connect_unix(path, deadline)
        .map_err(|error| absent(&error).unwrap_or_else(|| Answer::from_io(&error)))
}

/// Whether the file exists; a symbolic link counts by what it points to.
pub(super) fn file(path: &Path) -> Answer {
    match std::fs::metadata(path) {
        Ok(_) => Answer::healthy("exists"),
        Err(error) => absent(&error).unwrap_or_else(|| Answer::from_io(&error)),
    }
}

fn absent(error: &io::Error) -> Option<Answer> {
    let absent = matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    );
    absent.then(|| Answer::refused("absent"))
}
