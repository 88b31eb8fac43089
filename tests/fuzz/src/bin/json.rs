//! A field of a JSON body: found as by a reader that builds the whole document.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../waithealth/src/field.rs"]
mod field;

use field::{Path, Wanted};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    // A path, a newline, a body.
    let end = bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(bytes.len());
    let (path, body) = bytes.split_at(end);
    let path = String::from_utf8_lossy(path);
    if let Ok(wanted) = Wanted::parse(&path) {
        let (_, peak) = fuzz::peak_of(|| wanted.holds(body));
        assert!(peak <= 4 * bytes.len() + 4096, "{peak} bytes of memory");
    }
    let Ok(parsed) = Path::parse(&path) else {
        return;
    };
    let shown = parsed.shown(body);
    if let Ok(shown) = &shown {
        assert!(!shown.contains(|c: char| c.is_control() && !"\n\t".contains(c)));
    }
    // What drives a terminal is shown otherwise than it is.
    let is_harmless =
        !String::from_utf8_lossy(body).contains(|c: char| c.is_control() && c != '\n');
    if let (Ok(document), true, true) = (read(body), is_harmless, path.starts_with('/')) {
        let expected = document.pointer(&path);
        let shown = shown.ok();
        match expected {
            Some(Value::String(text)) => {
                assert_eq!(shown, Some(treekill::record::escape(text.as_bytes())));
            }
            Some(other) => assert_eq!(
                shown.and_then(|text| read(text.as_bytes()).ok()).as_ref(),
                Some(other)
            ),
            None => assert_eq!(shown, None),
        }
    }
});

fn read(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text)
}
