//! Many at once, again and again, and with violence.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::{Running, needs, process, wait_until};

use crate::world::{World, alone, send};

/// Numbers that differ from run to run (xorshift64).
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let seed = u64::from(seed.subsec_nanos()) | 1;
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn of_200_at_once_one_wins_and_199_are_told() {
    needs!("perl");
    let world = World::new();
    let [perl, e, script] = alone("sleep 1 until -e 'over'");
    let mut starters: Vec<_> = (0..200)
        .map(|_| {
            let tool = world.pidlock(["-q", "run.pid", &perl, &e, &script]);
            let mut command = tool.into_command();
            command.stdin(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let mut codes = Vec::new();
    wait_until("all but one have ended", || {
        starters.retain_mut(|starter| match starter.try_wait().unwrap() {
            Some(status) => {
                codes.push(status.code());
                false
            }
            None => true,
        });
        starters.len() <= 1
    });
    assert_eq!(codes, vec![Some(75); 199]);
    assert_eq!(world.state(), "running");
    fs::write(world.path("over"), "").unwrap();
    assert_eq!(starters.remove(0).wait().unwrap().code(), Some(0));
    assert_eq!(world.state(), "free");
    assert!(!world.path("two at once").exists());
}

#[test]
fn two_hundred_in_line_all_get_their_turn_and_never_two_at_once() {
    needs!("perl");
    let world = World::new();
    let [perl, e, script] = alone("open(my $t, '>>', 'turns'); syswrite($t, \"$$\\n\")");
    let starters: Vec<_> = (0..200)
        .map(|_| {
            let tool = world.pidlock(["-w", "inf", "run.pid", &perl, &e, &script]);
            let mut command = tool.into_command();
            command.stdin(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut starter in starters {
        assert_eq!(starter.wait().unwrap().code(), Some(0));
    }
    let turns = fs::read_to_string(world.path("turns")).unwrap();
    assert_eq!(turns.lines().count(), 200);
    assert_eq!(world.state(), "free");
    assert!(!world.path("two at once").exists());
}

#[test]
fn two_hundred_stops_and_starts_never_meet_75() {
    let world = World::new();
    for turn in 0..200 {
        let ran = world.pidlock(["-d", "run.pid", "sleep", "1000"]).run();
        let ran = ran.expect_code(0);
        let command: i32 = ran.stdout.trim().parse().unwrap();
        // Now and then before pidlock has settled down to wait.
        if turn % 3 == 0 {
            sleep(Duration::from_millis(1));
        }
        send(command, Signal::SIGTERM);
        wait_until("COMMAND is dead", || process::gone(command));
    }
    wait_until("FILE is removed", || !world.file().exists());
}

#[test]
fn a_start_while_file_is_being_removed_gets_a_file_of_its_own() {
    needs!("perl");
    let world = World::new();
    let [perl, e, script] = alone("1");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..60 {
                    let tool = world.pidlock(["-w", "30", "run.pid", &perl, &e, &script]);
                    tool.run().expect_code(0);
                }
            });
        }
    });
    assert_eq!(world.state(), "free");
    assert!(!world.path("two at once").exists());
}

/// Four FILEs, 250 rounds each.
#[test]
fn a_storm_of_sigkill_never_lets_two_run_nor_a_lock_outlive_both() {
    needs!("perl");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| storm(250));
        }
    });
}

/// Starters come in pairs while pidlock and COMMAND are killed at random moments, each alone or
/// both; the second of a pair meets whatever the violence left of the first.
fn storm(rounds: u32) {
    let world = World::new();
    let mut random = Random::new();
    let [perl, e, script] = alone("select(undef, undef, undef, 0.02)");
    let (mut ran, mut kept_out) = (0, 0);
    for _ in 0..rounds {
        let mut pair =
            [(); 2].map(|()| Running::start(world.pidlock(["-q", "run.pid", &perl, &e, &script])));
        let violence = random.below(4);
        sleep(Duration::from_micros(random.below(12_000)));
        for starter in &pair {
            if violence & 1 != 0 {
                starter.signal(Signal::SIGKILL);
            }
            if violence & 2 != 0 {
                if let Some(command) = process::children(starter.pid()).first() {
                    send(command.pid, Signal::SIGKILL);
                }
            }
        }
        for starter in &mut pair {
            match starter.wait() {
                0 | 137 => ran += 1,
                75 => kept_out += 1,
                other => panic!("{other}: {}", starter.output()),
            }
        }
    }
    let enough = ran > rounds / 5 && kept_out > rounds / 5;
    assert!(enough, "{ran} ran, {kept_out} were kept out");
    // A COMMAND whose pidlock was killed may still be there for its 20 ms; nothing else may.
    world
        .pidlock(["-w", "10", "run.pid", "true"])
        .run()
        .expect_code(0);
    assert_eq!(world.state(), "free");
    assert!(!world.path("two at once").exists());
}
