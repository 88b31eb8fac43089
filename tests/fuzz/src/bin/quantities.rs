//! Durations, pauses, signals and sizes of memory and logs, as users write them.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../procwatch/src/cli.rs"]
mod cli;
#[path = "../../../../procwatch/src/plan.rs"]
mod plan;
#[path = "../../../../procwatch/src/size.rs"]
mod size;

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use treekill::duration::{self, FOREVER};
use treekill::signal::Signal;

fuzz_target!(|text: &str| {
    if let Ok(length) = duration::parse(text) {
        assert_eq!(length == FOREVER, ["inf", "infinity"].contains(&text));
        let millis = duration::millis(length);
        if length < Duration::from_millis(u64::MAX / 2) {
            let floor = Duration::from_millis(millis);
            assert_eq!(duration::parse(&format!("{millis}ms")), Ok(floor));
        }
    }
    if let Ok(seconds) = text.parse::<u32>() {
        let length = Duration::from_secs(seconds.into());
        assert_eq!(duration::parse(text).is_ok(), !text.starts_with('+'));
        assert_eq!(duration::parse(&format!("{seconds}s")), Ok(length));
    }
    if let Ok(signal) = text.parse::<Signal>() {
        assert!((1..=64).contains(&signal.number()));
        assert_eq!(signal.to_string().parse(), Ok(signal));
    }
    if let Ok(bytes) = size::parse(text) {
        assert_eq!(size::parse(&bytes.to_string()), Ok(bytes));
        // Cut to a tenth of its unit.
        let shown = size::parse(&size::words(bytes)).expect("a size");
        assert!(shown <= bytes && bytes - shown <= shown / 10 + 1);
    }
    if let Ok(pauses) = text.parse::<plan::Pauses>() {
        assert!(pauses.min <= pauses.max);
    }
});
