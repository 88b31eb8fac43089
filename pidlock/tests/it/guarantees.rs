//! The nine guarantees, each under its own words.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::{Running, Tool, in_namespace, needs, process, wait_until};

use crate::world::{World, send};

#[test]
fn g1_the_lock_is_gone_the_instant_its_holder_is() {
    for no_fork in [false, true] {
        let world = World::new();
        let mut holder = if no_fork {
            world.hold(["-F"])
        } else {
            world.hold([])
        };
        // The keeper first: COMMAND alone keeps the lock.
        holder.pidlock.signal(Signal::SIGKILL);
        holder.pidlock.wait();
        holder.end_command(Signal::SIGKILL);
        assert_eq!(world.state(), "stale");
        world.pidlock(["run.pid", "true"]).run().expect_code(0);
        drop(holder);
    }
}

#[test]
fn g1_no_stale_file_blocks_and_no_number_is_trusted() {
    let world = World::new();
    let stranger = std::process::id();
    for content in [
        "",
        "\n",
        "1\n",
        &format!("{stranger}\n"),
        "  42",
        "4194304\n\n\n\n",
    ] {
        world.write(content.as_bytes());
        assert_eq!(world.state(), "stale", "{content:?}");
        assert_eq!(world.holder(), None, "{content:?}");
        let ran = world.under_lock("cat run.pid; echo $$").run();
        let numbers: Vec<_> = ran.stdout.split_whitespace().collect();
        assert_eq!(numbers.len(), 2, "{content:?}\n{ran:?}");
        assert_eq!(numbers[0], numbers[1], "{content:?}\n{ran:?}");
        assert_eq!(world.state(), "free", "{content:?}");
    }
}

#[test]
fn g2_a_second_start_fails_at_once_and_names_the_holder() {
    let world = World::new();
    let holder = world.hold([]);
    let ran = world.pidlock(["run.pid", "touch", "ran"]).run();
    let ran = ran.expect_code(75).expect_stdout("");
    let command = holder.command;
    ran.expect_stderr(&format!(
        "pidlock: run.pid: held by process {command} (sleep)\n"
    ));
    let ran = world
        .pidlock(["-n", "-E", "9", "run.pid", "touch", "ran"])
        .run();
    ran.expect_code(9);
    world
        .pidlock(["-q", "run.pid", "true"])
        .run()
        .expect_stderr("");
    assert!(!world.path("ran").exists());
    assert_eq!(world.content().trim(), command.to_string());
}

#[test]
fn g2_command_keeps_the_lock_when_pidlock_is_killed() {
    let world = World::new();
    let mut holder = world.hold([]);
    holder.pidlock.signal(Signal::SIGKILL);
    holder.pidlock.wait();
    assert!(!process::gone(holder.command));
    assert_eq!(world.state(), "running");
    assert_eq!(world.holder(), Some(holder.command));
    world.pidlock(["run.pid", "true"]).run().expect_code(75);
    world
        .pidlock(["-w", "0.2", "run.pid", "true"])
        .run()
        .expect_code(124);
    holder.end_command(Signal::SIGTERM);
    world.pidlock(["run.pid", "true"]).run().expect_code(0);
}

#[test]
fn g3_a_descendant_that_outlives_command_does_not_keep_the_lock() {
    for option in ["-v", "-F"] {
        let world = World::new();
        let script = "sleep 1000 >/dev/null 2>&1 & echo $! >orphan";
        world
            .pidlock([option, "run.pid", "sh", "-c", script])
            .run()
            .expect_code(0);
        let orphan: i32 = world.wait_for("orphan").trim().parse().unwrap();
        let next = world.pidlock(["run.pid", "true"]).run();
        assert!(!process::gone(orphan));
        send(orphan, Signal::SIGKILL);
        next.expect_code(0);
    }
}

#[test]
fn g3_a_descendant_does_not_keep_the_lock_after_everything_is_killed() {
    let world = World::new();
    let script = "sleep 1000 & echo $! >orphan; echo $$ >command; wait";
    let mut pidlock = Running::start(world.under_lock(script));
    let command: i32 = world.wait_for("command").trim().parse().unwrap();
    let orphan: i32 = world.wait_for("orphan").trim().parse().unwrap();
    pidlock.signal(Signal::SIGKILL);
    pidlock.wait();
    send(command, Signal::SIGKILL);
    wait_until("COMMAND is dead", || process::gone(command));
    let next = world.pidlock(["run.pid", "true"]).run();
    send(orphan, Signal::SIGKILL);
    next.expect_code(0);
}

/// What a COMMAND can do to lose its own lock.
const LOSING: [&str; 3] = [
    "exec 9<run.pid; exec 9<&-",
    "read pid <run.pid",
    "for fd in /proc/$$/fd/*; do eval \"exec ${fd##*/}>&-\"; done",
];

#[test]
fn g4_command_may_close_every_descriptor_or_file_itself() {
    for losing in LOSING {
        let world = World::new();
        // Not `sh`: dash takes one digit for a descriptor only.
        let script = format!("{losing}; echo $$ >done; exec sleep 1000");
        let pidlock = world.pidlock(["run.pid", "bash", "-c", &script]);
        let mut pidlock = Running::start(pidlock);
        let command: i32 = world.wait_for("done").trim().parse().unwrap();
        wait_until("COMMAND sleeps", || {
            process::look(command).is_some_and(|seen| seen.cmdline == "sleep 1000")
        });
        let next = world.pidlock(["run.pid", "true"]).run();
        let (state, holder) = (world.state(), world.holder());
        send(command, Signal::SIGKILL);
        next.expect_code(75);
        assert_eq!(
            (state.as_str(), holder),
            ("running", Some(command)),
            "{losing}"
        );
        assert_eq!(pidlock.wait(), 128 + 9, "{losing}");
        world.pidlock(["run.pid", "true"]).run().expect_code(0);
    }
}

#[test]
fn g4_with_no_fork_it_does_lose_it() {
    for losing in LOSING {
        let world = World::new();
        let script = format!("{losing}; echo $$ >done; exec sleep 1000");
        let command = Running::start(world.pidlock(["-F", "run.pid", "bash", "-c", &script]));
        world.wait_for("done");
        world.pidlock(["run.pid", "true"]).run().expect_code(0);
        drop(command);
    }
}

#[test]
fn g5_a_clean_end_removes_file() {
    let world = World::new();
    for script in ["exit 0", "exit 7", "kill -TERM $$"] {
        let _ = world.under_lock(script).run();
        assert!(!world.file().exists(), "{script}");
    }
    // Whatever COMMAND made of it.
    world.under_lock("echo 1 >run.pid").run().expect_code(0);
    assert!(!world.file().exists());
}

#[test]
fn g5_a_file_that_is_not_the_one_that_was_locked_stays() {
    let world = World::new();
    let script = "mv run.pid moved; echo 42 >run.pid";
    world.under_lock(script).run().expect_code(0);
    assert_eq!(world.content(), "42\n");
    assert!(world.path("moved").exists());
    fs::remove_file(world.file()).unwrap();
    let script = "rm run.pid; mkdir run.pid";
    world.under_lock(script).run().expect_code(0);
    assert!(world.file().is_dir());
}

#[test]
fn g5_with_no_fork_file_is_left_in_place() {
    let world = World::new();
    let ran = world
        .pidlock(["-F", "run.pid", "sh", "-c", "echo $$"])
        .run();
    assert_eq!(world.content().trim(), ran.stdout.trim());
    assert_eq!(world.state(), "stale");
}

#[test]
fn g6_what_is_no_pid_file_is_refused_and_unchanged() {
    let world = World::new();
    let long = [b'7'; 5000];
    for content in [
        &b"x"[..],
        b"12a\n",
        b"-1",
        b"#!/bin/sh\n",
        b"\0\0\0\0\0\0\0\0",
        b"12\n/var/lib/data\n",
        b"1.5",
        &long,
    ] {
        world.write(content);
        let before = fs::metadata(world.file()).unwrap();
        for option in ["-v", "-F", "-d", "--wait=inf"] {
            let ran = world.pidlock([option, "run.pid", "touch", "ran"]).run();
            ran.expect_code(125).expect_words("no PID file");
        }
        assert_eq!(fs::read(world.file()).unwrap(), content);
        let after = fs::metadata(world.file()).unwrap();
        assert_eq!(before.modified().unwrap(), after.modified().unwrap());
        assert_eq!(before.ino(), after.ino());
    }
    assert!(!world.path("ran").exists());
}

#[test]
fn g6_links_folders_devices_and_fifos_are_refused() {
    let world = World::new();
    world.write(b"1\n");
    fs::create_dir(world.path("folder")).unwrap();
    symlink("run.pid", world.path("link")).unwrap();
    symlink("nowhere", world.path("dangling")).unwrap();
    drop(world.fifo("fifo"));
    let _socket = std::os::unix::net::UnixListener::bind(world.path("socket")).unwrap();
    for (name, what) in [
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("folder", "a directory"),
        ("fifo", "a FIFO"),
        ("socket", "a socket"),
        ("/dev/null", "a device"),
        ("/dev/tty", "a device"),
    ] {
        for option in ["-v", "-F", "-d", "--wait=inf"] {
            let ran = world.pidlock([option, name, "touch", "ran"]).run();
            ran.expect_code(125).expect_words(what);
        }
    }
    assert!(!world.path("ran").exists());
    assert!(!world.path("nowhere").exists());
    assert_eq!(world.content(), "1\n");
    let fifo = fs::symlink_metadata(world.path("fifo")).unwrap();
    assert!(fifo.file_type().is_fifo());
}

/// PIDs of three and of seven digits take turns, as the kernel gives them in a namespace, and a
/// reader looks as often as it can.
#[test]
fn g7_a_reader_finds_whole_pids_only() {
    in_namespace!();
    let next_pid = |pid: u32| fs::write("/proc/sys/kernel/ns_last_pid", pid.to_string()).is_ok();
    if !next_pid(900) {
        testkit::needs::skip("needs to choose PIDs");
        return;
    }
    let world = World::new();
    let over = AtomicBool::new(false);
    let mut holders = BTreeSet::new();
    let found = std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut found = BTreeSet::new();
                while !over.load(Ordering::Relaxed) {
                    found.insert(fs::read_to_string(world.file()).unwrap_or_default());
                }
                found
            })
        });
        for turn in 0..300 {
            let wide = turn % 2 == 0;
            assert!(next_pid(if wide { 3_000_000 + turn } else { 400 + turn }));
            // With -F our child is COMMAND; killed, it leaves its PID for the next to overwrite.
            let mut holder = Running::start(world.pidlock(["-F", "run.pid", "sleep", "1000"]));
            holders.insert(holder.pid().to_string());
            wait_until("COMMAND runs", || {
                process::look(holder.pid()).is_some_and(|seen| seen.cmdline == "sleep 1000")
            });
            assert_eq!(world.content().trim(), holder.pid().to_string());
            holder.signal(Signal::SIGKILL);
            holder.wait();
        }
        over.store(true, Ordering::Relaxed);
        readers.map(|reader| reader.join().unwrap())
    });
    let widths: BTreeSet<_> = holders.iter().map(String::len).collect();
    assert!(widths.len() > 1, "{widths:?}");
    for content in found.iter().flatten() {
        let words: Vec<_> = content.split_ascii_whitespace().collect();
        let whole = words.is_empty() || words.len() == 1 && holders.contains(words[0]);
        assert!(whole, "a reader found {content:?}");
    }
}

#[test]
fn g8_flock_is_kept_out_and_keeps_us_out() {
    needs!("flock");
    let world = World::new();
    let flock = |world: &World| {
        let tool = Tool::named("flock")
            .args(["-n", "-E", "33"])
            .arg(world.file());
        tool.arg("true").run().code()
    };
    let holder = world.hold([]);
    assert_eq!(flock(&world), Some(33));
    holder.end_command(Signal::SIGTERM);
    wait_until("FILE is removed", || !world.file().exists());

    world.write(b"");
    let script = Tool::named("flock")
        .arg(world.file())
        .args(["sleep", "1000"]);
    let mut script = Running::start(script);
    wait_until("the script has the lock", || world.state() == "unknown");
    let ran = world.pidlock(["run.pid", "true"]).run();
    ran.expect_code(75).expect_words("held through flock");
    world
        .pidlock(["-w", "0.1", "run.pid", "true"])
        .run()
        .expect_code(124);
    // And through a descriptor of a shell whose flock(1) is long gone.
    let sleeper = process::children(script.pid());
    script.signal(Signal::SIGKILL);
    script.wait();
    world.pidlock(["run.pid", "true"]).run().expect_code(75);
    for seen in sleeper {
        send(seen.pid, Signal::SIGKILL);
        wait_until("it is dead", || process::gone(seen.pid));
    }
    world
        .pidlock(["-w", "10", "run.pid", "true"])
        .run()
        .expect_code(0);

    let no_fork = world.hold(["-F"]);
    assert_eq!(flock(&world), Some(0), "not with -F");
    drop(no_fork);
}

/// A COMMAND that writes down each signal it gets, and its number of the terminal's.
const NOTES: &str = "for s in TERM INT HUP QUIT USR1 USR2 WINCH CONT; do \
     trap \"echo $s >>got\" $s; done; echo up >up; \
     while ! [ -e over ]; do read -t 0.02 x <>pause; done; true";

#[test]
fn g9_signals_sent_to_pidlock_reach_command_once() {
    let world = World::new();
    let _pause = world.fifo("pause");
    let mut pidlock = Running::start(world.pidlock(["run.pid", "bash", "-c", NOTES]));
    world.wait_for("up");
    let mut expected = String::new();
    for (name, signal) in [
        ("TERM", Signal::SIGTERM),
        ("INT", Signal::SIGINT),
        ("HUP", Signal::SIGHUP),
        ("QUIT", Signal::SIGQUIT),
        ("USR1", Signal::SIGUSR1),
        ("USR2", Signal::SIGUSR2),
        ("WINCH", Signal::SIGWINCH),
        ("CONT", Signal::SIGCONT),
    ] {
        pidlock.signal(signal);
        expected.push_str(name);
        expected.push('\n');
        wait_until(name, || {
            fs::read_to_string(world.path("got"))
                .unwrap_or_default()
                .ends_with(&format!("{name}\n"))
        });
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(fs::read_to_string(world.path("got")).unwrap(), expected);
    fs::write(world.path("over"), "").unwrap();
    assert_eq!(pidlock.wait(), 0);
}

#[test]
fn g9_a_stop_and_a_continue_reach_command() {
    let world = World::new();
    let holder = world.hold([]);
    let stopped = |pid: i64| process::look(pid).is_some_and(|seen| seen.state == 'T');
    holder.pidlock.signal(Signal::SIGTSTP);
    wait_until("COMMAND stops", || stopped(holder.command.into()));
    wait_until("pidlock stops", || stopped(holder.pidlock.pid().into()));
    holder.pidlock.signal(Signal::SIGCONT);
    wait_until("both go on", || {
        !stopped(holder.command.into()) && !stopped(holder.pidlock.pid().into())
    });
}

#[test]
fn g9_a_stopped_command_does_not_stop_pidlock() {
    let world = World::new();
    let mut holder = world.hold([]);
    send(holder.command, Signal::SIGSTOP);
    wait_until("COMMAND stops", || {
        process::look(holder.command).is_some_and(|seen| seen.state == 'T')
    });
    send(holder.command, Signal::SIGCONT);
    holder.end_command(Signal::SIGTERM);
    assert_eq!(holder.pidlock.wait(), 128 + 15);
    assert!(!world.file().exists());
}
