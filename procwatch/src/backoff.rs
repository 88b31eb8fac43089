//! The pauses between restarts: exponential, capped, and scattered so that many servers that
//! failed together do not return together.

use std::time::Duration;

use crate::plan::Pauses;

/// The next pause of a series.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    pauses: Pauses,
    next: Duration,
}

impl Backoff {
    /// A series that begins with the shortest pause.
    #[must_use]
    pub(crate) fn new(pauses: Pauses) -> Self {
        Self {
            pauses,
            next: pauses.min,
        }
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.next = self.pauses.min;
    }

    /// The pause that is due, ±10 % by `chance` (any number); a constant one exactly.
    pub(crate) fn next(&mut self, chance: u64) -> Duration {
        let pause = self.next;
        // From 0, doubling would stay there.
        let doubled = pause.saturating_mul(2).max(Duration::from_millis(1));
        self.next = doubled.min(self.pauses.max);
        if self.pauses.min == self.pauses.max {
            return pause;
        }
        let per_mille = u32::try_from(900 + chance % 201).unwrap_or(1000);
        pause.checked_mul(per_mille).map_or(pause, |p| p / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pauses(text: &str) -> Backoff {
        Backoff::new(text.parse().unwrap())
    }

    /// The number that makes the scatter vanish.
    const EVEN: u64 = 100;

    #[test]
    fn doubles_up_to_the_cap_and_begins_anew() {
        let mut backoff = pauses("500ms..3s");
        let millis: Vec<u128> = (0..5).map(|_| backoff.next(EVEN).as_millis()).collect();
        assert_eq!(millis, [500, 1000, 2000, 3000, 3000]);
        backoff.reset();
        assert_eq!(backoff.next(EVEN).as_millis(), 500);
    }

    #[test]
    fn a_minimum_alone_is_constant() {
        let mut backoff = pauses("200ms");
        for chance in 0..300 {
            assert_eq!(backoff.next(chance).as_millis(), 200);
        }
        assert_eq!(pauses("0").next(7), Duration::ZERO);
        assert_eq!(pauses("inf").next(7), Duration::MAX);
    }

    proptest! {
        #[test]
        fn scatters_by_a_tenth_at_most(chance: u64) {
            let pause = pauses("10s..20s").next(chance).as_millis();
            prop_assert!((9_000..=11_000).contains(&pause));
        }
    }
}
