//! The log file: written in whole lines, rotated between two of them.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use treekill::exec;

use crate::plan::LogPlan;
use crate::report::Report;

/// A disk that is full now and then is spoken of this often at most.
const AGAIN: Duration = Duration::from_secs(10);

/// Writes lines to a file that is rotated.
#[derive(Debug)]
pub(crate) struct Rotator {
    plan: LogPlan,
    report: Report,
    file: File,
    /// Bytes in the file, as far as we know.
    size: u64,
    /// After a rotation that failed: the size at which it is tried again.
    limit: u64,
    at_line_start: bool,
    /// Whether a failed write left half a line in the file.
    is_cut: bool,
    /// Whether the rest of a line that could not be written is left out.
    is_skipping: bool,
    lost: u64,
    trouble: Option<Instant>,
}

impl Rotator {
    /// Opens the file, and makes it where it is not there.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn open(plan: LogPlan, report: Report) -> io::Result<Self> {
        let mut rotator = Self {
            file: append(&plan.file)?,
            limit: plan.size,
            plan,
            report,
            size: 0,
            at_line_start: true,
            is_cut: false,
            is_skipping: false,
            lost: 0,
            trouble: None,
        };
        rotator.look();
        Ok(rotator)
    }

    /// Looks at how large the file is, and whether somebody left half a line in it.
    fn look(&mut self) {
        let metadata = self.file.metadata();
        self.size = metadata.map_or(0, |metadata| regular_size(&metadata));
        let mut last = [b'\n'];
        if let Some(at) = self.size.checked_sub(1) {
            let _ = self.file.read_exact_at(&mut last, at);
        }
        self.is_cut = last != [b'\n'];
    }

    /// Appends output as it came.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.is_skipping {
                bytes = self.skip(bytes);
                continue;
            }
            if self.at_line_start {
                self.renew(bytes);
                if self.is_cut && self.put(b"\n") == 0 {
                    self.is_skipping = true;
                    continue;
                }
                self.is_cut = false;
            }
            let wanted = self.portion(bytes);
            let written = self.put(bytes.get(..wanted).unwrap_or_default());
            if let Some(&last) = written.checked_sub(1).and_then(|at| bytes.get(at)) {
                self.at_line_start = last == b'\n';
            }
            if written < wanted {
                self.is_cut = !self.at_line_start;
                self.at_line_start = true;
                self.is_skipping = true;
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
    }

    /// Leaves out the rest of the line.
    fn skip<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = line_end(bytes);
        self.is_skipping = end.is_none();
        let end = end.unwrap_or(bytes.len());
        self.lost += u64::try_from(end).unwrap_or(0);
        bytes.get(end..).unwrap_or_default()
    }

    /// How much of it goes into this file: whole lines up to the limit, one line at least.
    fn portion(&self, bytes: &[u8]) -> usize {
        if self.limit == 0 {
            return bytes.len();
        }
        let first = line_end(bytes).unwrap_or(bytes.len());
        let room = usize::try_from(self.limit.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let within = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        let fitting = within
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |at| at + 1);
        fitting.max(first)
    }

    /// Writes as much as goes, and says so once when not all does.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(length @ 1..) => written += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) => break,
                Err(error) => {
                    if self.trouble.is_none() {
                        let why = exec::os_words(&error);
                        let text = format!("{why}, output is being lost");
                        self.report.log_trouble(&text);
                    }
                    self.trouble = Some(Instant::now());
                    break;
                }
            }
        }
        self.size += u64::try_from(written).unwrap_or(0);
        let is_over = self.trouble.is_some_and(|at| at.elapsed() >= AGAIN);
        if written == bytes.len() && is_over {
            self.finish();
        }
        written
    }

    /// Between two lines: opens the file anew where somebody moved it away, and rotates it where
    /// the next line would make it too large.
    fn renew(&mut self, bytes: &[u8]) {
        let Ok(ours) = self.file.metadata() else {
            return;
        };
        let there = fs::metadata(&self.plan.file);
        let is_same =
            there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if !is_same {
            self.reopen();
            return;
        }
        self.size = regular_size(&ours);
        let line = line_end(bytes).unwrap_or(bytes.len());
        let after = self.size.saturating_add(u64::try_from(line).unwrap_or(0));
        if self.limit == 0 || self.size == 0 || after <= self.limit {
            return;
        }
        match self.shift() {
            Ok(()) => self.reopen(),
            Err(error) => {
                let why = exec::os_words(&error);
                self.report
                    .log_trouble(&format!("cannot be rotated: {why}"));
                self.limit = self.size.saturating_add(self.plan.size);
            }
        }
    }

    fn reopen(&mut self) {
        match append(&self.plan.file) {
            Ok(file) => {
                self.file = file;
                self.limit = self.plan.size;
                self.look();
            }
            // The old file still takes what comes.
            Err(error) => {
                if self.trouble.is_none() {
                    let why = exec::os_words(&error);
                    self.report
                        .log_trouble(&format!("cannot be opened anew: {why}"));
                }
                self.trouble = Some(Instant::now());
            }
        }
    }

    /// FILE becomes FILE.1, FILE.1 becomes FILE.2, and the oldest goes.
    fn shift(&self) -> io::Result<()> {
        let keep = self.plan.keep;
        for number in (1..keep).rev() {
            match fs::rename(self.old(number), self.old(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if keep == 0 {
            fs::remove_file(&self.plan.file)
        } else {
            fs::rename(&self.plan.file, self.old(1))
        }
    }

    fn old(&self, number: u32) -> PathBuf {
        let mut name = self.plan.file.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Says how much was lost, if anything was.
    pub(crate) fn finish(&mut self) {
        self.trouble = None;
        self.report.log_lost(std::mem::take(&mut self.lost));
    }
}

/// Where the first line ends, its newline included.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&b| b == b'\n').map(|at| at + 1)
}

/// The size of a regular file; anything else (a FIFO, `/dev/null`) is not rotated.
fn regular_size(metadata: &Metadata) -> u64 {
    if metadata.is_file() {
        metadata.len()
    } else {
        0
    }
}

/// Reading tells how the file ends, and a FIFO opened for both is not waited for; a file that may
/// only be written will do.
fn append(file: &PathBuf) -> io::Result<File> {
    let mut options = File::options();
    let options = options.append(true).create(true);
    match options.read(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            options.read(false).open(file)
        }
        result => result,
    }
}
