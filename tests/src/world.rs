//! A scratch folder, free ports, and waiting for a condition.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a test waits for what must come; long, because the machine may be loaded.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// An empty folder that is removed with its guard. Its name has a space in it, as a user's may.
///
/// # Panics
/// When the folder cannot be made.
#[must_use]
pub fn scratch() -> TempDir {
    tempfile::Builder::new()
        .prefix("test kit ")
        .tempdir()
        .expect("a scratch folder")
}

/// A TCP port that nobody holds on any loopback address right now.
///
/// # Panics
/// When the system has none to give.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Waits up to [`DEADLINE`] until `condition` holds; returns how long it took.
///
/// # Panics
/// When it does not hold in time; the message says `what` was waited for.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) -> Duration {
    wait_within(DEADLINE, what, condition)
}

/// Waits up to `deadline` until `condition` holds; returns how long it took.
///
/// # Panics
/// When it does not hold in time; the message says `what` was waited for.
pub fn wait_within(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Duration {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !condition() {
        assert!(
            started.elapsed() < deadline,
            "waited {deadline:?} in vain: {what}"
        );
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    started.elapsed()
}

/// The top folder of the repository.
///
/// # Panics
/// Never: this package is one folder below it.
#[must_use]
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the top folder").to_owned()
}
