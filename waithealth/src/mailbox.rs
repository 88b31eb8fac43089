//! Where threads leave things for one that waits with a deadline. std's channels would do it
//! too, and be a fiftieth of the binary.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use treekill::duration::Deadline;

/// A queue; its clones are the same queue.
#[derive(Debug)]
pub(crate) struct Mailbox<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    queue: Mutex<VecDeque<T>>,
    filled: Condvar,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            queue: Mutex::new(VecDeque::new()),
            filled: Condvar::new(),
        }))
    }

    /// Leaves something.
    pub(crate) fn put(&self, thing: T) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(thing);
        self.0.filled.notify_one();
    }

    /// Takes what came first; `None` when nothing is there by the deadline.
    pub(crate) fn take(&self, deadline: Deadline) -> Option<T> {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(thing) = queue.pop_front() {
                return Some(thing);
            }
            let left = deadline.remaining();
            if left.is_zero() {
                return None;
            }
            // A day at a time: no clock can hold for ever.
            let patience = left.min(Duration::from_secs(86_400));
            let woken = self.0.filled.wait_timeout(queue, patience);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use treekill::duration::FOREVER;

    #[test]
    fn what_is_put_is_taken_in_its_order() {
        let here = Mailbox::new();
        let there = here.clone();
        let thread = std::thread::spawn(move || (0..3).for_each(|number| there.put(number)));
        let never = Deadline::after(FOREVER);
        assert_eq!(
            [here.take(never), here.take(never), here.take(never)],
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(here.take(Deadline::after(Duration::from_millis(10))), None);
        thread.join().unwrap();
    }
}
