//! COMMAND's output on its way to the log: from a pipe into a queue, from there to the file.
//!
//! The main loop empties the pipe, a thread of its own writes the file, so that a disk that
//! hangs holds up neither COMMAND nor us. A queue that is full lets COMMAND wait, but not for
//! long: what comes after that is lost in whole lines, and said.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};

use crate::plan::LogPlan;
use crate::report::Report;
use crate::rotate::Rotator;

/// Bytes that wait for the disk at most.
const CAPACITY: usize = 8 << 20;
/// A disk that takes nothing for this long is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// While the queue is full, it is looked at again after this long.
pub(crate) const FULL_PAUSE: Duration = Duration::from_millis(5);
/// What is still queued at the very end is waited for this long.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
const CHUNK: usize = 64 << 10;
/// Signals are looked at again after so many chunks.
const ROUNDS: usize = 64;

/// The near end of the log.
#[derive(Debug)]
pub(crate) struct Log {
    from: OwnedFd,
    to: OwnedFd,
    queue: Arc<Queue>,
    report: Report,
    buffer: Vec<u8>,
    /// Whether what was queued last ends a line.
    ends_line: bool,
    /// Whether the rest of a line is being lost.
    is_skipping: bool,
    lost: u64,
    progress: (u64, Instant),
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes queued or being written.
    waiting: usize,
    /// Bytes dealt with, ever.
    done: u64,
    is_closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.waiting += bytes.len();
        match state.chunks.back_mut() {
            Some(last) if last.len() + bytes.len() <= CHUNK => last.extend_from_slice(bytes),
            _ => state.chunks.push_back(bytes.to_vec()),
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Writes what is queued until the queue is closed and empty.
    fn serve(&self, rotator: &mut Rotator) {
        let mut state = self.state();
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                drop(state);
                rotator.write(&chunk);
                state = self.state();
                state.waiting -= chunk.len();
                state.done += u64::try_from(chunk.len()).unwrap_or(0);
                self.changed.notify_all();
            } else if state.is_closed {
                rotator.finish();
                state.done = u64::MAX;
                self.changed.notify_all();
                return;
            } else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Log {
    /// Opens the file and starts to write what comes through the pipe.
    ///
    /// # Errors
    /// As open(2) of the file; where there is no descriptor or thread to be had.
    pub(crate) fn open(plan: LogPlan, report: &Report) -> io::Result<Self> {
        let mut rotator = Rotator::open(plan, report.twin())?;
        let (from, to) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let queue = Arc::new(Queue::default());
        let far = Arc::clone(&queue);
        thread::Builder::new()
            .name("log".into())
            .stack_size(128 << 10)
            .spawn(move || far.serve(&mut rotator))?;
        Ok(Self {
            from,
            to,
            queue,
            report: report.twin(),
            buffer: Vec::new(),
            ends_line: true,
            is_skipping: false,
            lost: 0,
            progress: (0, Instant::now()),
        })
    }

    /// The end of the pipe that programs write to.
    pub(crate) fn input(&self) -> &OwnedFd {
        &self.to
    }

    /// What to wait on for output; `None` while it has to wait for the disk.
    pub(crate) fn fd(&mut self) -> Option<BorrowedFd<'_>> {
        (!self.must_wait()).then(|| self.from.as_fd())
    }

    /// Whether the queue is full and the disk still takes something.
    fn must_wait(&mut self) -> bool {
        let state = self.queue.state();
        let (waiting, done) = (state.waiting, state.done);
        drop(state);
        if waiting < CAPACITY || done != self.progress.0 {
            self.progress = (done, Instant::now());
        }
        waiting >= CAPACITY && self.progress.1.elapsed() < PATIENCE
    }

    /// Takes what has come through the pipe; whether there may be more.
    pub(crate) fn pull(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(CHUNK, 0);
        let mut more = true;
        for _ in 0..ROUNDS {
            if self.must_wait() {
                break;
            }
            match read(&self.from, &mut buffer) {
                Ok(length @ 1..) => self.take(buffer.get(..length).unwrap_or_default()),
                Err(Errno::EINTR) => {}
                _ => {
                    more = false;
                    break;
                }
            }
        }
        self.buffer = buffer;
        more
    }

    fn take(&mut self, mut bytes: &[u8]) {
        let is_full = self.queue.state().waiting >= CAPACITY;
        if is_full {
            if !self.is_skipping {
                self.report
                    .log_trouble("the disk is too slow, output is being lost");
            }
            self.is_skipping = true;
            self.lost += u64::try_from(bytes.len()).unwrap_or(0);
            return;
        }
        if self.is_skipping {
            let Some(end) = bytes.iter().position(|&b| b == b'\n') else {
                self.lost += u64::try_from(bytes.len()).unwrap_or(0);
                return;
            };
            self.lost += u64::try_from(end + 1).unwrap_or(0);
            bytes = bytes.get(end + 1..).unwrap_or_default();
            self.is_skipping = false;
            self.finish_line();
            self.report.log_lost(std::mem::take(&mut self.lost));
        }
        if let Some(&last) = bytes.last() {
            self.queue.push(bytes);
            self.ends_line = last == b'\n';
        }
    }

    fn finish_line(&mut self) {
        if !self.ends_line {
            self.queue.push(b"\n");
            self.ends_line = true;
        }
    }

    /// All who wrote have ended: takes the rest, and finishes a line that they left unfinished,
    /// so that the next run begins on a line of its own.
    pub(crate) fn end_of_run(&mut self) {
        while self.pull() {
            if self.must_wait() {
                thread::sleep(FULL_PAUSE);
            }
        }
        self.is_skipping = false;
        self.finish_line();
    }

    /// Waits until everything is written, unless the disk hangs.
    pub(crate) fn close(&mut self) {
        self.end_of_run();
        let mut state = self.queue.state();
        state.is_closed = true;
        self.queue.changed.notify_all();
        let all_written = |state: &mut State| state.done < u64::MAX;
        let _ = self
            .queue
            .changed
            .wait_timeout_while(state, LAST_PATIENCE, all_written);
    }
}
