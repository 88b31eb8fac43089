//! Grows the random process tree of a seed: for the fire tests of treekill and procwatch.
//!
//! `fire-tree SEED SIZE RECORD` becomes the root. Each process appends its PID to RECORD once it
//! is what it is meant to be. `fire-tree --bystander` blocks every signal and sleeps: what it was
//! sent stays to be seen in `/proc/PID/status`. `fire-tree --life|--life-or-stay SEED RECORD` is a
//! COMMAND for procwatch: it appends a line to RECORD, with `LEFT` where a process of an earlier
//! life is still there, lives the life that stands under that number, and ends as that says.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpid, getppid, pause, setpgid, setsid};
use testkit::fire::Rng;
use testkit::fire::life::{End, Life};
use testkit::fire::tree::{Birth, Habit, Node, Temper, Threads};
use testkit::process;
use testkit::sys::{end_process, end_thread, fork, ignore};

/// The signals that ask a process to end.
const ASKING: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["--bystander"] => SigSet::all().thread_block().map_err(io::Error::from),
        ["--life", seed, record] => live(seed, record, false),
        ["--life-or-stay", seed, record] => live(seed, record, true),
        [seed, size, record] => grow_all(seed, size, record),
        _ => Err(io::Error::other("usage: fire-tree SEED SIZE RECORD")),
    };
    if let Err(error) = result {
        let _ = writeln!(io::stderr(), "fire-tree: {error}");
        return ExitCode::FAILURE;
    }
    loop {
        pause();
    }
}

fn grow_all(seed: &str, size: &str, record: &str) -> io::Result<()> {
    let seed = seed.parse().map_err(io::Error::other)?;
    let size = size.parse().map_err(io::Error::other)?;
    let record = File::options().append(true).open(record)?;
    let root = Node::random(&mut Rng::new(seed), size);
    match root.birth {
        Birth::Group => lead_group()?,
        Birth::Session => setsid().map(drop)?,
        Birth::Fork | Birth::Orphan | Birth::Daemon => {}
    }
    be(&root, &record)
}

fn live(seed: &str, record: &str, may_stay: bool) -> io::Result<()> {
    let seed = seed.parse().map_err(io::Error::other)?;
    let lives_before = std::fs::read_to_string(record)?.lines().count();
    let number = u64::try_from(lives_before).map_err(io::Error::other)?;
    let others = process::others();
    let program = std::env::args().next().unwrap_or_default();
    let is_ours = |line: &str| line.starts_with(&program) || line == "[fire-tree]";
    let left = others.iter().any(|seen| is_ours(&seen.cmdline));
    let word = if left { "LEFT" } else { "ALONE" };
    let mut log = File::options().append(true).open(record)?;
    log.write_all(format!("{} {word} {others:?}\n", getpid()).as_bytes())?;

    let life = Life::of(seed, number, may_stay);
    // What is below records itself where nobody reads it.
    let nowhere = File::options().append(true).open("/dev/null")?;
    for child in &life.tree.children {
        start(child, &nowhere)?;
    }
    match life.end {
        End::Never if life.tree.temper == Temper::Lingers => {
            asking().thread_block()?;
            linger()
        }
        End::Never => take_on(life.tree.temper),
        End::Code(code) => {
            thread::sleep(life.lasts);
            end_process(code)
        }
        End::Signal(signal) => {
            thread::sleep(life.lasts);
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
            // The Rust runtime catches the first SEGV.
            raise(signal)?;
            Ok(raise(signal)?)
        }
    }
}

/// Starts what is below this node, then is it.
fn be(node: &Node, record: &File) -> io::Result<()> {
    if node.adopts {
        nix::sys::prctl::set_child_subreaper(true)?;
    }
    for child in &node.children {
        start(child, record)?;
    }
    take_on(node.temper)?;
    if matches!(node.habit, Habit::LeavesOneBehind) || node.temper == Temper::Lingers {
        asking().thread_block()?;
    }
    if node.threads != Threads::One {
        for _ in 0..3 {
            thread::spawn(|| {
                loop {
                    thread::sleep(Duration::from_secs(1000));
                }
            });
        }
    }
    (&*record).write_all(format!("{}\n", getpid()).as_bytes())?;
    if node.threads == Threads::WithoutFirst {
        end_thread();
    }
    if node.temper == Temper::Stopped {
        raise(Signal::SIGSTOP)?;
    }
    match node.habit {
        Habit::Respawns => respawn(),
        Habit::Runs => run_chain(),
        Habit::LeavesOneBehind => leave_one_behind(),
        Habit::Rest if node.temper == Temper::Lingers => linger(),
        Habit::Rest => Ok(()),
    }
}

fn start(child: &Node, record: &File) -> io::Result<()> {
    let Some(pid) = fork()? else {
        let born = match child.birth {
            Birth::Fork => Ok(()),
            Birth::Group => lead_group(),
            Birth::Session => setsid().map(drop).map_err(io::Error::from),
            Birth::Orphan => outlive_parent(),
            Birth::Daemon => setsid()
                .map_err(io::Error::from)
                .and_then(|_| outlive_parent()),
        };
        if born.and_then(|()| be(child, record)).is_err() {
            end_process(1);
        }
        rest();
    };
    if matches!(child.birth, Birth::Orphan | Birth::Daemon) {
        waitpid(Pid::from_raw(pid), None)?;
    }
    Ok(())
}

fn lead_group() -> io::Result<()> {
    Ok(setpgid(Pid::from_raw(0), Pid::from_raw(0))?)
}

/// Goes on as a child of this process, which ends; returns when somebody else is its parent.
fn outlive_parent() -> io::Result<()> {
    let middle = getpid();
    if fork()?.is_some() {
        end_process(0);
    }
    while getppid() == middle {
        thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn asking() -> SigSet {
    SigSet::from_iter(ASKING)
}

fn take_on(temper: Temper) -> io::Result<()> {
    match temper {
        Temper::Ends | Temper::Lingers => {}
        Temper::Ignores => ASKING.into_iter().for_each(ignore),
        Temper::Blocks => SigSet::all().thread_block()?,
        // The kernel sends HUP to the stopped of a group that gets orphaned.
        Temper::Stopped => ignore(Signal::SIGHUP),
    }
    Ok(())
}

fn rest() -> ! {
    loop {
        pause();
    }
}

/// A new child for each that ends.
fn respawn() -> io::Result<()> {
    loop {
        let Some(pid) = fork()? else { rest() };
        // It may have adopted others.
        while waitpid(None, None)?.pid() != Some(Pid::from_raw(pid)) {}
    }
}

/// A child that forks and ends, and so do its children.
fn run_chain() -> io::Result<()> {
    if fork()?.is_none() {
        loop {
            thread::sleep(Duration::from_millis(2));
            if fork()?.is_some() {
                end_process(0);
            }
        }
    }
    // What it has adopted comes back to it.
    while waitpid(None, None).is_ok() {}
    rest()
}

fn leave_one_behind() -> io::Result<()> {
    asking().wait()?;
    if fork()?.is_none() {
        ASKING.into_iter().for_each(ignore);
        rest();
    }
    end_process(0)
}

fn linger() -> io::Result<()> {
    asking().wait()?;
    thread::sleep(Duration::from_millis(7));
    end_process(0)
}
