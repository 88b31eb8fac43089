//! Ending a tree: first signal, grace, freeze, search to a fixpoint, kill.

mod freeze;
mod target;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::target::{Pin, Target};
use crate::describe::Description;
use crate::duration::Deadline;
use crate::guard::Guard;
use crate::identity::poll_timeout;
use crate::signal::Signal;
use crate::table::{Proc, Table};
use crate::tree::{Member, Tree};

/// How a tree is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The first signal, sent to each process exactly once.
    pub signal: Signal,
    /// How long the first signal may take to work; zero kills at once.
    pub grace: Duration,
    /// Whether what outlives the grace is killed.
    pub escalate: bool,
    /// Whether the first signal goes to the roots alone.
    pub leader_first: bool,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ended within the grace.
    Term,
    /// It was killed.
    Kill,
    /// It was ending anyway: dead before a signal could reach it.
    Gone,
    /// It is still there, in this state (the letter of proc_pid_stat(5)).
    Alive(u8),
    /// It is still there, and not ours to signal.
    Denied,
}

impl Ending {
    /// The word of the record: `term`, `kill`, `gone`, `alive` or `denied`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Term => "term",
            Self::Kill => "kill",
            Self::Gone => "gone",
            Self::Alive(_) => "alive",
            Self::Denied => "denied",
        }
    }
}

/// One process of the tree and what became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The process as it was found.
    pub member: Member,
    /// Its name and command line, read before the first signal.
    pub description: Description,
    /// What became of it.
    pub ending: Ending,
    /// The last signal that it was sent.
    pub signal: Option<Signal>,
    /// From its first signal to its end, or until now.
    pub elapsed: Duration,
}

/// What is being done, for `--verbose` and the live line.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A process was sent its first signal.
    Signalled(&'a Member, Signal),
    /// So many are still there, and the grace has this long to go.
    Waiting(usize, Duration),
    /// The grace is over: so many are frozen and searched.
    Freezing(usize),
    /// So many were killed.
    Killed(usize),
}

/// What is not dead this long after KILL is reported as alive.
const AFTER_KILL: Duration = Duration::from_secs(2);
/// A freeze that finds new members for longer than this goes on to the kill with what it has.
const FREEZE_LIMIT: Duration = Duration::from_secs(5);
/// While members end, the tree is looked at again after this long, and twice as long each time.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(250);
/// What is not ours to signal gets this long to end because the rest did, as sudo(8) does.
const FOR_DENIED: Duration = Duration::from_millis(100);
/// So many descriptors are left for other uses than holding members.
const SPARE_DESCRIPTORS: u64 = 24;

/// Ends the members and whatever else the tree turns out to hold, and says what became of each,
/// roots first.
///
/// The members are what the caller has found so far, in that table; the tree is searched again
/// meanwhile.
///
/// # Errors
/// Where the kernel has no pidfds, or `/proc` cannot be listed any more.
pub fn terminate(
    proc: &Proc,
    tree: &mut Tree,
    found: (Table, Vec<Member>),
    policy: Policy,
    watch: &mut dyn FnMut(Step<'_>),
) -> io::Result<Vec<Outcome>> {
    run(proc, tree, found, policy, watch, true)
}

/// The same for a caller that shows no records: the outcomes have no command lines.
///
/// # Errors
/// As [`terminate`].
pub fn terminate_undescribed(
    proc: &Proc,
    tree: &mut Tree,
    found: (Table, Vec<Member>),
    policy: Policy,
    watch: &mut dyn FnMut(Step<'_>),
) -> io::Result<Vec<Outcome>> {
    run(proc, tree, found, policy, watch, false)
}

fn run(
    proc: &Proc,
    tree: &mut Tree,
    (table, members): (Table, Vec<Member>),
    policy: Policy,
    watch: &mut dyn FnMut(Step<'_>),
    describes: bool,
) -> io::Result<Vec<Outcome>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // A tree may have more members than the usual 1,024 descriptors.
    let limit = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
    let mut job = Job {
        proc,
        tree,
        table,
        policy,
        watch,
        describes,
        last_descriptor: limit.saturating_sub(SPARE_DESCRIPTORS),
        targets: Vec::new(),
        index: HashMap::new(),
        epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
    };
    let result = job.run(members);
    let outcomes = job.outcomes();
    let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    result.map(|()| outcomes)
}

struct Job<'a> {
    proc: &'a Proc,
    tree: &'a mut Tree,
    /// The processes when they were last looked at.
    table: Table,
    policy: Policy,
    watch: &'a mut dyn FnMut(Step<'_>),
    describes: bool,
    /// Members are not held by descriptors above this one.
    last_descriptor: u64,
    targets: Vec<Target>,
    /// The latest target with a number.
    index: HashMap<i32, usize>,
    epoll: Epoll,
}

impl Job<'_> {
    fn run(&mut self, members: Vec<Member>) -> io::Result<()> {
        self.hold(members)?;
        let asks = self.asks();
        if asks {
            self.ask()?;
        }
        if (self.policy.escalate || !asks) && self.left() > 0 {
            if asks {
                // Groups are stopped as a whole only on fresh knowledge of who is in them.
                self.search()?;
            }
            self.kill()?;
        }
        self.wait_for_denied()
    }

    /// Whether there is a first signal before KILL, and time to act on it.
    fn asks(&self) -> bool {
        let kills_at_once = self.policy.signal == Signal::KILL && !self.policy.leader_first;
        let has_no_grace = self.policy.grace.is_zero() && self.policy.escalate;
        !kills_at_once && !has_no_grace
    }

    /// Takes members in hand: pins them, and sees which are dead already.
    fn hold(&mut self, members: Vec<Member>) -> io::Result<()> {
        let first = self.targets.len();
        for member in members {
            let number = self.targets.len();
            let pinned = self.pin(&member, number)?;
            self.index.insert(member.stat.pid(), number);
            self.targets.push(Target::new(member, pinned));
        }
        while self.note_ends(Duration::ZERO, first)? == EVENTS {}
        for target in self.targets.iter_mut().skip(first) {
            if matches!(target.pinned, Pin::NoDescriptor) && target.member.stat.state == b'Z' {
                target.is_dead = true;
            }
        }
        Ok(())
    }

    fn pin(&self, member: &Member, number: usize) -> io::Result<Pin> {
        let pin = Pin::of(self.proc, member.stat.identity)?;
        let Pin::Held(pinned) = pin else {
            return Ok(pin);
        };
        let descriptor = u64::try_from(pinned.as_fd().as_raw_fd()).unwrap_or(u64::MAX);
        if descriptor > self.last_descriptor {
            return Ok(Pin::NoDescriptor);
        }
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
        self.epoll.add(&pinned, EpollEvent::new(flags, number))?;
        Ok(Pin::Held(pinned))
    }

    /// How many live and are ours to signal.
    fn left(&self) -> usize {
        self.targets.iter().filter(|t| t.is_left()).count()
    }

    /// Looks at the tree again, takes new members in hand, and says how many there were. What is
    /// held and has its number still need not be read again.
    fn search(&mut self) -> io::Result<usize> {
        let (targets, index) = (&self.targets, &self.index);
        let known = |pid: i32| {
            let target = targets.get(*index.get(&pid)?)?;
            match &target.pinned {
                Pin::Held(pinned) if pinned.has_its_number() => Some(target.member.stat.clone()),
                _ => None,
            }
        };
        self.table = self.proc.table_beside(known)?;
        let new = self.tree.search(&self.table, &Guard::new(&self.table));
        let count = new.len();
        self.hold(new)?;
        Ok(count)
    }

    /// First signal to all, and to those that appear, until all are dead or the grace is over.
    fn ask(&mut self) -> io::Result<()> {
        let grace = Deadline::after(self.policy.grace);
        let mut pause = FIRST_LOOK;
        let mut grew = false;
        let mut empty_looks = 0;
        self.send_first_signals();
        loop {
            let next_look = Deadline::after(pause).earlier(grace);
            while self.left() > 0 && !next_look.passed() {
                let left = self.left();
                (self.watch)(Step::Waiting(left, grace.remaining()));
                self.wait(next_look)?;
            }
            if grace.passed() && self.left() > 0 {
                return Ok(());
            }
            let all_dead = self.left() == 0;
            let new = self.search()?;
            self.send_first_signals();
            if new > 0 {
                (grew, empty_looks, pause) = (true, 0, FIRST_LOOK);
                continue;
            }
            pause = (pause * 2).min(LAST_LOOK);
            empty_looks += usize::from(all_dead);
            // A tree that grew under our eyes is looked at twice: one pass over /proc is no
            // snapshot, and a fast chain of forks can slip through it.
            if empty_looks > usize::from(grew) {
                return Ok(());
            }
        }
    }

    /// With a leader first, the others are meant once no leader is left who could stop them.
    fn send_first_signals(&mut self) {
        self.describe();
        let signal = self.policy.signal;
        let is_led = |target: &Target| target.member.depth == 0 && target.is_left();
        let to_leaders = self.policy.leader_first && self.targets.iter().any(is_led);
        for target in &mut self.targets {
            let is_meant = !to_leaders || target.member.depth == 0;
            if target.was_signalled() || !is_meant || !target.is_left() {
                continue;
            }
            if target.send(self.proc, signal) {
                (self.watch)(Step::Signalled(&target.member, signal));
            }
            // A stopped process acts on the signal only once it goes on.
            if target.is_left() && ![Signal::STOP, Signal::CONT, Signal::KILL].contains(&signal) {
                target.send_quietly(self.proc, Signal::CONT);
            }
        }
    }

    fn describe(&mut self) {
        if self.describes {
            for target in self.targets.iter_mut().filter(|t| !t.is_dead) {
                target.describe(self.proc);
            }
        }
    }

    /// Waits until something ends or the deadline passes, in slices that let a live line move.
    fn wait(&mut self, until: Deadline) -> io::Result<()> {
        let is_unpinned =
            |target: &&mut Target| !target.is_dead && matches!(target.pinned, Pin::NoDescriptor);
        let unpinned = self.targets.iter_mut().filter(is_unpinned).count();
        let slice = if unpinned > 0 { FIRST_LOOK } else { LAST_LOOK };
        self.note_ends(until.remaining().min(slice), usize::MAX)?;
        if unpinned > 0 {
            for target in self.targets.iter_mut().filter(is_unpinned) {
                target.look(self.proc);
            }
        }
        Ok(())
    }

    /// Waits this long for ends, notes those that came, and says how many there were. Targets from
    /// `new` on were dead before any signal.
    fn note_ends(&mut self, patience: Duration, new: usize) -> io::Result<usize> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match self.epoll.wait(&mut events, poll_timeout(patience)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in events.iter().take(count) {
            let index = usize::try_from(event.data()).unwrap_or(usize::MAX);
            if let Some(target) = self.targets.get_mut(index) {
                if index < new {
                    target.set_dead();
                } else {
                    target.is_dead = true;
                }
            }
        }
        Ok(count)
    }

    /// What was not ours to signal may end with the rest.
    fn wait_for_denied(&mut self) -> io::Result<()> {
        let end = Deadline::after(FOR_DENIED);
        let is_denied = |target: &Target| target.is_denied && !target.is_dead;
        while self.targets.iter().any(is_denied) && !end.passed() {
            self.wait(end)?;
        }
        Ok(())
    }

    fn outcomes(self) -> Vec<Outcome> {
        let now = Instant::now();
        let (proc, asked) = (self.proc, self.asks());
        let mut outcomes: Vec<Outcome> = self
            .targets
            .into_iter()
            .map(|target| target.outcome(proc, asked, now))
            .collect();
        outcomes.sort_by_key(|outcome| outcome.member.depth);
        outcomes
    }
}

/// So many ends are taken from the kernel at once.
const EVENTS: usize = 256;
