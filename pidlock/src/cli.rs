//! The command line: options declared once, read into a plan.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt as _};
use treekill::common::Common;
use treekill::duration;
use treekill::record::escape;

use crate::exit::HELD;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Run COMMAND under FILE.
    Run(Run),
    /// Say how FILE stands.
    Status(PathBuf),
    /// Print the PID of FILE's holder.
    Holder(PathBuf),
    /// Print a text: help or version.
    Print(String),
}

/// One COMMAND under one FILE.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The lock and PID file.
    pub file: PathBuf,
    /// COMMAND.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How long to wait for the lock; `None`: fail at once.
    pub wait: Option<Duration>,
    /// What to return when another process holds the lock.
    pub held_code: u8,
    /// Whether to return once COMMAND runs in the background.
    pub detach: bool,
    /// Where the output of a background COMMAND goes; `None`: nowhere.
    pub log: Option<PathBuf>,
    /// Whether to become COMMAND instead of waiting for it.
    pub no_fork: bool,
    /// Permissions of a FILE that is made; `None`: 0600, less what the umask takes away.
    pub mode: Option<u32>,
}

/// Reads the command line.
///
/// # Errors
/// Says in one line what is wrong with it.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Common, Plan), String> {
    let mut line = Line::default();
    let mut parser = Parser::from_iter(arguments);
    while line.command.is_empty() {
        let Some(argument) = parser.next().map_err(words)? else {
            break;
        };
        if let Value(word) = argument {
            line.operand(word, &mut parser)?;
            continue;
        }
        match argument {
            Short('h') => return Ok((line.common, Plan::Print(SHORT_HELP.to_owned()))),
            Long("help") => return Ok((line.common, Plan::Print(HELP.to_owned()))),
            Short('V') | Long("version") => {
                let version = format!("pidlock {}", env!("CARGO_PKG_VERSION"));
                return Ok((line.common, Plan::Print(version)));
            }
            Short('q') | Long("quiet") => line.common.quiet = true,
            Short('v') | Long("verbose") => line.common.verbose = true,
            Long("json") => line.common.json = true,
            Short('n') => line.at_once = true,
            Short('w') | Long("wait") => {
                let text = text(&mut parser)?;
                let length = duration::parse(&text)
                    .map_err(|why| format!("--wait {}: {why}", escape(text.as_bytes())))?;
                line.wait = Some(length);
            }
            Short('E') | Long("conflict-exit-code") => {
                let text = text(&mut parser)?;
                line.held_code = Some(text.parse().map_err(|_| {
                    let text = escape(text.as_bytes());
                    format!("--conflict-exit-code {text}: a number from 0 to 255 is wanted")
                })?);
            }
            Short('d') | Long("detach") => line.detach = true,
            Short('o') | Long("log") => line.log = Some(parser.value().map_err(words)?.into()),
            Short('F') | Long("no-fork") => line.no_fork = true,
            Long("mode") => line.mode = Some(mode(&text(&mut parser)?)?),
            Long("status") => line.ask(Question::Status, &mut parser)?,
            Long("holder") => line.ask(Question::Holder, &mut parser)?,
            other => return Err(words(other.unexpected())),
        }
    }
    let common = line.common;
    Ok((common, line.plan()?))
}

/// The command line as far as it has been read.
#[derive(Default)]
struct Line {
    common: Common,
    question: Option<Question>,
    file: Option<OsString>,
    command: Vec<OsString>,
    at_once: bool,
    wait: Option<Duration>,
    held_code: Option<u8>,
    detach: bool,
    log: Option<PathBuf>,
    no_fork: bool,
    mode: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Status,
    Holder,
}

impl Line {
    /// The first operand is FILE; the second is the first word of COMMAND, whose words are its own.
    fn operand(&mut self, word: OsString, parser: &mut Parser) -> Result<(), String> {
        if self.file.is_none() {
            self.file = Some(word);
            return Ok(());
        }
        self.command.push(word);
        let rest = parser.raw_args().map_err(words)?;
        self.command.extend(rest);
        // `pidlock -- FILE -- COMMAND`: the second `--` is no word of COMMAND either.
        if self.command.first().is_some_and(|first| first == "--") {
            self.command.remove(0);
        }
        Ok(())
    }

    fn ask(&mut self, question: Question, parser: &mut Parser) -> Result<(), String> {
        if self.question.is_some_and(|asked| asked != question) {
            return Err("--status and --holder exclude each other".to_owned());
        }
        self.question = Some(question);
        match parser.optional_value() {
            Some(file) => self.operand(file, parser),
            None => Ok(()),
        }
    }

    fn plan(self) -> Result<Plan, String> {
        let file: PathBuf = match self.file {
            Some(file) if file.is_empty() => return Err("FILE is empty".to_owned()),
            Some(file) => file.into(),
            None => return Err("FILE is missing".to_owned()),
        };
        let mut command = self.command.into_iter();
        let program = command.next();
        if let Some(question) = self.question {
            return match (program, question) {
                (Some(_), _) => Err("--status and --holder take FILE alone".to_owned()),
                (None, Question::Status) => Ok(Plan::Status(file)),
                (None, Question::Holder) => Ok(Plan::Holder(file)),
            };
        }
        let program = program.ok_or("COMMAND is missing")?;
        if self.at_once && self.wait.is_some() {
            return Err("-n and --wait exclude each other".to_owned());
        }
        if self.log.is_some() && !self.detach {
            return Err("--log belongs to --detach".to_owned());
        }
        Ok(Plan::Run(Run {
            file,
            program,
            arguments: command.collect(),
            wait: self.wait,
            held_code: self.held_code.unwrap_or(HELD),
            detach: self.detach,
            log: self.log,
            no_fork: self.no_fork,
            mode: self.mode,
        }))
    }
}

/// Permissions in octal. Whoever starts the next COMMAND must be able to read and write FILE.
fn mode(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| digits && mode <= 0o777);
    match mode {
        Some(mode) if mode & 0o600 == 0o600 => Ok(mode),
        Some(_) => Err(format!(
            "--mode {text}: the owner must be able to read and write FILE"
        )),
        None => Err(format!(
            "--mode {}: octal permissions are wanted, as in 0644",
            escape(text.as_bytes())
        )),
    }
}

fn text(parser: &mut Parser) -> Result<String, String> {
    parser
        .value()
        .and_then(|value| value.string())
        .map_err(words)
}

fn words(error: lexopt::Error) -> String {
    error.to_string()
}

const SHORT_HELP: &str = "\
Runs COMMAND while FILE is locked for it; FILE holds COMMAND's PID.

Usage: pidlock [OPTIONS] FILE [--] COMMAND [ARG...]
       pidlock --status FILE | --holder FILE

  -w, --wait DUR      wait for the lock up to DUR (inf: for ever), then 124
  -E, --conflict-exit-code N   return N, not 75, when another holds the lock
  -d, --detach        start COMMAND in the background, print its PID
  -o, --log FILE      with -d: append COMMAND's output to FILE
  -F, --no-fork       become COMMAND instead of waiting for it
      --mode MODE     permissions of a FILE it makes (0600)
      --status FILE   say whether COMMAND runs: 0 yes, 3 no; see --help
      --holder FILE   print the holder's PID
  -q, --quiet   -v, --verbose   --json   -h, --help   -V, --version

Exit: COMMAND's own; 75 the lock is held; 124, 125, 126, 127 as --help tells.
";

const HELP: &str = "\
Runs COMMAND while FILE is locked for it; FILE holds COMMAND's PID.

The lock is the kernel's: it is gone the instant its holder is, and no number
in a file is ever trusted.

Usage: pidlock [OPTIONS] FILE [--] COMMAND [ARG...]
       pidlock --status FILE | --holder FILE

Options:
  -n                  fail at once when the lock is held (the default)
  -w, --wait DUR      wait for the lock up to DUR: 5, 500ms, 2m, 1h30m, or inf
  -E, --conflict-exit-code N
                      return N instead of 75 when another process holds the lock
  -d, --detach        start COMMAND in the background in a session of its own,
                      print its PID and return once it runs
  -o, --log FILE      with -d: append COMMAND's output to FILE (/dev/null)
  -F, --no-fork       become COMMAND instead of waiting for it; FILE is left in
                      place at the end, unlocked
      --mode MODE     permissions of a FILE it makes (0600). Who may read FILE
                      may also lock it; 0644 lets others ask with --status
      --status FILE   print a record: state, PID, user, start, name, command
                      line. State is running, ending, stale, free or unknown
      --holder FILE   print the holder's PID alone
  -q, --quiet         no records, and no words but those that go with 125
  -v, --verbose       say each step
      --json          write records as JSON, one object a line
  -h, --help          -h for one screen, --help for all
  -V, --version       print the version

Exit codes:
  0        COMMAND's; -d: it runs; --holder: somebody holds the lock
  1        --holder: nobody holds the lock
  75       another process holds the lock (-E changes it)
  124      the time of --wait ran out
  125      wrong usage, or FILE cannot be used; nothing was started
  126/127  COMMAND cannot be executed / was not found
  128+N    COMMAND was ended by signal N: pidlock then ends by it too
  other    COMMAND's own
  --status 0 running or ending, 1 stale, 3 free, 4 cannot tell (LSB)

Examples:
  pidlock /run/app.pid -- python3 server.py
      one server at a time; the second start says who has the lock, and is 75
  pidlock -d -o app.log app.pid -- node server.js
      in the background; stop it with: treekill -p app.pid
  pidlock -w inf /tmp/backup.lock -- ./backup.sh
      wait in line
";

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &[&str]) -> Result<Plan, String> {
        let arguments = std::iter::once("pidlock").chain(line.iter().copied());
        parse(arguments.map(OsString::from)).map(|(_, plan)| plan)
    }

    fn run(line: &[&str]) -> Run {
        match plan(line) {
            Ok(Plan::Run(run)) => run,
            other => panic!("{line:?} is {other:?}"),
        }
    }

    #[test]
    fn the_words_of_command_are_its_own() {
        for line in [
            &["f", "cmd", "-d", "--status", "--"][..],
            &["f", "--", "cmd", "-d", "--status", "--"],
            &["--", "f", "cmd", "-d", "--status", "--"],
            &["--", "f", "--", "cmd", "-d", "--status", "--"],
        ] {
            let run = run(line);
            assert_eq!(run.program, "cmd", "{line:?}");
            assert_eq!(run.arguments, ["-d", "--status", "--"], "{line:?}");
            assert!(!run.detach, "{line:?}");
        }
    }

    #[test]
    fn options_stand_before_or_after_file() {
        for line in [
            &["-w5", "-E", "9", "f", "cmd"][..],
            &["f", "--wait=5", "-E9", "cmd"],
            &["--conflict-exit-code", "9", "f", "-w", "5s", "--", "cmd"],
        ] {
            let run = run(line);
            assert_eq!(run.wait, Some(Duration::from_secs(5)), "{line:?}");
            assert_eq!(run.held_code, 9, "{line:?}");
        }
        assert_eq!(run(&["--mode", "0644", "f", "c"]).mode, Some(0o644));
    }

    #[test]
    fn questions_take_file_alone() {
        for line in [&["--status", "f"][..], &["f", "--status"], &["--status=f"]] {
            assert_eq!(plan(line), Ok(Plan::Status("f".into())), "{line:?}");
        }
        assert_eq!(plan(&["--holder", "f"]), Ok(Plan::Holder("f".into())));
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            &[][..],
            &["f"],
            &["f", "--"],
            &["", "cmd"],
            &["--status"],
            &["--status", "f", "cmd"],
            &["--status", "--holder", "f"],
            &["--nonsense", "f", "cmd"],
            &["-x", "f", "cmd"],
            &["-w"],
            &["-w", "-1", "f", "cmd"],
            &["-w", "soon", "f", "cmd"],
            &["-n", "-w", "1", "f", "cmd"],
            &["-E", "256", "f", "cmd"],
            &["-E", "x", "f", "cmd"],
            &["-o", "log", "f", "cmd"],
            &["--mode", "9", "f", "cmd"],
            &["--mode", "+644", "f", "cmd"],
            &["--mode", "01644", "f", "cmd"],
            &["--mode", "0444", "f", "cmd"],
        ] {
            assert!(plan(line).is_err(), "{line:?} was taken");
        }
    }
}
