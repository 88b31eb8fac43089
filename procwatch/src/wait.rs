//! The one place where procwatch sleeps.

use std::collections::VecDeque;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use treekill::duration::{Deadline, FOREVER};
use treekill::exec::Ending;

use crate::log::{FULL_PAUSE, Log};
use crate::signals::{Arrived, Order, Signals};
use crate::sys::{self, Reaped};

/// What ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// This signal came, and means this.
    Signal(Arrived, Order),
    /// This child ended.
    Ended(i32, Ending),
    /// The deadline has passed.
    Due,
}

/// Waits for signals, children and deadlines.
#[derive(Debug)]
pub(crate) struct Waiter {
    signals: Signals,
    log: Option<Log>,
    waiting: VecDeque<Event>,
}

impl Waiter {
    /// Waits with these signals, and takes what comes for the log.
    pub(crate) fn new(signals: Signals, log: Option<Log>) -> Self {
        Self {
            signals,
            log,
            waiting: VecDeque::new(),
        }
    }

    /// The next thing that happens, at the latest when the deadline passes. Signals that came
    /// before a child's end are told before it.
    pub(crate) fn next(&mut self, until: Deadline) -> Event {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            self.take_signals();
            if !self.waiting.is_empty() {
                continue;
            }
            if until.passed() {
                return Event::Due;
            }
            self.sleep(until);
        }
    }

    /// Reaps what has ended; whether no child is left at all.
    pub(crate) fn reap(&mut self) -> bool {
        loop {
            match sys::reap() {
                Reaped::Ended(pid, status) => {
                    if let Some(ending) = Ending::of(status) {
                        self.waiting.push_back(Event::Ended(pid, ending));
                    }
                }
                Reaped::NoneEnded => return false,
                Reaped::NoneLeft => return true,
            }
        }
    }

    /// Forgets whose end has not been told yet: their numbers may come again.
    pub(crate) fn forget_ended(&mut self) {
        self.waiting
            .retain(|event| !matches!(event, Event::Ended(..)));
    }

    fn take_signals(&mut self) {
        let mut is_reaping_due = false;
        while let Some(arrived) = self.signals.next() {
            match self.signals.order(arrived) {
                Order::Reap => is_reaping_due = true,
                Order::Nothing => {}
                order => self.waiting.push_back(Event::Signal(arrived, order)),
            }
        }
        if is_reaping_due {
            self.reap();
        }
    }

    /// The log, if there is one.
    pub(crate) fn log(&mut self) -> Option<&mut Log> {
        self.log.as_mut()
    }

    fn sleep(&mut self, until: Deadline) {
        let mut fds = vec![PollFd::new(self.signals.fd().as_fd(), PollFlags::POLLIN)];
        let mut remaining = until.remaining();
        if let Some(log) = &mut self.log {
            match log.fd() {
                Some(fd) => fds.push(PollFd::new(fd, PollFlags::POLLIN)),
                None => remaining = remaining.min(FULL_PAUSE),
            }
        }
        let timeout = (remaining < FOREVER).then(|| TimeSpec::from_duration(remaining));
        // EINTR cannot come, and any other failure is looked at again by the caller's loop.
        let _ = ppoll(&mut fds, timeout, None);
        let has_output = fds.get(1).and_then(PollFd::any) == Some(true);
        if let (Some(log), true) = (&mut self.log, has_output) {
            log.pull();
        }
    }
}
