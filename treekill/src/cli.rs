//! The options, declared once: help, man page and completions come from here.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use regex_lite::Regex;
use treekill::common::{Common, Escalation};
use treekill::describe::user_number;
use treekill::record::escape;
use treekill::terminate::Policy;
use treekill::tree::Scope;

use crate::select::Selection;

const AFTER_HELP: &str = "\
Exit codes:
  0    nothing of the tree is left
  1    something is left, or was named that is never signalled
  77   some were not ours to signal, the rest was done
  125  wrong usage, or it could not begin; nobody was signalled

Records:
  PID, outcome, name and command line of each process, with a TAB between them.
  Outcomes: term (ended within the grace), kill, gone (was ending anyway), alive,
  denied. With --dry-run: PID, parent, depth, name, command line.

Limits:
  What left the tree before it was looked at (a daemon, by a double fork and setsid), or
  was started in a session of its own by a child that was gone before the next look, cannot
  be proved to descend from a PID, and is left alone. Start such a server under procwatch,
  which adopts whatever it starts, or give it a mark for --env.

Examples:
  treekill 4711                                ends process 4711 and all below it
  treekill --leader-first -g 15 -p run.pid     lets a supervisor stop its own first
  treekill --match '^node .*app\\.js' -u web    never the shell that runs this line";

/// Ends a process tree, all of it and nothing else
///
/// A tree is a root with its descendants, every session that one of them leads or led, and the
/// orphans of their process groups. Each process is told once to end, gets a grace to do so, and
/// is killed when it does not; nothing can fork its way out.
#[derive(Debug, clap::Parser)]
#[command(version, after_long_help = AFTER_HELP, max_term_width = 100, args_override_self = true)]
#[command(override_usage = "treekill [OPTIONS] [PID...]\n       ... | treekill [OPTIONS] -")]
pub(crate) struct Cli {
    /// Roots of trees; `-` reads them from standard input
    #[arg(value_name = "PID")]
    operands: Vec<OsString>,
    /// The process that FILE's first line names (repeatable)
    ///
    /// Where FILE is locked by pidlock, the kernel says who that is. Otherwise a process that
    /// started after FILE was last written is another one that got its number, and is left
    /// alone. A missing file, or one whose process is gone, is already what was asked for.
    /// Returns when the tree is dead and FILE is unlocked.
    #[arg(short, long = "pidfile", value_name = "FILE")]
    pidfiles: Vec<PathBuf>,
    /// Every process with exactly this name
    ///
    /// The whole name, beyond the 15 characters that the kernel keeps.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<OsString>,
    /// Every process whose command line matches
    #[arg(long = "match", value_name = "REGEX")]
    patterns: Vec<OsString>,
    /// Every process whose environment shows this
    ///
    /// Its environment at its start, as /proc/PID/environ still shows it: finds what left the
    /// tree.
    #[arg(long = "env", value_name = "KEY=VALUE")]
    variables: Vec<OsString>,
    /// Narrows --name, --match, --env to this user
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    escalation: Escalation,
    /// First signal to the root alone, KILL to all
    ///
    /// For a supervisor that stops its own. The others get the first signal once no root is left
    /// to do that; KILL goes to whatever is left of the whole tree after the grace.
    #[arg(long)]
    leader_first: bool,
    /// Everything below the root, not the root
    #[arg(long)]
    children: bool,
    /// Nothing to kill is 1 instead of 0
    #[arg(long)]
    must_exist: bool,
    /// Shows what would be signalled; signals nobody
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// The options that every tool has.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What the user named as the root of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A PID.
    Pid(i32),
    /// The process of this PID file.
    File(PathBuf),
    /// The PIDs on standard input.
    Stdin,
}

/// What is to be done, as plain data.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The roots that were named.
    pub(crate) names: Vec<Name>,
    /// The roots that are to be looked for.
    pub(crate) selection: Selection,
    /// How much of each tree is meant.
    pub(crate) scope: Scope,
    /// How it is ended.
    pub(crate) policy: Policy,
    /// Whether nothing to kill is a failure.
    pub(crate) must_exist: bool,
    /// Whether it is only shown.
    pub(crate) dry_run: bool,
}

impl Cli {
    /// The plan behind these options.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(crate) fn plan(self) -> Result<Plan, String> {
        let selection = Selection {
            names: taken(self.names, "--name", |name| Ok(name.into_vec()))?,
            patterns: taken(self.patterns, "--match", |text| regex(&text))?,
            variables: taken(self.variables, "--env", |text| variable(&text))?,
            user: self.user.as_deref().map(user).transpose()?,
        };
        if self.user.is_some() && selection.is_empty() {
            return Err("--user narrows --name, --match and --env: one of them is needed".into());
        }
        let operands = self.operands.iter().map(operand);
        let mut names = operands.collect::<Result<Vec<_>, _>>()?;
        names.extend(self.pidfiles.into_iter().map(Name::File));
        if names.is_empty() && selection.is_empty() {
            return Err("no PID was given".into());
        }
        Ok(Plan {
            names,
            selection,
            scope: if self.children {
                Scope::Below
            } else {
                Scope::Tree
            },
            policy: self.escalation.policy(self.leader_first),
            must_exist: self.must_exist,
            dry_run: self.dry_run,
        })
    }
}

/// Values of a selecting option. An empty one, as an unset variable leaves it, would select
/// everything or nothing: neither is meant.
fn taken<T>(
    values: Vec<OsString>,
    option: &str,
    read: impl Fn(OsString) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let one = |value: OsString| {
        if value.is_empty() {
            return Err(format!("{option}: it is empty"));
        }
        let shown = escape(value.as_bytes());
        read(value).map_err(|why| format!("{option} {shown}: {why}"))
    };
    values.into_iter().map(one).collect()
}

fn regex(text: &OsString) -> Result<Regex, String> {
    let text = text.to_str().ok_or("it is not UTF-8")?;
    Regex::new(text).map_err(|error| error.to_string())
}

fn variable(text: &OsString) -> Result<Vec<u8>, String> {
    match text.as_bytes().iter().position(|&b| b == b'=') {
        Some(1..) => Ok(text.as_bytes().to_vec()),
        _ => Err("KEY=VALUE is wanted".into()),
    }
}

fn user(name: &str) -> Result<u32, String> {
    user_number(name).ok_or_else(|| format!("--user {}: no such user", escape(name.as_bytes())))
}

fn operand(word: &OsString) -> Result<Name, String> {
    if word == "-" {
        return Ok(Name::Stdin);
    }
    pid(word.as_bytes()).map(Name::Pid)
}

/// Reads a PID: digits, and neither 0 nor more than a PID can be.
///
/// # Errors
/// That it is none.
pub(crate) fn pid(word: &[u8]) -> Result<i32, String> {
    let digits = std::str::from_utf8(word).unwrap_or_default();
    let only_digits = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(pid @ 1..) if only_digits => Ok(pid),
        _ => Err(format!("{}: not a PID", shown(word))),
    }
}

/// A word in a message; an empty one must be seen.
fn shown(word: &[u8]) -> String {
    if word.is_empty() {
        return "''".into();
    }
    escape(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::time::Duration;

    fn plan(words: &[&str]) -> Result<Plan, String> {
        let cli = Cli::try_parse_from([&["treekill"], words].concat());
        cli.map_err(|error| error.to_string())?.plan()
    }

    #[test]
    fn the_options_are_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn what_a_pid_is() {
        for word in ["", "0", "-1", "+1", "x", "1x", " 1", "1.5", "4294967297"] {
            assert!(pid(word.as_bytes()).is_err(), "{word:?} was taken");
        }
        assert_eq!(pid(b"\xff"), Err("\\xff: not a PID".into()));
        assert_eq!(pid(b"4194304"), Ok(4_194_304));
    }

    #[test]
    fn options_may_stand_anywhere() {
        let plan = plan(&["7", "-g0", "8", "-p", "x.pid", "--signal=int", "--", "-"]).unwrap();
        let file = Name::File("x.pid".into());
        let names = [Name::Pid(7), Name::Pid(8), Name::Stdin, file];
        assert_eq!(plan.names, names);
        assert!(plan.policy.grace.is_zero());
        assert_eq!(plan.policy.signal.to_string(), "INT");
    }

    #[test]
    fn the_last_of_an_option_counts_and_selectors_add_up() {
        let words = [
            "-g", "1", "-g", "2", "--name", "a", "--name", "b", "-n", "-n",
        ];
        let plan = plan(&words).unwrap();
        assert_eq!(plan.policy.grace, Duration::from_secs(2));
        assert_eq!(plan.selection.names, [b"a", b"b"]);
    }

    #[test]
    fn what_is_refused() {
        for words in [
            &[][..],
            &["-u", "root"],
            &["--name", ""],
            &["--match", ""],
            &["--match", "("],
            &["--env", "KEY"],
            &["--env", "=x"],
            &["--name", "x", "-u", "no such user"],
            &["-g", "-1", "7"],
            &["-s", "NO", "7"],
            &["7", "eight"],
        ] {
            assert!(plan(words).is_err(), "{words:?} was taken");
        }
    }
}
