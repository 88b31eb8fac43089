//! How long to pause between two attempts.

use std::time::Duration;

use crate::answer::Health;

/// At least this long after a refusal: nobody is there whom it could bother.
const AFTER_REFUSAL: Duration = Duration::from_millis(5);
/// At least this long after anything else.
const AFTER_ANSWER: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// The pause after an attempt: 1 % of the time waited so far, so that however long a server
/// takes, it is seen at most 1 % late.
pub(crate) fn pause(fixed: Option<Duration>, waited: Duration, health: Health) -> Duration {
    let least = match health {
        Health::Refused => AFTER_REFUSAL,
        _ => AFTER_ANSWER,
    };
    fixed.unwrap_or_else(|| (waited / 100).clamp(least, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_percent_between_the_bounds() {
        let ms = Duration::from_millis;
        for (waited, health, length) in [
            (ms(0), Health::Refused, ms(5)),
            (ms(1_000), Health::Refused, ms(10)),
            (ms(1_000), Health::Unhealthy, ms(50)),
            (ms(10_000), Health::Healthy, ms(100)),
            (ms(600_000), Health::Unanswered, ms(1_000)),
        ] {
            assert_eq!(pause(None, waited, health), length);
            assert_eq!(pause(Some(ms(7)), waited, health), ms(7));
        }
    }
}
