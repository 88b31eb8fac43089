//! Running a program to its end, with a deadline, and what came of it.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{DEADLINE, needs};

/// What [`Tool::named`] looks for where cargo builds, before it asks PATH.
const OURS: [&str; 7] = [
    "portfree",
    "pidlock",
    "treekill",
    "waithealth",
    "procwatch",
    "demo-server",
    "hostile",
];

/// A program with its arguments, about to be run.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    stdin: Vec<u8>,
    deadline: Duration,
}

impl Tool {
    /// A binary of this workspace, or any program on PATH.
    ///
    /// # Panics
    /// When the binary is not built.
    #[must_use]
    pub fn named(name: &str) -> Self {
        if OURS.contains(&name) {
            return Self::at(bin(name));
        }
        Self::at(name)
    }

    /// The program in this file; `Tool::at(env!("CARGO_BIN_EXE_x"))` for a crate's own.
    #[must_use]
    pub fn at(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            stdin: Vec::new(),
            deadline: DEADLINE,
        }
    }

    /// Makes it lead a process group of its own (0), or join this one.
    #[must_use]
    pub fn process_group(mut self, group: i32) -> Self {
        self.command.process_group(group);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What it reads on standard input; nothing when not said.
    #[must_use]
    pub fn stdin(mut self, text: impl AsRef<[u8]>) -> Self {
        self.stdin = text.as_ref().to_owned();
        self
    }

    /// How long it may take; [`DEADLINE`] when not said.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same run by another program, whose command line it ends: `strace -f TOOL ARGUMENTS`.
    #[must_use]
    pub fn run_by(self, program: Self) -> Self {
        let mut wrapped = program
            .arg(self.command.get_program())
            .args(self.command.get_args());
        for (key, value) in self.command.get_envs() {
            wrapped = match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            wrapped = wrapped.current_dir(folder);
        }
        wrapped.stdin(self.stdin).deadline(self.deadline)
    }

    /// The command as std has it.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end. Output goes to files, so that a descendant that keeps the streams
    /// open holds nobody up.
    ///
    /// # Panics
    /// When it cannot be started, or outlives its deadline (it is killed then).
    #[must_use]
    pub fn run(mut self) -> Ran {
        let command = words_of(&self.command);
        let (mut out, mut err) = (output_file(), output_file());
        let stdin = if self.stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        };
        let started = Instant::now();
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(err.try_clone().expect("a second handle"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let feeder = child.stdin.take().map(|mut pipe| {
            let text = std::mem::take(&mut self.stdin);
            thread::spawn(move || pipe.write_all(&text))
        });
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                break status;
            }
            if started.elapsed() > self.deadline {
                let _ = child.kill();
                let _ = child.wait();
                let (out, err) = (content(&mut out), content(&mut err));
                panic!(
                    "{command}: not over after {:?}\n{out}\n{err}",
                    self.deadline
                );
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        };
        let elapsed = started.elapsed();
        if let Some(feeder) = feeder {
            // It may end without having read all.
            let _ = feeder.join();
        }
        Ran {
            command,
            status,
            elapsed,
            stdout: content(&mut out),
            stderr: content(&mut err),
        }
    }
}

fn output_file() -> File {
    tempfile::tempfile().expect("a file for output")
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("output can be read");
    file.read_to_end(&mut bytes).expect("output is read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The command line as one would type it.
fn words_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| match word.to_string_lossy() {
            word if word.is_empty() || word.contains([' ', '\t', '\n', '\'']) => {
                format!("{:?}", word)
            }
            word => word.into_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// What came of running a program.
pub struct Ran {
    /// The command line.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took.
    pub elapsed: Duration,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Its exit code; `None` when a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Itself, when it ended with this code.
    ///
    /// # Panics
    /// When it did not; shows all that is known.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "the exit code\n{self:?}");
        self
    }

    /// Itself, when its standard output is exactly this.
    ///
    /// # Panics
    /// When it is not; shows the lines that differ.
    #[track_caller]
    pub fn expect_stdout(self, expected: &str) -> Self {
        let same = self.stdout == expected;
        assert!(same, "{}{self:?}", difference(expected, &self.stdout));
        self
    }

    /// Itself, when its standard error is exactly this.
    ///
    /// # Panics
    /// When it is not; shows the lines that differ.
    #[track_caller]
    pub fn expect_stderr(self, expected: &str) -> Self {
        let same = self.stderr == expected;
        assert!(same, "{}{self:?}", difference(expected, &self.stderr));
        self
    }

    /// Itself, when it says this on standard error.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn expect_words(self, words: &str) -> Self {
        let said = self.stderr.contains(words);
        assert!(said, "nothing said of {words:?}\n{self:?}");
        self
    }

    /// The records on standard output, each as its fields.
    #[must_use]
    pub fn records(&self) -> Vec<Vec<&str>> {
        let lines = self.stdout.lines();
        lines.map(|line| line.split('\t').collect()).collect()
    }

    /// The JSON Lines on standard output.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self:?}"))
        };
        self.stdout.lines().map(parse).collect()
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        writeln!(f, "{} after {:?}", self.status, self.elapsed)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            writeln!(f, "--- {name}")?;
            for line in text.lines() {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}

/// Both texts line by line: `-` what was expected, `+` what came, two blanks where they agree.
fn difference(expected: &str, came: &str) -> String {
    let (mut left, mut right) = (expected.lines(), came.lines());
    let mut text = String::from("expected (-) and came (+) differ\n");
    loop {
        match (left.next(), right.next()) {
            (None, None) => return text,
            (Some(a), Some(b)) if a == b => text.push_str(&format!("  {a}\n")),
            (a, b) => {
                for (sign, line) in [("-", a), ("+", b)] {
                    if let Some(line) = line {
                        text.push_str(&format!("{sign} {line}\n"));
                    }
                }
            }
        }
    }
}

/// The file of one of the five tools (or of another binary of this workspace): in the folder
/// that `TOOLS_DIR` names, else where the running test was built, else on PATH.
///
/// # Panics
/// When it is in none of them.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    let named = std::env::var_os("TOOLS_DIR").map(PathBuf::from);
    let built = std::env::current_exe().ok().and_then(|test| {
        // target/PROFILE/deps/test-0123456789abcdef
        Some(test.parent()?.parent()?.to_owned())
    });
    [named, built]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .or_else(|| needs::on_path(name))
        .unwrap_or_else(|| panic!("{name} is not built: cargo build --workspace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_program_is_told() {
        let script = "cat; echo problem >&2; exit 3";
        let ran = Tool::named("sh").args(["-c", script]).stdin("a\tb\n").run();
        let ran = ran
            .expect_code(3)
            .expect_stdout("a\tb\n")
            .expect_words("problem");
        assert_eq!(ran.records(), [["a", "b"]]);
        assert_eq!(ran.command, "sh -c \"cat; echo problem >&2; exit 3\"");
    }

    #[test]
    #[should_panic(expected = "not over after")]
    fn a_program_that_hangs_is_ended() {
        let tool = Tool::named("sleep").arg("1000");
        let _ = tool.deadline(Duration::from_millis(50)).run();
    }

    #[test]
    fn a_difference_shows_the_lines() {
        let text = difference("a\nb\n", "a\nc\nd\n");
        assert!(text.ends_with("  a\n- b\n+ c\n+ d\n"), "{text}");
    }
}
