//! The options, exit codes, and what COMMAND is given.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::{Running, Terminal, Tool, process, wait_until};

use crate::world::World;

#[test]
fn exit_is_commands_own() {
    let world = World::new();
    for code in [0, 1, 2, 75, 124, 125, 126, 127, 128, 255] {
        let ran = world.under_lock(&format!("exit {code}")).run();
        ran.expect_code(code);
        let script = format!("exit {code}");
        let ran = world.pidlock(["-F", "run.pid", "sh", "-c", &script]).run();
        ran.expect_code(code);
    }
}

#[test]
fn pidlock_ends_by_the_signal_that_ended_command() {
    let world = World::new();
    for signal in [
        "TERM", "INT", "HUP", "KILL", "ABRT", "USR1", "PIPE", "RTMIN", "34", "64",
    ] {
        let number = Tool::named("bash")
            .args(["-c", &format!("kill -l {signal}")])
            .run();
        let number = match number.stdout.trim().parse::<i32>() {
            Ok(number) => number,
            Err(_) => signal.parse().unwrap(),
        };
        let script = format!("ulimit -c 0; kill -{signal} $$");
        let ran = world.pidlock(["run.pid", "bash", "-c", &script]).run();
        assert_eq!(ran.signal(), Some(number), "{signal}");
        assert!(!ran.status.core_dumped());
        assert!(!world.file().exists(), "{signal}");
    }
}

#[test]
fn a_command_that_cannot_run_is_126_or_127_and_leaves_no_file() {
    let world = World::new();
    fs::write(world.path("plain"), "no program\n").unwrap();
    for option in ["-v", "-F", "-d", "-dF"] {
        for (command, code, why) in [
            ("nosuchprogram", 127, "not found"),
            ("./nosuchprogram", 127, "not found"),
            ("./plain", 126, "Permission denied"),
            (".", 126, "Permission denied"),
        ] {
            let ran = world.pidlock([option, "run.pid", command]).run();
            ran.expect_code(code).expect_stdout("").expect_words(why);
            assert!(!world.file().exists(), "{option} {command}");
        }
    }
}

#[test]
fn wrong_usage_is_125_one_line_and_nothing_done() {
    let world = World::new();
    for line in [
        &["run.pid"][..],
        &["--nonsense", "run.pid", "touch", "ran"],
        &["-w", "soon", "run.pid", "touch", "ran"],
        &["-o", "log", "run.pid", "touch", "ran"],
        &["--status", "run.pid", "touch", "ran"],
        &["--mode", "0444", "run.pid", "touch", "ran"],
    ] {
        let tool = world.pidlock([]).args(line);
        let ran = tool.run().expect_code(125).expect_stdout("");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.starts_with("pidlock: "), "{ran:?}");
    }
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), 0);
}

#[test]
fn waiting_ends_with_the_lock_or_with_124() {
    let world = World::new();
    let holder = world.hold([]);
    for length in ["0", "0.1"] {
        let ran = world.pidlock(["-w", length, "run.pid", "true"]).run();
        let ran = ran.expect_code(124).expect_words("held by process");
        assert!(ran.elapsed < Duration::from_secs(10));
    }
    let ran = world
        .pidlock(["-w", "0.1", "-E", "9", "run.pid", "true"])
        .run();
    ran.expect_code(124);
    let mut next = Running::start(world.pidlock(["-w", "60", "run.pid", "touch", "ran"]));
    wait_until("the next one waits", || {
        fs::read_to_string("/proc/locks").unwrap().contains("->")
    });
    assert!(next.ended().is_none());
    holder.end_command(Signal::SIGTERM);
    assert_eq!(next.wait(), 0);
    assert!(world.path("ran").exists());
}

#[test]
fn a_wait_is_ended_by_ctrl_c_and_term() {
    let world = World::new();
    let holder = world.hold([]);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut waiting = Running::start(world.pidlock(["-w", "inf", "run.pid", "true"]));
        wait_until("it waits", || {
            process::look(waiting.pid()).is_some_and(|seen| seen.state == 'S')
                && process::look(waiting.pid()).is_some_and(|seen| seen.cmdline.contains("-w"))
        });
        waiting.signal(signal);
        assert_eq!(waiting.wait(), 128 + signal as i32);
    }
    assert_eq!(world.state(), "running");
    drop(holder);
}

#[test]
fn command_gets_its_input_arguments_and_environment() {
    let world = World::new();
    let script = "cat; printf '<%s>' \"$@\"; echo \" $MARK\"; pwd";
    for option in ["-v", "-F"] {
        let tool = world.pidlock([
            option, "run.pid", "--", "sh", "-c", script, "sh", "a b", "", "--", "-n",
        ]);
        let ran = tool.env("MARK", "here").stdin("in\n").run().expect_code(0);
        let folder = fs::canonicalize(world.path("")).unwrap();
        let expected = format!("in\n<a b><><--><-n> here\n{}\n", folder.display());
        ran.expect_stdout(&expected);
    }
}

/// `SigBlk` and `SigIgn` of COMMAND, for a caller that blocked and ignored these.
#[test]
fn command_gets_the_signal_mask_and_dispositions_of_the_caller() {
    let world = World::new();
    for ignored in ["", "PIPE", "CHLD", "HUP INT", "TERM USR1 PIPE CHLD TSTP"] {
        let lines = "grep -E 'Sig(Blk|Ign)' /proc/self/status";
        let trap = format!("trap '' {ignored};");
        let plain = Tool::named("bash")
            .args(["-c", &format!("{trap} exec {lines}")])
            .run();
        for option in ["-v", "-F"] {
            let pidlock = env!("CARGO_BIN_EXE_pidlock");
            let script = format!("{trap} exec '{pidlock}' {option} run.pid {lines}");
            let ran = Tool::named("bash")
                .args(["-c", &script])
                .current_dir(world.path(""))
                .run();
            assert_eq!(ran.stdout, plain.stdout, "{option} {ignored}");
            assert_eq!(ran.code(), Some(0), "{option} {ignored}");
        }
    }
}

#[test]
fn command_gets_the_callers_descriptors_and_one_of_file() {
    let world = World::new();
    let script = "for fd in /proc/$$/fd/*; do readlink $fd; done >list 2>/dev/null; true";
    let descriptors = |tool: Tool| {
        tool.run().expect_code(0);
        let list = fs::read_to_string(world.path("list")).unwrap();
        // The streams of the test itself have another name each time.
        let names = list.lines().filter(|line| !line.contains("/#"));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let bash = Tool::named("bash").args(["-c", script]);
    let mut plain = descriptors(bash.current_dir(world.path("")));
    let file = fs::canonicalize(world.path("")).unwrap().join("run.pid");
    plain.push(file.to_str().unwrap().to_owned());
    for option in ["-v", "-F"] {
        let pidlock = world.pidlock([option, "run.pid", "bash", "-c", script]);
        assert_eq!(descriptors(pidlock), plain, "{option}");
    }
}

#[test]
fn file_is_made_with_the_mode_asked_for_whatever_the_umask() {
    let world = World::new();
    for (mode, umask, expected) in [
        (None, "022", 0o600),
        (None, "077", 0o600),
        (Some("0644"), "077", 0o644),
        (Some("666"), "022", 0o666),
        (Some("0600"), "000", 0o600),
    ] {
        let mode = mode.map_or(String::new(), |mode| format!("--mode {mode}"));
        let script = format!(
            "umask {umask}; exec '{}' {mode} run.pid stat -c %a run.pid",
            env!("CARGO_BIN_EXE_pidlock")
        );
        let ran = Tool::named("sh")
            .args(["-c", &script])
            .current_dir(world.path(""))
            .run();
        assert_eq!(ran.stdout.trim(), format!("{expected:o}"), "{mode} {umask}");
    }
    // One that is there is left as it is.
    world.write(b"");
    fs::set_permissions(world.file(), fs::Permissions::from_mode(0o640)).unwrap();
    let ran = world.pidlock(["--mode", "0644", "run.pid", "stat", "-c", "%a", "run.pid"]);
    ran.run().expect_code(0).expect_stdout("640\n");
}

#[test]
fn file_is_written_before_command_runs() {
    let world = World::new();
    for option in ["-v", "-F"] {
        let script = "echo $$; cat run.pid";
        let ran = world.pidlock([option, "run.pid", "sh", "-c", script]).run();
        let numbers: Vec<_> = ran.stdout.split_whitespace().collect();
        assert_eq!(numbers[0], numbers[1], "{ran:?}");
    }
}

#[test]
fn a_file_of_another_program_is_understood() {
    let world = World::new();
    // start-stop-daemon, bash, HoneyDanBer UUCP (ten digits wide), an editor with CRLF.
    for content in [
        "999999\n",
        "999999",
        "    999999\n",
        "999999\r\n",
        "0000000000000012\n",
    ] {
        world.write(content.as_bytes());
        assert_eq!(world.state(), "stale", "{content:?}");
        let ran = world.under_lock("cat run.pid; echo $$").run();
        let numbers: Vec<_> = ran.stdout.split_whitespace().collect();
        assert_eq!(numbers.len(), 2, "{content:?} {ran:?}");
        assert_eq!(numbers[0], numbers[1], "{content:?} {ran:?}");
    }
}

#[test]
fn a_nested_pidlock_holds_its_own_file() {
    let world = World::new();
    let pidlock = env!("CARGO_BIN_EXE_pidlock");
    let script = format!(
        "'{pidlock}' other.pid sh -c \"'{pidlock}' -q run.pid true; echo \\$?; \
         '{pidlock}' -q other.pid true; echo \\$?\""
    );
    let ran = world.under_lock(&script).run();
    ran.expect_code(0).expect_stdout("75\n75\n");
}

#[test]
fn the_keeper_sleeps_in_little_memory() {
    let world = World::new();
    let holder = world.hold([]);
    let private = || {
        let path = format!("/proc/{}/smaps_rollup", holder.pidlock.pid());
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with("Private_"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum::<u64>()
    };
    wait_until("it has less than 1 MB to itself", || {
        (1..1024).contains(&private())
    });
}

#[test]
fn a_wait_for_ever_gets_the_lock_after_longer_than_a_moment() {
    let world = World::new();
    let holder = world.hold([]);
    // Only what has waited for a second says so on a terminal.
    let mut waiting = Terminal::start(world.pidlock(["-w", "inf", "run.pid", "true"]));
    waiting.wait_for("waiting for the lock: held by process");
    holder.pidlock.signal(Signal::SIGTERM);
    assert!(waiting.wait().success());
}
