//! Names in `/proc/PID/fd` as the kernel lists them, and what the links say.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../portfree/src/descriptors.rs"]
mod descriptors;
#[path = "../../../../portfree/src/sys.rs"]
mod sys;

use descriptors::{inode_of, names_in};
use libfuzzer_sys::fuzz_target;

/// `struct linux_dirent64` before the name.
const HEAD: usize = 19;

fuzz_target!(|bytes: &[u8]| {
    assert!(names_in(bytes).count() <= bytes.len() / HEAD);
    if let Some(inode) = inode_of(bytes) {
        assert_eq!(
            inode_of(format!("socket:[{inode}]").as_bytes()),
            Some(inode)
        );
    }
    let names = bytes
        .split(|&byte| byte == 0)
        .map(|name| &name[..name.len().min(255)]);
    let listing: Vec<u8> = names.clone().flat_map(entry).collect();
    let shown = names.filter(|name| !name.starts_with(b"."));
    assert!(names_in(&listing).map(std::ffi::CStr::to_bytes).eq(shown));
});

/// A name as the kernel lists it, padded to eight bytes.
fn entry(name: &[u8]) -> Vec<u8> {
    let length = (HEAD + name.len() + 1).next_multiple_of(8);
    let mut entry = vec![0xff; 16];
    entry.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    entry.push(10);
    entry.extend(name);
    entry.resize(length, 0);
    entry
}
