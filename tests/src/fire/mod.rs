//! Tests under fire: many rounds of random hostility, each with a seed that repeats it.
//!
//! # Theory of operation
//!
//! A fire test is a body that is run for round after round with a generator of its own and
//! asserts one invariant. The seed of the first round is said at the start; round `n` runs on
//! seed + n, so that what failed is repeated alone by the line that the failure prints:
//!
//! ```text
//! fire: treekill: round 17 failed: FIRE_SEED=1093 FIRE_ROUNDS=1 repeats it
//! ```
//!
//! `FIRE_ROUNDS` sets the number of rounds; without it there are as few as a few seconds hold.
//! A seed repeats what the round sets out to do, not how the kernel schedules it: a race may take
//! some tries to show again.

pub mod hostile;
pub mod life;
pub mod tree;

use std::fmt::{Arguments, Debug};
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use crate::Namespace;

/// The seed of the first round, and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Fire {
    what: &'static str,
    seed: u64,
    rounds: u64,
}

impl Fire {
    /// As `FIRE_SEED` and `FIRE_ROUNDS` have it; else a new seed, and `few` rounds. Says it.
    #[must_use]
    pub fn new(what: &'static str, few: u64) -> Self {
        let fire = Self {
            what,
            seed: variable("FIRE_SEED").unwrap_or_else(by_the_clock),
            rounds: variable("FIRE_ROUNDS").unwrap_or(few),
        };
        if !Namespace::is_inside() {
            fire.say(format_args!("seed {}, {} rounds", fire.seed, fire.rounds));
        }
        fire
    }

    /// The same for the test inside: a namespace of its own that knows the seed, and has `each`
    /// for a round, plus a minute.
    #[must_use]
    pub fn namespace(&self, each: Duration) -> Namespace {
        let rounds = u32::try_from(self.rounds).unwrap_or(u32::MAX);
        Namespace::new()
            .deadline(Duration::from_secs(60) + each.saturating_mul(rounds))
            .env("FIRE_SEED", self.seed.to_string())
    }

    /// How many rounds there are.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Runs the body for every round; it adds to the sum what is told in the end.
    ///
    /// # Panics
    /// As soon as one does; its seed is said.
    pub fn run<S: Debug + Default>(&self, mut body: impl FnMut(&mut Rng, &mut S)) {
        self.run_counting(|rng, sum| {
            body(rng, sum);
            1
        });
    }

    /// The same for a body that says how many rounds it was worth.
    ///
    /// # Panics
    /// As soon as one does; its seed is said.
    pub fn run_counting<S: Debug + Default>(&self, mut body: impl FnMut(&mut Rng, &mut S) -> u64) {
        let mut sum = S::default();
        let (mut done, mut runs) = (0, 0);
        let tenth = (self.rounds / 10).max(100);
        let mut next_word = tenth;
        while done < self.rounds {
            let seed = self.seed.wrapping_add(runs);
            let alarm = Alarm {
                fire: self,
                run: runs,
                seed,
            };
            done += body(&mut Rng::new(seed), &mut sum);
            std::mem::forget(alarm);
            runs += 1;
            if done >= next_word && done < self.rounds {
                next_word += tenth;
                self.say(format_args!("{done} rounds, {sum:?}"));
            }
        }
        self.say(format_args!("{done} rounds, {sum:?}"));
    }

    /// Past the harness's capture.
    fn say(&self, words: Arguments<'_>) {
        let _ = writeln!(io::stderr(), "fire: {}: {words}", self.what);
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn by_the_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::from(since.unwrap_or_default().subsec_nanos())
}

/// Says the seed when the round panics.
struct Alarm<'a> {
    fire: &'a Fire,
    run: u64,
    seed: u64,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        let Self { fire, run, seed } = self;
        fire.say(format_args!(
            "round {run} failed: FIRE_SEED={seed} FIRE_ROUNDS=1 repeats it"
        ));
    }
}

/// Numbers that are random enough for this, and the same for the same seed (xorshift64*).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // One step of splitmix64, so that neighbouring seeds have nothing in common.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 up to, but not including, `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.number() % end).unwrap_or_default()
    }

    /// True in so many of 100 cases.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// A length of time up to so many microseconds.
    pub fn micros(&mut self, at_most: usize) -> Duration {
        Duration::from_micros(u64::try_from(self.below(at_most + 1)).unwrap_or_default())
    }

    /// So many random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| u8::try_from(self.number() >> 56).unwrap_or_default())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_neighbours_differ() {
        let numbers = |seed| {
            let mut rng = Rng::new(seed);
            [rng.number(), rng.number(), rng.number()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_eq!(Rng::new(1).bytes(5).len(), 5);
    }

    #[test]
    fn every_side_of_the_die_comes_up() {
        let mut rng = Rng::new(3);
        let mut seen = [0; 6];
        (0..600).for_each(|_| seen[rng.below(6)] += 1);
        assert!(seen.iter().all(|&times| times > 50), "{seen:?}");
    }
}
