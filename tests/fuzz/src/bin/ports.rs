//! What users call a port: what is printed reads back.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../portfree/src/netlink.rs"]
mod netlink;
#[path = "../../../../portfree/src/ports.rs"]
mod ports;
#[path = "../../../../portfree/src/procnet.rs"]
mod procnet;
#[path = "../../../../portfree/src/prove.rs"]
mod prove;
#[path = "../../../../portfree/src/sockets.rs"]
mod sockets;

use libfuzzer_sys::fuzz_target;
use ports::Target;

fuzz_target!(|text: &str| {
    if let Ok(target) = text.parse::<Target>() {
        assert_eq!(target.to_string().parse(), Ok(target.clone()));
        assert!(*target.ports.start() > 0 && target.ports.start() <= target.ports.end());
        assert_eq!(target.each().count(), target.count());
        let numbers = text.split(|c: char| !c.is_ascii_digit());
        let first = target.ports.start().to_string();
        assert!(
            numbers
                .into_iter()
                .any(|number| number.trim_start_matches('0') == first)
        );
    }
});
