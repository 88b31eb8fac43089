//! The options of waithealth, declared once, and its help.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt as _};
use treekill::common::Common;
use treekill::duration;

use crate::request::{Codes, Request};
use crate::target::Target;
use crate::watched::Watched;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What is to become healthy; at least one.
    pub targets: Vec<Target>,
    /// For all of it; zero tries once.
    pub timeout: Duration,
    /// A fixed pause between two attempts.
    pub interval: Option<Duration>,
    /// For one attempt.
    pub attempt_timeout: Duration,
    /// One attempt per target, and exit 0 or 1 whatever happens.
    pub once: bool,
    /// One healthy target is enough.
    pub any: bool,
    /// The opposite is waited for.
    pub down: bool,
    /// Passes in a row.
    pub successes: u32,
    /// Processes without which it cannot become healthy any more.
    pub watched: Vec<Watched>,
    /// Which addresses of a name are tried.
    pub family: Family,
    /// What is asked of HTTP targets.
    pub request: Request,
    /// Executed in place after success; empty for none.
    pub command: Vec<OsString>,
    /// `-q -v --json`.
    pub common: Common,
}

/// Which family of addresses is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Both; either answer counts.
    Both,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// What the command line asks for.
pub(crate) enum Invocation {
    /// `-h`, `--help` or `--version`: print this.
    Show(String),
    /// Wait for health.
    Wait(Box<Plan>),
}

/// Reads the command line, without the program's name.
///
/// # Errors
/// Says what is wrong with it in one line.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Invocation, String> {
    let mut parser = Parser::from_args(arguments);
    let mut plan = Plan {
        targets: Vec::new(),
        timeout: Duration::from_secs(30),
        interval: None,
        attempt_timeout: Duration::from_secs(5),
        once: false,
        any: false,
        down: false,
        successes: 1,
        watched: Vec::new(),
        family: Family::Both,
        request: Request::default(),
        command: Vec::new(),
        common: Common::default(),
    };
    loop {
        if let Some(command) = after_dashes(&mut parser)? {
            plan.command = command;
            break;
        }
        let Some(argument) = parser.next().map_err(said)? else {
            break;
        };
        match argument {
            Short('h') => return Ok(Invocation::Show(SHORT_HELP.into())),
            Long("help") => return Ok(Invocation::Show(HELP.into())),
            Short('V') | Long("version") => return Ok(Invocation::Show(VERSION.into())),
            Short('q') | Long("quiet") => plan.common.quiet = true,
            Short('v') | Long("verbose") => plan.common.verbose = true,
            Long("json") => plan.common.json = true,
            Short('t') | Long("timeout") => plan.timeout = length(&mut parser, "--timeout")?,
            Short('i') | Long("interval") => {
                plan.interval = Some(length(&mut parser, "--interval")?)
            }
            Short('a') | Long("attempt-timeout") => {
                plan.attempt_timeout = length(&mut parser, "--attempt-timeout")?;
            }
            Long("once") => plan.once = true,
            Long("any") => plan.any = true,
            Long("down") => plan.down = true,
            Long("successes") => plan.successes = successes(&text(&mut parser, "--successes")?)?,
            Short('P') | Long("pid") => plan.watched.push(process(&text(&mut parser, "--pid")?)?),
            Short('p') | Long("pidfile") => {
                let file = parser.value().map_err(said)?.into();
                plan.watched.push(Watched::File(file));
            }
            Short('4') => plan.family = one_family(plan.family, Family::V4)?,
            Short('6') => plan.family = one_family(plan.family, Family::V6)?,
            Value(target) => plan.targets.push(Target::parse(&target)?),
            other => {
                let name = match other {
                    Short(letter) => format!("-{letter}"),
                    Long(name) => format!("--{name}"),
                    Value(_) => String::new(),
                };
                request_option(&name, &mut parser, &mut plan.request)?;
            }
        }
    }
    check(&plan)?;
    Ok(Invocation::Wait(Box::new(plan)))
}

/// The options that shape the HTTP request and judge its answer.
fn request_option(name: &str, parser: &mut Parser, request: &mut Request) -> Result<(), String> {
    match name {
        "--code" => request.codes = Codes::parse(&text(parser, name)?)?,
        "--body" => request.set_body(&text(parser, name)?)?,
        "--field" => request.add_field(&text(parser, name)?)?,
        "--print" => request.set_print(&text(parser, name)?)?,
        "-H" | "--header" => request.add_header(&text(parser, name)?)?,
        "-X" | "--method" => request.set_method(&text(parser, name)?)?,
        "--basic-auth" => request.set_basic_auth(text(parser, name)?)?,
        "-k" | "--insecure" => request.insecure = true,
        "--cacert" => request.cacert = Some(parser.value().map_err(said)?.into()),
        "-L" | "--location" => request.location = true,
        _ => return Err(format!("{name}: there is no such option")),
    }
    Ok(())
}

/// COMMAND, once `--` is next.
fn after_dashes(parser: &mut Parser) -> Result<Option<Vec<OsString>>, String> {
    let Some(mut raw) = parser.try_raw_args() else {
        return Ok(None);
    };
    if raw.next_if(|next| next == "--").is_none() {
        return Ok(None);
    }
    let command: Vec<OsString> = raw.collect();
    if command.is_empty() {
        return Err("no COMMAND after --".into());
    }
    Ok(Some(command))
}

/// What only the whole command line shows.
fn check(plan: &Plan) -> Result<(), String> {
    if plan.targets.is_empty() {
        return Err("no TARGET given".into());
    }
    if plan.attempt_timeout.is_zero() {
        return Err("--attempt-timeout: an attempt needs time".into());
    }
    if plan.once && !plan.command.is_empty() {
        return Err("--once returns 0 or 1 alone and runs no COMMAND: use -t 0".into());
    }
    if plan.once && plan.successes > 1 {
        return Err("--once is one attempt: --successes cannot be reached".into());
    }
    let commands = plan.targets.iter().any(Target::is_command);
    if plan.down && commands {
        return Err("--down: a command is neither refused nor absent; use exec:! COMMAND".into());
    }
    let http = plan.targets.iter().any(Target::is_http);
    match plan.request.asked_for() {
        Some(option) if !http => Err(format!("{option}: none of the targets speaks HTTP")),
        Some(option) if plan.down => Err(format!(
            "{option}: nothing is asked of a server that is down"
        )),
        _ => Ok(()),
    }
}

fn said(error: lexopt::Error) -> String {
    error.to_string()
}

fn text(parser: &mut Parser, option: &str) -> Result<String, String> {
    let value = parser.value().map_err(said)?;
    value.string().map_err(|_| format!("{option}: not UTF-8"))
}

fn length(parser: &mut Parser, option: &str) -> Result<Duration, String> {
    let text = text(parser, option)?;
    duration::parse(&text).map_err(|why| format!("{option} {text:?}: {why}"))
}

fn successes(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if number > 0 && !text.starts_with('+') => Ok(number),
        _ => Err(format!(
            "--successes {text:?}: a whole number from 1 is wanted"
        )),
    }
}

fn process(text: &str) -> Result<Watched, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(pid) if pid > 0 && digits => Ok(Watched::Pid(pid)),
        _ => Err(format!("--pid {text:?}: not a process number")),
    }
}

fn one_family(before: Family, now: Family) -> Result<Family, String> {
    if before != Family::Both && before != now {
        return Err("-4 and -6 leave no address to try".into());
    }
    Ok(now)
}

/// Whether `--once` stands among the options: then even wrong usage is an exit code of 1.
pub(crate) fn is_once(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != OsStr::new("--"))
        .any(|argument| argument == OsStr::new("--once"))
}

const VERSION: &str = concat!("waithealth ", env!("CARGO_PKG_VERSION"));

/// `-h`: one screen of 24 lines.
const SHORT_HELP: &str = "\
Waits until servers are healthy, sees it within milliseconds, and always ends in time.

Usage: waithealth [OPTIONS] TARGET... [-- COMMAND [ARG...]]

Targets: http://… https://… http+unix:///SOCKET:/PATH  tcp://HOST:PORT HOST:PORT :PORT
         unix:///SOCKET  postgres://HOST redis://… mysql://… mongodb://…
         file:///PATH  exec:COMMAND LINE

  -t, --timeout DUR          for all of it (30s; 0 tries once)
  -i, --interval DUR         a fixed pause between two attempts
  -a, --attempt-timeout DUR  for one attempt, name look-up and body included (5s)
      --once                 one attempt, exit 0 or 1: for HEALTHCHECK
      --code LIST            good statuses: 200,204 or 2xx or 200-399
      --body REGEX           the body must match
      --field PATH[=VALUE]   a field of the JSON body must be true, or VALUE
      --print PATH           prints that field on success (. the whole body)
      --any, --down, --successes N   one is enough; the opposite; N passes in a row
  -P, --pid PID  -p, --pidfile FILE  gives up when this process is gone
  -H 'K: V'  -X METHOD  --basic-auth NAME:PASS  -L (follow redirects)
  -k, --cacert FILE (TLS)  -4  -6 (one family)  -q  -v  --json  --help  -V
";

/// All of it: what the man page and the completions are compared with.
const HELP: &str = "\
Waits until servers are healthy, sees it within milliseconds, and always ends in time.

Usage: waithealth [OPTIONS] TARGET... [-- COMMAND [ARG...]]

Targets:
  http://… https://…        the answer to GET has a good status and passes every --body and --field
  http+unix:///SOCKET:/PATH the same over a Unix socket; http://unix:/SOCKET:/PATH is accepted too
  tcp://HOST:PORT HOST:PORT :PORT unix:///SOCKET
                            a connection is accepted; :PORT means localhost
  postgres://HOST redis://HOST mysql://HOST mongodb://HOST
                            the server itself says that it takes clients, in its own protocol,
                            without a login; user, password and path of the URL are ignored
  file:///PATH              it exists
  exec:COMMAND LINE         sh -c of it returns 0

Options:
  -t, --timeout DUR          for all of it (30s; 0 tries once)
  -i, --interval DUR         a fixed pause between two attempts. Without it the pause is 1 % of
                             the time waited so far, at least 5ms after a refusal and 50ms after
                             an answer, at most 1s
  -a, --attempt-timeout DUR  for one attempt, name look-up and body included (5s)
      --once                 one attempt per target, exit 0 or 1 and nothing else: for HEALTHCHECK
      --code LIST            good statuses: 200,204 or 2xx or 200-399 (200-299)
      --body REGEX           the body must match; of up to 1 MiB, a longer one fails
      --field PATH[=VALUE]   a field of the JSON body is there and not null or false, or equal to
                             VALUE. PATH is dotted (checks.db.status) or a JSON Pointer
                             (/checks/db/status); repeatable
      --print PATH           on success prints that field (. the whole body), not the record
  -H, --header 'K: V'        of the request, repeatable; replaces our own, Host included
  -X, --method METHOD        instead of GET
      --basic-auth NAME:PASS  of the request
  -k, --insecure             takes any certificate
      --cacert FILE          trusts the certificates in FILE (PEM) instead of the system's
  -L, --location             follows up to 10 redirects
  -4                         IPv4 alone; both families are tried otherwise
  -6                         IPv6 alone
      --successes N          this many passes in a row (1)
      --any                  one healthy target is enough
      --down                 waits for the opposite: every target refuses or is absent
  -P, --pid PID              gives up with 1 at once when this process is gone (repeatable)
  -p, --pidfile FILE         the same with the process that FILE means: who holds its lock, or
                             whose number it has; gone when FILE is missing (repeatable)
  -q, --quiet                no records, no words but those that go with 125
  -v, --verbose              says each change in what a target answers
      --json                 records as JSON, one object a line
  -h, --help                 -h is one screen, --help all of it
  -V, --version              prints the version

Durations: 5 and 5s are five seconds; 0.5, 500ms, 2m, 1h30m, 1d and inf work.

Exit codes:
    0  every target is healthy (--any: one is; --down: every one is down)
    1  it cannot become healthy: the process of --pid or --pidfile is gone;
       --once: not healthy now
  124  the time given ran out first
  125  wrong usage (--once: 1); nothing was probed
  126  COMMAND cannot be executed
  127  COMMAND was not found

Examples:
  waithealth http://localhost:8000/health
  waithealth -t 2m postgres://db redis://cache -- ./server
  HEALTHCHECK CMD [\"/waithealth\", \"--once\", \"http://localhost:8000/health\"]
";
