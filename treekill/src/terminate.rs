//! Ending a tree: first signal, grace, freeze, search to a fixpoint, kill.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal as Named, killpg};
use nix::unistd::Pid;

use crate::describe::{Description, describe};
use crate::duration::Deadline;
use crate::guard::Guard;
use crate::identity::{Identity, Pinned, poll_timeout};
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

/// Ends the members and whatever else the tree turns out to hold, and says what became of each,
/// roots first.
///
/// The members are what the caller has found so far, in that table; the tree is searched again
/// meanwhile.
///
/// # Errors
/// Where `/proc` cannot be listed or the kernel has no pidfds; then nobody was signalled.
pub fn terminate(
    proc: &Proc,
    tree: &mut Tree,
    (table, members): (Table, Vec<Member>),
    policy: Policy,
    watch: &mut dyn FnMut(Step<'_>),
) -> io::Result<Vec<Outcome>> {
    let limit = raise_descriptor_limit();
    let mut job = Job {
        proc,
        tree,
        table,
        policy,
        watch,
        targets: Vec::new(),
        epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
    };
    for member in members {
        job.hold(member)?;
    }
    let at_once = policy.signal == Signal::KILL || (policy.grace.is_zero() && policy.escalate);
    if !at_once {
        job.ask()?;
    }
    if (at_once || policy.escalate) && job.left() > 0 {
        if !at_once {
            // Groups are frozen as a whole only on fresh knowledge of who is in them.
            job.search()?;
        }
        job.kill()?;
    }
    let outcomes = job.outcomes();
    if let Some((soft, hard)) = limit {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
    Ok(outcomes)
}

/// A tree may have more members than the usual 1,024 descriptors; the old limit is returned.
fn raise_descriptor_limit() -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok()?;
    Some((soft, hard))
}

/// A member under way.
struct Target {
    member: Member,
    description: Description,
    /// `None` once it is dead, or when no descriptor was left for it.
    pinned: Option<Pinned>,
    is_dead: bool,
    is_denied: bool,
    signal: Option<Signal>,
    first_signal: Option<Instant>,
    end: Option<Instant>,
}

struct Job<'a> {
    proc: &'a Proc,
    tree: &'a mut Tree,
    /// The processes when they were last looked at.
    table: Table,
    policy: Policy,
    watch: &'a mut dyn FnMut(Step<'_>),
    targets: Vec<Target>,
    epoll: Epoll,
}

impl Job<'_> {
    /// Takes a member in hand: describes it while it lives, and pins it.
    fn hold(&mut self, member: Member) -> io::Result<()> {
        let description = describe(self.proc, &member.stat);
        let pinned = pin(self.proc, member.stat.identity)?;
        let is_dead = match &pinned {
            Pin::Held(pinned) => pinned.is_dead(),
            Pin::Gone => true,
            Pin::NoDescriptor => false,
        };
        let pinned = match pinned {
            Pin::Held(pinned) if !is_dead => Some(pinned),
            _ => None,
        };
        if let Some(pinned) = &pinned {
            let index = u64::try_from(self.targets.len()).unwrap_or(u64::MAX);
            self.epoll
                .add(pinned, EpollEvent::new(EpollFlags::EPOLLIN, index))?;
        }
        self.targets.push(Target {
            member,
            description,
            pinned,
            is_dead,
            is_denied: false,
            signal: None,
            first_signal: None,
            end: None,
        });
        Ok(())
    }

    /// How many live and are ours to signal.
    fn left(&self) -> usize {
        self.targets.iter().filter(|t| t.is_left()).count()
    }

    /// Looks at the tree again, takes new members in hand, and says how many there were.
    fn search(&mut self) -> io::Result<usize> {
        self.table = self.proc.table()?;
        let new = self.tree.search(&self.table, &Guard::new(&self.table));
        let count = new.len();
        for member in new {
            self.hold(member)?;
        }
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
            if new > 0 {
                (grew, empty_looks, pause) = (true, 0, FIRST_LOOK);
                self.send_first_signals();
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

    fn send_first_signals(&mut self) {
        let signal = self.policy.signal;
        for target in &mut self.targets {
            let meant = !self.policy.leader_first || target.member.depth == 0;
            if target.signal.is_none() && meant && target.is_left() {
                target.send(self.proc, signal);
                (self.watch)(Step::Signalled(&target.member, signal));
                // A stopped process acts on the signal only once it goes on.
                if signal != Signal::STOP && target.is_left() {
                    target.send_quietly(self.proc, Signal::CONT);
                }
            }
        }
    }

    /// Freezes all, searches until two looks in a row find nothing new, and kills all. Our own
    /// end is put off meanwhile, so that nothing stays frozen.
    fn kill(&mut self) -> io::Result<()> {
        let before = SigSet::thread_get_mask()?;
        postponed().thread_block()?;
        let result = self.freeze().map(|()| self.send_kill());
        if result.is_err() {
            // Better all thawed than some frozen for good.
            for target in self.targets.iter_mut().filter(|t| t.is_left()) {
                target.send_quietly(self.proc, Signal::CONT);
            }
        }
        before.thread_set_mask()?;
        result?;
        let end = Deadline::after(AFTER_KILL);
        while self.left() > 0 && !end.passed() {
            self.wait(end)?;
        }
        Ok(())
    }

    fn freeze(&mut self) -> io::Result<()> {
        let limit = Deadline::after(FREEZE_LIMIT);
        let mut frozen = HashSet::new();
        let mut empty_looks = 0;
        let left = self.left();
        (self.watch)(Step::Freezing(left));
        loop {
            self.stop_new(&mut frozen);
            let new = self.search()?;
            empty_looks = if new == 0 { empty_looks + 1 } else { 0 };
            if empty_looks == 2 || limit.passed() {
                return Ok(());
            }
        }
    }

    /// STOP to every member that is not frozen yet: to its whole group where that holds members
    /// only, which also catches what is being forked in it, otherwise to itself.
    fn stop_new(&mut self, frozen: &mut HashSet<Identity>) {
        let ours = self.wholly_ours();
        let mut groups = HashSet::new();
        for target in &mut self.targets {
            if !target.is_left() || !frozen.insert(target.member.stat.identity) {
                continue;
            }
            let group = self
                .table
                .find(target.member.stat.identity)
                .map_or(0, |stat| stat.pgrp);
            if ours.contains(&group) {
                groups.insert(group);
            } else {
                target.send_quietly(self.proc, Signal::STOP);
            }
        }
        for group in groups {
            let _ = killpg(Pid::from_raw(group), Named::SIGSTOP);
        }
    }

    /// The process groups in which every process is a member that we may signal.
    fn wholly_ours(&self) -> HashSet<i32> {
        let members: HashSet<Identity> = self
            .targets
            .iter()
            .filter(|t| !t.is_denied)
            .map(|t| t.member.stat.identity)
            .collect();
        let mut groups: HashMap<i32, bool> = HashMap::new();
        for stat in self.table.iter() {
            let wholly = groups.entry(stat.pgrp).or_insert(stat.pgrp > 1);
            *wholly &= members.contains(&stat.identity);
        }
        groups
            .into_iter()
            .filter_map(|(group, wholly)| wholly.then_some(group))
            .collect()
    }

    fn send_kill(&mut self) {
        let mut killed = 0;
        for target in &mut self.targets {
            if target.is_left() {
                target.send(self.proc, Signal::KILL);
                killed += 1;
            }
        }
        (self.watch)(Step::Killed(killed));
    }

    /// Waits until something ends or the deadline passes, in slices that let a live line move.
    fn wait(&mut self, until: Deadline) -> io::Result<()> {
        let slice = until.remaining().min(LAST_LOOK);
        let unpinned = self
            .targets
            .iter()
            .any(|t| t.is_left() && t.pinned.is_none());
        let slice = if unpinned {
            slice.min(FIRST_LOOK)
        } else {
            slice
        };
        let mut events = [EpollEvent::empty(); 256];
        let count = match self.epoll.wait(&mut events, poll_timeout(slice)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in events.iter().take(count) {
            let index = usize::try_from(event.data()).unwrap_or(usize::MAX);
            if let Some(target) = self.targets.get_mut(index) {
                target.set_dead();
            }
        }
        if unpinned {
            for target in self.targets.iter_mut().filter(|t| t.is_left()) {
                if target.pinned.is_none() && !is_there(self.proc, target.member.stat.identity) {
                    target.set_dead();
                }
            }
        }
        Ok(())
    }

    fn outcomes(self) -> Vec<Outcome> {
        let now = Instant::now();
        let proc = self.proc;
        let mut outcomes: Vec<Outcome> = self
            .targets
            .into_iter()
            .map(|target| target.outcome(proc, now))
            .collect();
        outcomes.sort_by_key(|outcome| outcome.member.depth);
        outcomes
    }
}

impl Target {
    fn is_left(&self) -> bool {
        !self.is_dead && !self.is_denied
    }

    fn set_dead(&mut self) {
        self.is_dead = true;
        self.end.get_or_insert_with(Instant::now);
        // Closing the descriptor also takes it out of the epoll set.
        self.pinned = None;
    }

    /// Sends a signal that the record will name.
    fn send(&mut self, proc: &Proc, signal: Signal) {
        self.first_signal.get_or_insert_with(Instant::now);
        if self.send_quietly(proc, signal) {
            self.signal = Some(signal);
        }
    }

    /// Sends a signal; whether it was accepted.
    fn send_quietly(&mut self, proc: &Proc, signal: Signal) -> bool {
        let result = match &self.pinned {
            Some(pinned) => pinned.signal(signal),
            None => match pin(proc, self.member.stat.identity) {
                Ok(Pin::Held(pinned)) => pinned.signal(signal),
                Ok(Pin::Gone) => Err(Errno::ESRCH),
                Ok(Pin::NoDescriptor) | Err(_) => Err(Errno::EMFILE),
            },
        };
        match result {
            Ok(()) => return true,
            Err(Errno::EPERM) => self.is_denied = true,
            Err(Errno::ESRCH) => self.set_dead(),
            Err(_) => {}
        }
        false
    }

    fn outcome(self, proc: &Proc, now: Instant) -> Outcome {
        let ending = match self.signal {
            _ if self.is_denied => Ending::Denied,
            _ if !self.is_dead => Ending::Alive(
                proc.stat(self.member.stat.pid())
                    .map_or(b'?', |stat| stat.state),
            ),
            // Dead when it was found, or reaped before the first signal arrived.
            None if self.end.is_none() || self.first_signal.is_some() => Ending::Gone,
            None => Ending::Term,
            Some(Signal::KILL) => Ending::Kill,
            Some(_) => Ending::Term,
        };
        let elapsed = self
            .first_signal
            .map_or(Duration::ZERO, |first| self.end.unwrap_or(now) - first);
        Outcome {
            member: self.member,
            description: self.description,
            ending,
            signal: self.signal,
            elapsed,
        }
    }
}

/// What pinning an identity came to.
enum Pin {
    Held(Pinned),
    Gone,
    /// The descriptor limit is reached: the identity is pinned anew at each use instead.
    NoDescriptor,
}

fn pin(proc: &Proc, identity: Identity) -> io::Result<Pin> {
    match Pinned::open(proc, identity) {
        Ok(Some(pinned)) => Ok(Pin::Held(pinned)),
        Ok(None) => Ok(Pin::Gone),
        Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
            Errno::EMFILE | Errno::ENFILE => Ok(Pin::NoDescriptor),
            _ => Err(error),
        },
    }
}

/// Whether the process is there and not a zombie.
fn is_there(proc: &Proc, identity: Identity) -> bool {
    proc.stat(identity.pid)
        .is_some_and(|stat| stat.identity == identity && stat.state != b'Z' && stat.state != b'X')
}

/// The signals that end us and are put off while members are frozen.
fn postponed() -> SigSet {
    [
        Named::SIGINT,
        Named::SIGTERM,
        Named::SIGHUP,
        Named::SIGQUIT,
        Named::SIGTSTP,
    ]
    .into_iter()
    .collect()
}
