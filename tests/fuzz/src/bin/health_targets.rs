//! What waithealth is told: TARGETs, whose passwords are never shown, and whole command lines.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../waithealth/src/answer.rs"]
mod answer;
#[path = "../../../../waithealth/src/cli.rs"]
mod cli;
#[path = "../../../../waithealth/src/field.rs"]
mod field;
#[path = "../../../../waithealth/src/request.rs"]
mod request;
#[path = "../../../../waithealth/src/target.rs"]
mod target;
#[path = "../../../../waithealth/src/watched.rs"]
mod watched;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use libfuzzer_sys::fuzz_target;
use target::{Kind, Peer, Route, Target};

const SECRET: &str = "S3CRET";

fuzz_target!(|bytes: &[u8]| {
    let words = bytes.split(|&byte| byte == 0);
    let _ = cli::parse(
        words
            .map(|word| OsString::from_vec(word.to_vec()))
            .collect(),
    );
    if let Ok(target) = Target::parse(OsStr::from_bytes(bytes)) {
        check(&target);
    }
    let text = String::from_utf8_lossy(bytes);
    if let Some((scheme, rest)) = text.split_once("://") {
        let is_path = ["exec", "file", "unix"]
            .iter()
            .any(|path| scheme.starts_with(path));
        let target = Target::parse(OsStr::new(&format!("{scheme}://u:{SECRET}@{rest}")));
        let shown = target.map_or_else(|why| why, |target| target.label);
        assert!(
            is_path || text.contains(SECRET) || !shown.contains(SECRET),
            "{shown}"
        );
    }
});

/// Whatever is taken makes sense, and its peer reads back.
fn check(target: &Target) {
    let peer = match &target.kind {
        Kind::Tcp(peer) | Kind::Postgres(peer) | Kind::Redis(peer) => peer,
        Kind::Mysql(peer) | Kind::Mongodb(peer) => peer,
        Kind::Http(http) => {
            assert!(http.uri.scheme().is_some() && http.uri.authority().is_some());
            assert!(!http.uri.to_string().contains(['@', '#']) || target.label.contains('@'));
            match &http.route {
                Route::Peer(peer) => peer,
                Route::Socket(path) => return assert!(path.is_absolute()),
            }
        }
        Kind::Unix(path) | Kind::File(path) => return assert!(path.is_absolute()),
        Kind::Exec(line) => return assert!(!line.is_empty()),
    };
    let Peer { host, port } = peer;
    assert!(!host.is_empty() && *port > 0);
    let written = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let read = Target::parse(OsStr::new(&written)).map(|target| target.kind);
    assert_eq!(read, Ok(Kind::Tcp(peer.clone())));
}
