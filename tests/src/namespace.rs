//! A PID namespace for one test, with a quick init and a loopback interface of its own.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::{needs, sys};

/// Which of the three processes this one is; absent in the outer test.
const ROLE: &str = "TESTKIT_ROLE";
const INIT: &str = "init";
const TEST: &str = "test";
/// Whether the network is the namespace's own.
const NETWORK: &str = "TESTKIT_NETWORK";

/// Runs the rest of the test in a PID namespace of its own. First line of the test.
///
/// `in_namespace!()` also makes a network namespace, so that tests cannot meet on ports;
/// `in_namespace!(Namespace::new().host_network())` does not, and
/// `in_namespace!(Namespace::new().deadline(d))` gives the test more or less time.
#[macro_export]
macro_rules! in_namespace {
    () => {
        $crate::in_namespace!($crate::Namespace::new())
    };
    ($namespace:expr) => {
        if !$crate::Namespace::enter(&$namespace) {
            return;
        }
    };
}

/// The world that a test wants to itself.
#[derive(Clone, Debug)]
pub struct Namespace {
    own_network: bool,
    deadline: Duration,
    variables: Vec<(&'static str, String)>,
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Namespace {
    /// Own processes, own network with loopback alone, two minutes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            own_network: true,
            deadline: Duration::from_secs(120),
            variables: Vec::new(),
        }
    }

    /// Shares the network of the machine.
    #[must_use]
    pub fn host_network(mut self) -> Self {
        self.own_network = false;
        self
    }

    /// How long the test may take before it is ended and has failed.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets a variable of the environment inside.
    #[must_use]
    pub fn env(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((key, value.into()));
        self
    }

    /// Whether this is not the outer test.
    pub(crate) fn is_inside() -> bool {
        std::env::var_os(ROLE).is_some()
    }

    /// `true` inside the namespace. Outside, runs the test of this thread's name in one to its
    /// end and returns `false`: the caller returns.
    ///
    /// # Panics
    /// When the test in the namespace fails or outlives its deadline, and, where `CI=true`, when
    /// no namespace can be made.
    #[must_use]
    pub fn enter(&self) -> bool {
        match std::env::var(ROLE).as_deref() {
            Ok(TEST) => true,
            Ok(INIT) => be_init(),
            _ => {
                match allowed() {
                    Some(flags) => self.run_inside(flags),
                    None => needs::skip("needs a PID namespace"),
                }
                false
            }
        }
    }

    fn run_inside(&self, flags: &[&str]) {
        let current = thread::current();
        let test = current.name().expect("the harness names threads by tests");
        let mut output = tempfile::tempfile().expect("a file for the test's output");
        // What the test mounts on, or is killed in, can be removed once the namespace is gone.
        let folder = tempfile::tempdir().expect("a folder for its files");
        let like_tmp = Permissions::from_mode(0o1777);
        fs::set_permissions(folder.path(), like_tmp).expect("our own folder");
        let mut command = Command::new("unshare");
        command.args(flags);
        if self.own_network {
            command.arg("--net").env(NETWORK, "own");
        }
        command
            .arg(std::env::current_exe().expect("this test's binary"))
            .args(["--exact", test, "--nocapture", "--include-ignored"])
            .env(ROLE, INIT)
            .env("TMPDIR", folder.path())
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(another(&output))
            .stderr(another(&output));
        sys::dies_with_its_starter(&mut command);
        let ending = wait_at_most(&mut command, self.deadline);
        output.rewind().expect("the output can be read");
        let mut text = Vec::new();
        output.read_to_end(&mut text).expect("the output is read");
        let text = String::from_utf8_lossy(&text);
        // Set off, so that nobody takes the inner harness's words for the outer one's.
        let shown: String = text.lines().map(|line| format!("  | {line}\n")).collect();
        for words in text.lines().filter_map(for_people) {
            let _ = io::stderr().write_all(format!("{words}\n").as_bytes());
        }
        match ending {
            Some(status) if status.success() && text.contains("1 passed") => {}
            Some(status) => panic!("in the namespace: {status}\n{shown}"),
            None => panic!(
                "in the namespace: not over after {:?}\n{shown}",
                self.deadline
            ),
        }
    }
}

/// What is told outside although the test has passed.
fn for_people(line: &str) -> Option<&str> {
    // The harness may have begun the line with the test's name.
    let at = line.find("skipped: ").or_else(|| line.find("fire: "))?;
    Some(&line[at..])
}

fn another(file: &File) -> File {
    file.try_clone().expect("a second handle of the output")
}

/// How the command ended; `None` when it was killed at its deadline, with all it had started
/// (unshare's `--kill-child` ends PID 1, and the kernel the rest).
fn wait_at_most(command: &mut Command, deadline: Duration) -> Option<ExitStatus> {
    let mut child = command.spawn().expect("unshare can be run");
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("unshare is our child") {
            return Some(status);
        }
        if started.elapsed() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        sleep(Duration::from_millis(5));
    }
}

/// The flags of unshare(1) that work here: as root, or through a user namespace.
fn allowed() -> Option<&'static [&'static str]> {
    const AS_ROOT: &[&str] = &["--pid", "--fork", "--kill-child", "--mount-proc"];
    const AS_USER: &[&str] = &[
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    static FLAGS: OnceLock<Option<&'static [&'static str]>> = OnceLock::new();
    *FLAGS.get_or_init(|| [AS_ROOT, AS_USER].into_iter().find(|flags| works(flags)))
}

fn works(flags: &[&str]) -> bool {
    Command::new("unshare")
        .args(flags)
        .args(["--net", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// As PID 1: brings the network up, starts the test, reaps whatever ends, and ends as the test did.
fn be_init() -> ! {
    if std::env::var_os(NETWORK).is_some() {
        sys::bring_loopback_up().expect("the loopback interface comes up");
    }
    let mut command = Command::new(std::env::current_exe().expect("this test's binary"));
    command.args(std::env::args_os().skip(1)).env(ROLE, TEST);
    sys::leads_a_session(&mut command);
    let test = command.spawn().expect("the test starts").id();
    let test = Pid::from_raw(i32::try_from(test).expect("a PID"));
    loop {
        // Not `WNOHANG` with pauses: an orphan must not be seen as a zombie for longer than it takes.
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == test => std::process::exit(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == test => {
                let _ = writeln!(io::stderr(), "the test was ended by {signal}");
                std::process::exit(128 + signal as i32)
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => panic!("waitpid: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;
    use crate::{process, wait_until};

    #[test]
    fn the_test_stands_alone_below_a_quick_init() {
        in_namespace!();
        let own = process::look(std::process::id()).expect("this process");
        assert_eq!((own.ppid, own.session), (1, own.pid));
        assert_eq!(process::others(), []);
        // An orphan goes to PID 1, which reaps it.
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", "sleep 0.05 >&- & echo $!"]).output();
        let orphan = String::from_utf8(output.unwrap().stdout).unwrap();
        let orphan: i64 = orphan.trim().parse().unwrap();
        wait_until("the orphan is reaped", || process::look(orphan).is_none());
    }

    #[test]
    fn the_network_is_its_own_and_works() {
        in_namespace!();
        let listener = std::net::TcpListener::bind(("::1", 80)).expect("port 80 is free here");
        assert!(std::net::TcpStream::connect(listener.local_addr().unwrap()).is_ok());
    }

    #[test]
    #[should_panic(expected = "this must be seen outside")]
    fn a_failure_inside_is_a_failure_outside() {
        in_namespace!();
        // The inner harness runs the same `should_panic`: to fail there, it must not panic.
        println!("this must be seen outside");
    }

    #[test]
    #[should_panic(expected = "not over after")]
    fn a_test_that_hangs_is_ended_with_all_it_started() {
        in_namespace!(Namespace::new().deadline(Duration::from_millis(500)));
        let _ = Command::new("sleep").arg("1000").status();
    }

    #[test]
    fn the_end_of_the_command_is_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "kill -9 $$"]);
        let status = wait_at_most(&mut command, Duration::from_secs(30)).unwrap();
        assert_eq!(status.signal(), Some(9));
    }
}
