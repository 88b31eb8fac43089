//! `--status` and `--holder`: what they say, and that they touch nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use nix::sys::signal::Signal;
use testkit::{Running, Tool, needs, needs_root, process, wait_until};

use crate::world::{World, send};

#[test]
fn running() {
    let world = World::new();
    let holder = world.hold([]);
    let ran = world.pidlock(["--status", "run.pid"]).run().expect_code(0);
    let pid = holder.command.to_string();
    let records = ran.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0][..2], ["running", &pid]);
    assert_eq!(records[0][4..], ["sleep", "sleep 1000"]);
    assert!(records[0][3].ends_with('Z') && records[0][3].contains('T'));
    let ran = world.pidlock(["--json", "--status", "run.pid"]).run();
    let json = &ran.json()[0];
    assert_eq!(json["state"], "running");
    assert_eq!(json["pid"], holder.command);
    assert_eq!(json["cmdline"], "sleep 1000");
    for key in ["user", "started", "name"] {
        assert!(json[key].is_string(), "{key}");
    }
    let ran = world.pidlock(["--holder", "run.pid"]).run().expect_code(0);
    ran.expect_stdout(&format!("{pid}\n"));
    let ran = world.pidlock(["-q", "--status", "run.pid"]).run();
    ran.expect_code(0).expect_stdout("");
}

#[test]
fn free_and_stale() {
    let world = World::new();
    let ran = world.pidlock(["--status", "run.pid"]).run().expect_code(3);
    ran.expect_stdout("free\t-\t-\t-\t-\t-\n").expect_stderr("");
    let ran = world.pidlock(["--holder", "run.pid"]).run().expect_code(1);
    ran.expect_stdout("").expect_stderr("");
    assert!(!world.file().exists());
    for content in ["", "1\n", &std::process::id().to_string()] {
        world.write(content.as_bytes());
        let ran = world.pidlock(["--status", "run.pid"]).run().expect_code(1);
        ran.expect_stdout("stale\t-\t-\t-\t-\t-\n");
        world.pidlock(["--holder", "run.pid"]).run().expect_code(1);
    }
}

#[test]
fn what_cannot_be_told_is_4() {
    let world = World::new();
    world.write(b"no PID file");
    fs::create_dir(world.path("folder")).unwrap();
    symlink("nowhere", world.path("link")).unwrap();
    drop(world.fifo("fifo"));
    for name in ["run.pid", "folder", "link", "fifo", "/dev/null"] {
        let ran = world.pidlock(["--status", name]).run().expect_code(4);
        let ran = ran.expect_stdout("unknown\t-\t-\t-\t-\t-\n");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    for name in ["folder", "link", "fifo", "/dev/null"] {
        world.pidlock(["--holder", name]).run().expect_code(125);
    }
}

#[test]
fn held_by_flock_is_unknown() {
    needs!("flock");
    let world = World::new();
    world.write(b"");
    let script = Tool::named("flock").arg("-F").arg(world.file());
    let script = Running::start(script.args(["sleep", "1000"]));
    wait_until("the script has the lock", || world.state() != "stale");
    let ran = world.pidlock(["--status", "run.pid"]).run().expect_code(4);
    assert_eq!(
        ran.records()[0][..2],
        ["unknown", &script.pid().to_string()]
    );
    let ran = world.pidlock(["--holder", "run.pid"]).run().expect_code(0);
    ran.expect_stdout(&format!("{}\n", script.pid()));
}

#[test]
fn ending_while_pidlock_cleans_up() {
    let world = World::new();
    let holder = world.hold([]);
    // A keeper that cannot get on, for as long as we look.
    holder.pidlock.signal(Signal::SIGSTOP);
    wait_until("pidlock stops", || {
        process::look(holder.pidlock.pid()).is_some_and(|seen| seen.state == 'T')
    });
    holder.end_command(Signal::SIGKILL);
    let ran = world.pidlock(["--status", "run.pid"]).run().expect_code(0);
    let keeper = holder.pidlock.pid().to_string();
    assert_eq!(ran.records()[0][..2], ["ending", &keeper]);
    let ran = world.pidlock(["--holder", "run.pid"]).run().expect_code(0);
    ran.expect_stdout(&format!("{keeper}\n"));
    // A newcomer waits for it a while, and then says what is the matter.
    let ran = world.pidlock(["run.pid", "true"]).run().expect_code(75);
    ran.expect_words(&format!("process {keeper} (pidlock)"));
    holder.pidlock.signal(Signal::SIGCONT);
    wait_until("FILE is removed", || !world.file().exists());
}

#[test]
fn asking_changes_nothing_and_is_in_nobodys_way() {
    let world = World::new();
    world.write(b"42\n");
    let before = fs::metadata(world.file()).unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            for _ in 0..150 {
                let _ = world.pidlock(["--status", "run.pid"]).run();
                let _ = world.pidlock(["--holder", "run.pid"]).run();
            }
        });
        while !asking.is_finished() {
            let ran = world.pidlock(["-F", "run.pid", "true"]).run();
            ran.expect_code(0);
        }
    });
    let after = fs::metadata(world.file()).unwrap();
    assert_eq!(before.ino(), after.ino());
    assert_eq!(before.mode(), after.mode());
}

#[test]
fn an_unprivileged_reader_may_ask_where_mode_lets_it() {
    needs_root!();
    needs!("setpriv");
    let world = World::new();
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let ask = |what: &str| {
        let tool = Tool::named("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(readable_pidlock(&world));
        tool.args([what, "run.pid"])
            .current_dir(world.path(""))
            .run()
    };
    let holder = world.hold([]);
    ask("--status")
        .expect_code(4)
        .expect_words("Permission denied");
    ask("--holder")
        .expect_code(125)
        .expect_words("Permission denied");
    holder.end_command(Signal::SIGTERM);
    wait_until("FILE is removed", || !world.file().exists());
    let holder = world.hold(["--mode", "0644"]);
    let pid = holder.command.to_string();
    let ran = ask("--status").expect_code(0);
    assert_eq!(ran.records()[0][..3], ["running", &pid, "root"]);
    ask("--holder")
        .expect_code(0)
        .expect_stdout(&format!("{pid}\n"));
}

/// The program where another user can reach it.
fn readable_pidlock(world: &World) -> std::path::PathBuf {
    let copy = world.path("pidlock");
    if !copy.exists() {
        fs::copy(env!("CARGO_BIN_EXE_pidlock"), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

#[test]
fn asked_from_inside_a_pid_namespace_the_holder_has_no_number() {
    needs_root!();
    needs!("unshare");
    let world = World::new();
    let holder = world.hold([]);
    let inside = |arguments: &[&str]| {
        let tool = Tool::named("unshare").args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        tool.arg(env!("CARGO_BIN_EXE_pidlock"))
            .args(arguments)
            .current_dir(world.path(""))
            .run()
    };
    inside(&["--status", "run.pid"])
        .expect_code(0)
        .expect_stdout("running\t-\t-\t-\t-\t-\n");
    inside(&["--holder", "run.pid"])
        .expect_code(0)
        .expect_stdout("-\n");
    inside(&["run.pid", "true"])
        .expect_code(75)
        .expect_words("outside this PID namespace");
    drop(holder);
}

#[test]
fn asked_from_outside_a_pid_namespace_the_holder_has_our_number() {
    needs_root!();
    needs!("unshare");
    let world = World::new();
    let tool = Tool::named("unshare").args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    let tool = tool
        .arg(env!("CARGO_BIN_EXE_pidlock"))
        .current_dir(world.path(""));
    let inside = Running::start(tool.args(["run.pid", "sleep", "1000"]));
    wait_until("COMMAND runs", || {
        world
            .holder()
            .and_then(process::look)
            .is_some_and(|seen| seen.cmdline == "sleep 1000")
    });
    let holder = world.holder().unwrap();
    assert_ne!(
        world.content().trim(),
        holder.to_string(),
        "the number inside is another"
    );
    assert_eq!(world.state(), "running");
    send(holder, Signal::SIGKILL);
    wait_until("FILE is removed", || !world.file().exists());
    drop(inside);
}

#[test]
fn a_holder_that_cannot_be_printed_is_125() {
    let world = World::new();
    let _holder = world.hold([]);
    let pidlock = env!("CARGO_BIN_EXE_pidlock");
    let script = format!("'{pidlock}' --holder run.pid >/dev/full");
    let tool = Tool::named("sh").args(["-c", &script]);
    let ran = tool.current_dir(world.path("")).run().expect_code(125);
    ran.expect_stderr("pidlock: standard output: No space left on device\n");
}
