//! A COMMAND that looks whether it is alone: for the fire test of pidlock.
//!
//! `fire-command WITNESS CODE MILLISECONDS HABIT...` appends `PID START` to WITNESS, and `TWO` with
//! both when one that stands there still runs. Then it takes on its habits, lives so long and
//! ends with CODE. Habits: `closes` every descriptor it inherited; `leaves` a descendant behind;
//! `reopens=FILE` opens and closes FILE.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::unistd::close;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        [witness, code, life, ref habits @ ..] => run(witness, code, life, habits),
        _ => Err(io::Error::other(
            "usage: fire-command WITNESS CODE MS HABIT...",
        )),
    };
    result.map_or_else(
        |error| {
            let _ = writeln!(io::stderr(), "fire-command: {error}");
            ExitCode::from(98)
        },
        ExitCode::from,
    )
}

fn run(witness: &str, code: &str, life: &str, habits: &[&str]) -> io::Result<u8> {
    let own = std::process::id().to_string();
    let (_, start) = look(&own).ok_or(io::ErrorKind::NotFound)?;
    let mut log = File::options().append(true).open(witness)?;
    log.write_all(format!("{own} {start}\n").as_bytes())?;
    // Whoever comes second has the first one before its eyes.
    for line in fs::read_to_string(witness)?.lines() {
        let Some((pid, started)) = line.split_once(' ') else {
            continue;
        };
        let runs = look(pid).is_some_and(|(flags, start)| start == started && flags & EXITING == 0);
        if pid != own && runs {
            log.write_all(format!("TWO {own} {pid}\n").as_bytes())?;
        }
    }
    // Not ours any more, when all descriptors are closed.
    drop(log);
    for habit in habits {
        match habit.split_once('=') {
            Some(("reopens", file)) => drop(File::open(file)?),
            _ if *habit == "leaves" => leave_descendant()?,
            _ => (3..1024).for_each(|number| {
                let _ = close(number);
            }),
        }
    }
    sleep(Duration::from_millis(
        life.parse().map_err(io::Error::other)?,
    ));
    code.parse().map_err(io::Error::other)
}

fn leave_descendant() -> io::Result<()> {
    // Its descriptors are ours, that of FILE among them.
    let mut sleeper = Command::new("sleep");
    let streams = sleeper
        .arg("1000")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    streams.stderr(Stdio::null()).spawn().map(drop)
}

/// PF_EXITING of the kernel's `include/linux/sched.h`: no more of its program is executed. It is
/// set before locks are dropped, so who still has it clear while we run has run beside us.
const EXITING: u64 = 4;

/// The flags and the start time of a process that is no zombie (fields 9 and 22 of
/// proc_pid_stat(5)).
fn look(pid: &str) -> Option<(u64, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let is_dead = matches!(*fields.first()?, "Z" | "X");
    let flags = fields.get(6)?.parse().ok()?;
    (!is_dead).then(|| Some((flags, (*fields.get(19)?).to_owned())))?
}
