//! Random trees against treekill: nothing that is provably of the tree survives, and nobody else
//! is touched.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::NamedTempFile;
use testkit::fire::tree::{Birth, Habit, Node, Temper};
use testkit::fire::{Fire, Rng};
use testkit::process::{self, Seen};
use testkit::{Running, Tool, in_namespace, wait_until};

const TREE: &str = env!("CARGO_BIN_EXE_fire-tree");

#[derive(Debug, Default)]
#[allow(dead_code, reason = "shown")]
struct Sum {
    killed: usize,
    outside: usize,
    killed_by_mark: usize,
    without_root: usize,
}

#[test]
fn nothing_of_a_random_tree_survives_and_no_bystander_is_touched() {
    let fire = Fire::new("treekill", 15);
    in_namespace!(fire.namespace(Duration::from_secs(5)));
    fire.run(round);
}

/// How treekill is told which tree is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Pid,
    Stdin,
    PidFile,
    /// The same, but the root has ended by then.
    PidFileOfDead,
    Children,
    Environment,
    CommandLine,
}

fn round(rng: &mut Rng, sum: &mut Sum) {
    let size = *rng.pick(&[1, 5, 10, 20, 40, 150]);
    let tree = GrownTree::start(rng.number(), size);
    let way = tree.way(rng);
    let bystanders = Bystanders::start(rng, &tree);
    let pid_file = NamedTempFile::new().unwrap();
    let mut command = Tool::named("treekill");
    let root = tree.root.pid().to_string();
    command = match way {
        Way::Pid => command.arg(&root),
        Way::Stdin => command.arg("-").stdin(format!("{root}\n")),
        Way::PidFile | Way::PidFileOfDead => {
            // A file as old as its process would be another's by the clock's coarseness.
            fs::write(pid_file.path(), format!("{root}\n")).unwrap();
            command.arg("-p").arg(pid_file.path())
        }
        Way::Children => command.arg("--children").arg(&root),
        Way::Environment => command.arg("--env").arg(format!("FIRE_MARK={}", tree.mark)),
        Way::CommandLine => command.arg("--match").arg(format!(" {} ", tree.mark)),
    };
    if way == Way::PidFileOfDead {
        tree.root.signal(Signal::SIGKILL);
        wait_until("the root has ended", || process::gone(tree.root.pid()));
    }
    let ours = tree.members(way);
    let mut all = tree.recorded();
    if way == Way::PidFileOfDead {
        all.remove(&tree.root_pid());
    }
    let outside: HashSet<i32> = all.difference(&ours).copied().collect();

    command = match rng.below(6) {
        0 => command.args(["-g", "0"]),
        1 => command.args(["-g", "0.3"]),
        2 => command.args(["-s", "KILL"]),
        3 => command.args(["--leader-first", "-g", "50ms"]),
        4 => {
            let signal = *rng.pick(&["INT", "HUP", "USR1", "2", "sigquit"]);
            command.args(["-g", "50ms", "-s", signal])
        }
        _ => command.args(["-g", "50ms"]),
    };
    let plan = &tree.plan;
    let ran = command.run();
    let about = || format!("{way:?} of\n{plan}{ran:?}");

    assert_eq!(ran.code(), Some(0), "the exit code; {}", about());
    let expected: HashSet<i32> = bystanders.pids().chain(outside.iter().copied()).collect();
    let left: HashSet<i32> = process::living().into_iter().map(|seen| seen.pid).collect();
    let survivors: Vec<_> = left
        .difference(&expected)
        .map(|&pid| process::look(pid))
        .collect();
    assert!(survivors.is_empty(), "survivors {survivors:?}; {}", about());
    let victims: Vec<_> = expected.difference(&left).collect();
    assert!(
        victims.is_empty(),
        "killed but not theirs {victims:?}; {}",
        about()
    );
    bystanders.expect_untouched(&about);
    for pid in &ours {
        let records = ran.records();
        let times = records.iter().filter(|record| record[0] == pid.to_string());
        assert_eq!(times.count(), 1, "the records of {pid}; {}", about());
    }

    sum.killed += ours.len();
    sum.outside += outside.len();
    sum.killed_by_mark += usize::from(matches!(way, Way::Environment | Way::CommandLine));
    sum.without_root += usize::from(way == Way::PidFileOfDead);
    for pid in outside {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
    }
    drop((tree, bystanders));
    wait_until("the world is empty again", || process::living().is_empty());
}

/// A tree that stands.
struct GrownTree {
    mark: u64,
    plan: Node,
    root: Running,
    record: NamedTempFile,
}

impl GrownTree {
    fn start(mark: u64, size: usize) -> Self {
        let plan = Node::random(&mut Rng::new(mark), size);
        let record = NamedTempFile::new().unwrap();
        let tool = Tool::at(TREE)
            .args([mark.to_string(), size.to_string()])
            .arg(record.path())
            .env("FIRE_MARK", mark.to_string());
        let root = Running::start(tool);
        let tree = Self {
            mark,
            plan,
            root,
            record,
        };
        wait_until("the tree stands", || {
            tree.recorded().len() == tree.plan.count()
        });
        tree
    }

    fn root_pid(&self) -> i32 {
        i32::try_from(self.root.pid()).unwrap()
    }

    /// The processes that are not of those that come and go.
    fn recorded(&self) -> HashSet<i32> {
        let text = fs::read_to_string(self.record.path()).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// A way to name this tree that says what is to be ended.
    fn way(&self, rng: &mut Rng) -> Way {
        match rng.below(10) {
            0 => Way::Stdin,
            1 => Way::PidFile,
            // Of a dead root its session and group are known, and what is lost must not grow.
            2 | 6 | 7 if self.plan.birth == Birth::Session && !self.plan.any(&moves) => {
                Way::PidFileOfDead
            }
            // A root that lives and always starts new ones is never without.
            3 if matches!(self.plan.habit, Habit::Rest) => Way::Children,
            4 => Way::Environment,
            5 => Way::CommandLine,
            _ => Way::Pid,
        }
    }

    /// What the contract says is to be ended, computed here in another way than treekill does.
    fn members(&self, way: Way) -> HashSet<i32> {
        let recorded = self.recorded();
        let root = self.root_pid();
        let mut members = HashSet::from([root]);
        if matches!(way, Way::Environment | Way::CommandLine) {
            return recorded;
        }
        let table: Vec<Seen> = process::all();
        loop {
            let before = members.len();
            for seen in &table {
                let is_child = members.contains(&seen.ppid);
                let is_in_session = members.contains(&seen.session);
                let is_orphan = seen.ppid == 1 && members.contains(&seen.pgrp);
                if is_child || is_in_session || is_orphan {
                    members.insert(seen.pid);
                }
            }
            if members.len() == before {
                break;
            }
        }
        if matches!(way, Way::Children | Way::PidFileOfDead) {
            members.remove(&root);
        }
        // Those that come and go are not expected to be there under this number.
        members.intersection(&recorded).copied().collect()
    }
}

fn runs(node: &Node) -> bool {
    node.habit == Habit::Runs
}

/// Whether others come and go with this one, or may end when the root does: the kernel sends HUP
/// to groups with stopped processes that get orphaned.
fn moves(node: &Node) -> bool {
    matches!(node.habit, Habit::Runs | Habit::Respawns) || node.temper == Temper::Stopped
}

/// Processes that nobody meant.
struct Bystanders(Vec<Running>);

impl Bystanders {
    fn start(rng: &mut Rng, tree: &GrownTree) -> Self {
        let mut all = Vec::new();
        for _ in 0..rng.below(4) {
            let tool = Tool::at(TREE).arg("--bystander");
            all.push(Running::start(match rng.below(3) {
                // A pipe's neighbour. Its group cannot be frozen as a whole then, and a chain of
                // forks in it not be caught for certain.
                0 if tree.plan.birth == Birth::Group && !tree.plan.any(&runs) => {
                    tool.process_group(tree.root_pid())
                }
                1 => tool.process_group(0),
                _ => tool,
            }));
        }
        for bystander in &all {
            wait_until("the bystander is ready", || {
                status_of(bystander.pid(), "SigBlk:") != Some(0)
            });
        }
        Self(all)
    }

    fn pids(&self) -> impl Iterator<Item = i32> {
        self.0
            .iter()
            .map(|running| i32::try_from(running.pid()).unwrap())
    }

    fn expect_untouched(&self, about: &dyn Fn() -> String) {
        for pid in self.pids() {
            let seen = process::look(pid);
            let state = seen.as_ref().map(|seen| seen.state);
            assert!(
                !matches!(state, None | Some('T')),
                "stopped {seen:?}; {}",
                about()
            );
            for pending in ["SigPnd:", "ShdPnd:"] {
                let signals = status_of(pid, pending);
                assert_eq!(signals, Some(0), "signals to {seen:?}; {}", about());
            }
        }
    }
}

/// A set of signals of `/proc/PID/status`.
fn status_of(pid: impl Into<i64>, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.into())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    u64::from_str_radix(line.trim(), 16).ok()
}
