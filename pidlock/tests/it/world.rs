//! A folder with one FILE in it, and the starting of COMMANDs under it.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testkit::{Running, Tool, process, scratch, wait_until};

/// A folder of the test's own, where FILE is `run.pid`.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: scratch() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("run.pid")
    }

    /// Runs in the folder; FILE is to be called `run.pid`.
    pub(crate) fn pidlock<const N: usize>(&self, arguments: [&str; N]) -> Tool {
        let tool = Tool::at(env!("CARGO_BIN_EXE_pidlock"));
        tool.args(arguments).current_dir(self.folder.path())
    }

    /// `pidlock run.pid -- sh -c SCRIPT`.
    pub(crate) fn under_lock(&self, script: &str) -> Tool {
        self.pidlock(["run.pid", "--", "sh", "-c", script])
    }

    /// A COMMAND that runs until it is ended, started and known to run.
    pub(crate) fn hold<const N: usize>(&self, options: [&str; N]) -> Holder {
        let words = options
            .iter()
            .chain(&["run.pid", "--", "sleep", "1000"])
            .copied();
        let tool = Tool::at(env!("CARGO_BIN_EXE_pidlock"));
        // A group of its own below a parent in the same session, as a shell's jobs have it: where
        // the tests themselves are an orphaned group, the kernel ignores TSTP (setpgid(2)).
        let tool = tool.current_dir(self.folder.path()).process_group(0);
        let pidlock = Running::start(tool.args(words));
        wait_until("COMMAND runs", || {
            self.holder()
                .and_then(process::look)
                .is_some_and(|seen| seen.cmdline == "sleep 1000")
        });
        let command = self.holder().unwrap();
        Holder { pidlock, command }
    }

    /// What `--holder` prints, if anything.
    pub(crate) fn holder(&self) -> Option<i32> {
        let ran = self.pidlock(["--holder", "run.pid"]).run();
        ran.stdout.trim().parse().ok()
    }

    /// The word of `--status`.
    pub(crate) fn state(&self) -> String {
        let ran = self.pidlock(["--status", "run.pid"]).run();
        ran.records()[0][0].to_owned()
    }

    /// What stands in FILE.
    pub(crate) fn content(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// Makes FILE with this content.
    pub(crate) fn write(&self, content: &[u8]) {
        fs::write(self.file(), content).unwrap();
    }

    /// Waits until this file is there, and says what stands in it.
    pub(crate) fn wait_for(&self, name: &str) -> String {
        let mut content = String::new();
        wait_until(&format!("{name} is written"), || {
            content = fs::read_to_string(self.path(name)).unwrap_or_default();
            content.ends_with('\n')
        });
        content
    }

    /// A FIFO, opened so that nobody's opening of it waits.
    pub(crate) fn fifo(&self, name: &str) -> fs::File {
        nix::unistd::mkfifo(&self.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.path(name))
            .unwrap()
    }
}

/// A `pidlock` that waits for a COMMAND that sleeps.
pub(crate) struct Holder {
    pub(crate) pidlock: Running,
    pub(crate) command: i32,
}

impl Holder {
    /// Sends COMMAND a signal and waits until it is dead.
    pub(crate) fn end_command(&self, signal: Signal) {
        send(self.command, signal);
        wait_until("COMMAND is dead", || process::gone(self.command));
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if process::look(self.command).is_some_and(|seen| seen.cmdline == "sleep 1000") {
            send(self.command, Signal::SIGKILL);
        }
    }
}

pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// A script that is COMMAND and says that another one runs, with code 99 and a file `two at once`:
/// it takes a record lock which its death drops before the lock of pidlock. `then` comes next.
pub(crate) fn alone(then: &str) -> [String; 3] {
    let script = format!(
        "use Fcntl; open(my $f, '+>>', 'alone') or exit 98; \
         my $lock = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); \
         fcntl($f, F_SETLK, $lock) or do {{ open(my $o, '>', 'two at once'); exit 99 }}; {then}"
    );
    ["perl".to_owned(), "-e".to_owned(), script]
}
