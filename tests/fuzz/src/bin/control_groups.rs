//! `/proc/PID/cgroup`: service, container and the file that counts out-of-memory kills; that file;
//! and `smaps_rollup`.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../procwatch/src/leftovers.rs"]
mod leftovers;
#[path = "../../../../procwatch/src/memory.rs"]
mod memory;
#[path = "../../../../procwatch/src/oom.rs"]
mod oom;
#[path = "../../../../portfree/src/origin.rs"]
mod origin;

use libfuzzer_sys::fuzz_target;
use origin::Origin;

fuzz_target!(|text: &str| {
    let Origin { unit, container } = Origin::parse(text);
    if let Some(unit) = unit {
        assert!(unit.name.ends_with(".service") && !unit.name.contains(['/', '\n']));
        assert!(text.contains(&unit.name));
    }
    if let Some(container) = container {
        assert!(text.contains(&container.name) && !container.name.contains(['/', '\n']));
    }
    for file in oom::candidates(text) {
        assert!(file.to_string_lossy().starts_with("/sys/fs/cgroup"));
    }
    if let Some(count) = oom::count(text) {
        assert_eq!(oom::count(&format!("oom_kill {count}\n")), Some(count));
    }
    if let Some(bytes) = memory::pss(text) {
        assert_eq!(
            memory::pss(&format!("Pss: {:>12} kB\n", bytes / 1024)),
            Some(bytes)
        );
    }
});
