//! What a test needs and may not find: it is skipped with its reason, or fails where `CI=true`.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Returns from the test, skipped, unless all these programs are on PATH.
#[macro_export]
macro_rules! needs {
    ($($program:expr),+ $(,)?) => {
        $(if !$crate::needs::program($program) { return; })+
    };
}

/// Returns from the test, skipped, unless it can take on other users (real root, not the root of
/// a user namespace).
#[macro_export]
macro_rules! needs_root {
    () => {
        if !$crate::needs::real_root() {
            return;
        }
    };
}

/// Whether `name` is on PATH; says `skipped` when it is not.
///
/// # Panics
/// When it is not and `CI=true`.
#[must_use]
pub fn program(name: &str) -> bool {
    let found = on_path(name).is_some();
    if !found {
        skip(&format!("needs {name}"));
    }
    found
}

/// Whether this process may take on any user; says `skipped` when not.
///
/// # Panics
/// When it may not and `CI=true`.
#[must_use]
pub fn real_root() -> bool {
    // A map that covers every user is that of the initial user namespace (user_namespaces(7)).
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let real = nix::unistd::geteuid().is_root() && map.contains("4294967295");
    if !real {
        skip("needs root");
    }
    real
}

/// Says that this test is skipped and why, past the harness's capture.
///
/// # Panics
/// Where `CI=true`: there nothing may be skipped.
pub fn skip(reason: &str) {
    assert!(!in_ci(), "skipped: {reason}, and CI=true");
    // In one piece: other tests write at the same time.
    let _ = io::stderr().write_all(format!("skipped: {reason}\n").as_bytes());
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// The file that `name` stands for on PATH.
#[must_use]
pub fn on_path(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name.as_ref()))
        .find(|file| nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use crate::Tool;

    #[test]
    #[ignore = "run by the test below"]
    fn asks_for_what_is_nowhere() {
        needs!("no-such-program");
        unreachable!("the test goes on without what it needs");
    }

    #[test]
    fn what_is_not_there_skips_a_test_and_fails_it_in_ci() {
        let test = "needs::tests::asks_for_what_is_nowhere";
        let own = std::env::current_exe().unwrap();
        let run = || Tool::at(&own).args(["--exact", test, "--include-ignored"]);
        let skipped = run().env_remove("CI").run().expect_code(0);
        let _ = skipped.expect_words("skipped: needs no-such-program");
        let _ = run().env("CI", "true").run().expect_code(101);
    }
}
