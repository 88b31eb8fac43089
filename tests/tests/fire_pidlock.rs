//! Random kills against pidlock and its COMMAND: never two COMMANDs at once, never a lock that
//! outlives both.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

use std::fs::{self, File};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::fire::{Fire, Rng};
use testkit::process::{self, Seen};
use testkit::{Running, Tool, in_namespace, scratch, wait_until};

const COMMAND: &str = env!("CARGO_BIN_EXE_fire-command");
/// What a COMMAND leaves behind.
const DESCENDANT: &str = "sleep 1000";
/// Longer than a round: such a COMMAND ends by a signal.
const LONG: usize = 60_000;

#[derive(Debug, Default)]
#[allow(dead_code, reason = "shown")]
struct Sum {
    starts: usize,
    commands: usize,
    kills: usize,
    refused_while_it_ran: usize,
}

#[test]
fn never_two_commands_and_never_a_lock_that_outlives_both() {
    let fire = Fire::new("pidlock", 30);
    in_namespace!(fire.namespace(Duration::from_secs(4)));
    let folder = scratch();
    let world = World {
        file: folder.path().join("run.pid"),
        witness: folder.path().join("witness"),
    };
    fire.run(|rng, sum: &mut Sum| world.round(rng, sum));
}

struct World {
    file: PathBuf,
    witness: PathBuf,
}

/// A pidlock that was started here.
struct Starter {
    running: Running,
    /// What its COMMAND ends with.
    code: i32,
    waits: bool,
    detaches: bool,
}

impl World {
    fn round(&self, rng: &mut Rng, sum: &mut Sum) {
        File::create(&self.witness).unwrap();
        // Who closes all descriptors relies on a pidlock that lives.
        let spares_keepers = rng.percent(25);
        let mut starters = Vec::new();
        for _ in 0..=rng.below(4) {
            starters.push(self.start(rng, spares_keepers));
            if rng.percent(50) {
                sleep(rng.micros(4000));
            }
        }
        sum.starts += starters.len();
        let mut kills = 0;
        for _ in 0..=rng.below(3) {
            let at_most = *rng.pick(&[500, 4_000, 12_000]);
            sleep(rng.micros(at_most));
            kills += usize::from(self.kill_somebody(rng, &starters, spares_keepers));
        }
        sum.refused_while_it_ran += usize::from(self.whoever_runs_keeps_others_out());
        for starter in &mut starters {
            self.judge(starter, kills > 0);
        }
        sum.kills += kills;
        sum.kills += self.kill_all();
        drop(starters);
        // Descendants that inherited every descriptor are still there.
        let again = Tool::named("pidlock").arg(&self.file).args(["--", "true"]);
        again.run().expect_code(0);
        let status = Tool::named("pidlock").arg("--status").arg(&self.file);
        assert_eq!(status.run().code(), Some(3), "a clean end removes FILE");

        let (commands, fights) = self.witnessed();
        assert_eq!(fights, Vec::<String>::new(), "two COMMANDs at once");
        sum.commands += commands.len();
        for sleeper in process::others() {
            kill_process(sleeper.pid);
        }
        wait_until("nobody is left", || process::others().is_empty());
    }

    fn start(&self, rng: &mut Rng, spares_keepers: bool) -> Starter {
        let waits = rng.percent(40);
        let detaches = rng.percent(20);
        let no_fork = rng.percent(15);
        let code = i32::try_from(rng.below(60)).unwrap();
        let life = *rng.pick(&[0, 0, 1, 5, 20, 60, LONG]);
        let mut tool = Tool::named("pidlock").arg(&self.file);
        if waits {
            tool = tool.args(["-w", *rng.pick(&["0.05", "0.2", "1"])]);
        }
        if detaches {
            tool = tool.arg("-d");
        }
        if no_fork {
            tool = tool.arg("-F");
        }
        tool = tool.arg("--").arg(COMMAND).arg(&self.witness);
        tool = tool.args([code.to_string(), life.to_string()]);
        if rng.percent(30) {
            tool = tool.arg("leaves");
        }
        if spares_keepers && !no_fork {
            match rng.below(3) {
                0 => tool = tool.arg("closes"),
                1 => tool = tool.arg(format!("reopens={}", self.file.display())),
                _ => {}
            }
        }
        Starter {
            running: Running::start(tool),
            code,
            waits,
            detaches,
        }
    }

    /// Kills a pidlock, or COMMAND, or both; says whether there was one to kill.
    fn kill_somebody(&self, rng: &mut Rng, starters: &[Starter], spares_keepers: bool) -> bool {
        if !spares_keepers && rng.percent(50) {
            starters[rng.below(starters.len())]
                .running
                .signal(Signal::SIGKILL);
            return true;
        }
        let Some(command) = self.running_command() else {
            return false;
        };
        let keeper = process::look(command.ppid).filter(is_pidlock);
        if let Some(keeper) = keeper.filter(|_| !spares_keepers && rng.percent(60)) {
            kill_process(keeper.pid);
            if rng.percent(50) {
                return true;
            }
        }
        kill_process(command.pid);
        true
    }

    /// While a COMMAND runs another start is refused, and the kernel names it as the holder. Says
    /// whether one ran all the while.
    fn whoever_runs_keeps_others_out(&self) -> bool {
        let Some(before) = self.running_command() else {
            return false;
        };
        let try_it = Tool::named("pidlock").arg(&self.file).args(["--", "true"]);
        let (refused, holder) = (
            try_it.run(),
            Tool::named("pidlock").arg("--holder").arg(&self.file).run(),
        );
        let after = self.running_command();
        if after.as_ref().map(|seen| seen.pid) != Some(before.pid) {
            return false;
        }
        let refused = refused.expect_code(75);
        let text = format!("{}\n", before.pid);
        assert_eq!(holder.stdout, text, "{refused:?}{holder:?}");
        true
    }

    fn judge(&self, starter: &mut Starter, somebody_was_killed: bool) {
        let long = format!(" {LONG}");
        wait_until("the starter ends", || {
            // It may have started a COMMAND without end just now, or wait for one.
            let endless = self
                .running_command()
                .filter(|seen| seen.cmdline.contains(&long));
            if let Some(command) = endless {
                kill_process(command.pid);
            }
            starter.running.ended().is_some()
        });
        let code = starter.running.wait();
        let own = if starter.detaches { 0 } else { starter.code };
        let is_held = code == if starter.waits { 124 } else { 75 };
        let was_killed = code == 128 + 9;
        // Who goes to the background hears nothing of COMMAND when its keeper is killed.
        let lost_keeper = starter.detaches && somebody_was_killed && code == 125;
        assert!(
            code == own || is_held || was_killed || lost_keeper,
            "{code} instead of {own} ({somebody_was_killed}): {}",
            starter.running.output()
        );
    }

    /// Ends every pidlock and COMMAND; says how many there were.
    fn kill_all(&self) -> usize {
        let mut killed = 0;
        wait_until("every pidlock and COMMAND is dead", || {
            let mut others = process::others();
            // Not by what it is called: in the middle of an exec or an exit it has no command line.
            others.retain(|seen| seen.cmdline != DESCENDANT);
            others.iter().for_each(|seen| kill_process(seen.pid));
            killed += others.len();
            others.is_empty()
        });
        killed
    }

    /// The COMMAND that is running, as far as it has come to tell.
    fn running_command(&self) -> Option<Seen> {
        let (commands, _) = self.witnessed();
        commands.into_iter().rev().find_map(|pid| {
            let seen = process::look(pid)?;
            (seen.state != 'Z' && seen.cmdline.starts_with(COMMAND)).then_some(seen)
        })
    }

    /// The PIDs of all COMMANDs of this round, and the lines of those that were not alone.
    fn witnessed(&self) -> (Vec<i32>, Vec<String>) {
        let text = fs::read_to_string(&self.witness).unwrap();
        let (fights, commands): (Vec<_>, Vec<_>) = text
            .lines()
            .map(str::to_owned)
            .partition(|line| line.starts_with("TWO"));
        let pid = |line: &String| line.split(' ').next()?.parse().ok();
        (commands.iter().filter_map(pid).collect(), fights)
    }
}

fn is_pidlock(seen: &Seen) -> bool {
    let program = seen.cmdline.split(' ').next().unwrap_or_default();
    program.ends_with("pidlock")
}

fn kill_process(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}
