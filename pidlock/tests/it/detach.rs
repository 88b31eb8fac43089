//! `--detach`: COMMAND in the background, whoever called.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use nix::sys::signal::Signal;
use testkit::{Tool, needs, process, wait_until};

use crate::world::{World, send};

/// Ends the COMMAND of a test, however the test ends.
struct Background(i32);

impl Background {
    fn of(stdout: &str) -> Self {
        Self(stdout.trim().parse().unwrap())
    }

    fn end(&self, world: &World) {
        send(self.0, Signal::SIGTERM);
        wait_until("FILE is removed", || !world.file().exists());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        send(self.0, Signal::SIGKILL);
    }
}

#[test]
fn it_returns_with_the_pid_once_command_runs() {
    let world = World::new();
    for options in [&["-d"][..], &["-d", "-F"]] {
        let tool = world.pidlock([]).args(options);
        let ran = tool.args(["run.pid", "sleep", "1000"]).run().expect_code(0);
        let background = Background::of(&ran.stdout);
        // Its exec has succeeded already.
        let seen = process::look(background.0).unwrap();
        assert_eq!(seen.cmdline, "sleep 1000");
        assert_eq!(seen.session, seen.pid, "a session of its own");
        assert_eq!(world.content().trim(), background.0.to_string());
        assert_eq!(world.state(), "running");
        assert_eq!(world.holder(), Some(background.0));
        let second = world.pidlock(["-d", "run.pid", "sleep", "1000"]).run();
        second.expect_code(75).expect_stdout("");
        if options.len() == 1 {
            assert_ne!(process::look(seen.ppid).unwrap().session, seen.session);
            background.end(&world);
        } else {
            send(background.0, Signal::SIGTERM);
            wait_until("it has ended", || process::gone(background.0));
            assert_eq!(world.state(), "stale");
        }
    }
    let ran = world
        .pidlock(["--json", "-d", "run.pid", "sleep", "1000"])
        .run();
    let pid = ran.json()[0]["pid"].to_string();
    Background::of(&pid).end(&world);
    let ran = world
        .pidlock(["-q", "-d", "run.pid", "sleep", "1000"])
        .run();
    ran.expect_stdout("");
    Background(world.holder().unwrap()).end(&world);
}

#[test]
fn output_goes_to_the_log_and_is_appended() {
    let world = World::new();
    fs::write(world.path("log file"), "before\n").unwrap();
    let script = "echo out; echo err >&2; readlink /proc/$$/fd/0";
    let ran = world
        .pidlock(["-d", "-o", "log file", "run.pid", "sh", "-c", script])
        .run();
    ran.expect_code(0).expect_stderr("");
    let expected = "before\nout\nerr\n/dev/null\n";
    wait_until("the log is written", || {
        fs::read_to_string(world.path("log file")).unwrap() == expected
    });
    wait_until("FILE is removed", || !world.file().exists());
}

#[test]
fn what_fails_before_it_runs_is_returned_and_leaves_nothing() {
    let world = World::new();
    fs::create_dir(world.path("folder")).unwrap();
    drop(world.fifo("fifo"));
    let run = |log: &str, command: &str| {
        let tool = world.pidlock(["-d", "-o", log, "run.pid", command]);
        tool.run().expect_stdout("")
    };
    run("no folder/log", "true")
        .expect_code(125)
        .expect_words("no folder/log");
    run("folder", "true")
        .expect_code(125)
        .expect_words("folder: cannot open");
    run("fifo", "true")
        .expect_code(125)
        .expect_words("fifo: cannot open");
    run("run.pid", "true")
        .expect_code(125)
        .expect_words("the log cannot be FILE itself");
    run("log", "nosuchprogram")
        .expect_code(127)
        .expect_words("nosuchprogram");
    run("log", "/").expect_code(126);
    assert!(!world.file().exists());
    assert_eq!(world.state(), "free");
    let holder = world.hold([]);
    run("log", "true")
        .expect_code(75)
        .expect_words("held by process");
    drop(holder);
}

#[test]
fn no_descriptor_of_the_caller_stays_open() {
    let world = World::new();
    for option in ["-d", "-dF"] {
        // A caller that has others, FILE among them.
        let script = format!(
            "exec 7</etc/passwd 8>&1 9<>run.pid; '{}' {option} run.pid sleep 1000",
            env!("CARGO_BIN_EXE_pidlock")
        );
        let tool = Tool::named("sh")
            .args(["-c", &script])
            .current_dir(world.path(""));
        let ran = tool.run().expect_code(0);
        let background = Background::of(&ran.stdout);
        let mut both = vec![background.0];
        both.extend(
            process::look(background.0)
                .map(|seen| seen.ppid)
                .filter(|_| option == "-d"),
        );
        for pid in both {
            // COMMAND itself opens and closes files as it starts.
            wait_until(
                &format!("{option}: process {pid} has our files alone"),
                || {
                    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
                    let mut targets =
                        entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
                    targets.all(|target| {
                        target == Path::new("/dev/null") || target.ends_with("run.pid")
                    })
                },
            );
        }
        assert_eq!(world.state(), "running", "{option}");
        drop(background);
        wait_until("nobody holds it", || world.holder().is_none());
    }
}

/// What `$(pidlock -d ...)` and ssh do: read until the last writer has closed the pipe.
#[test]
fn a_caller_that_reads_to_the_end_is_not_kept_waiting() {
    let world = World::new();
    let started = Instant::now();
    let mut command = world
        .pidlock(["-d", "run.pid", "sleep", "1000"])
        .into_command();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert!(started.elapsed().as_secs() < 60, "it waited for COMMAND");
    assert_eq!(err, "");
    Background::of(&out).end(&world);
}

#[test]
fn it_works_from_make() {
    needs!("make");
    let world = World::new();
    let pidlock = env!("CARGO_BIN_EXE_pidlock");
    let makefile = format!("start:\n\t+@'{pidlock}' -d run.pid sleep 1000\n");
    fs::write(world.path("Makefile"), makefile).unwrap();
    let tool = Tool::named("make").args(["-s", "-j2", "start"]);
    let ran = tool.current_dir(world.path("")).run().expect_code(0);
    let background = Background::of(&ran.stdout);
    assert_eq!(world.state(), "running");
    background.end(&world);
}

#[test]
fn it_works_from_callers_with_closed_streams() {
    let world = World::new();
    let pidlock = env!("CARGO_BIN_EXE_pidlock");
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "0<&- 1>&-"] {
        let script = format!(
            "exec '{pidlock}' -d -o log run.pid sh -c 'echo hello; exec sleep 1000' {closed}"
        );
        let _ = fs::remove_file(world.path("log"));
        let tool = Tool::named("sh")
            .args(["-c", &script])
            .current_dir(world.path(""));
        tool.run().expect_code(0);
        let background = Background(world.holder().unwrap());
        assert_eq!(world.wait_for("log"), "hello\n", "{closed}");
        assert_eq!(world.content().trim(), background.0.to_string(), "{closed}");
        background.end(&world);
        // And in the foreground: nothing that COMMAND says may come to stand in FILE.
        let script =
            format!("exec '{pidlock}' run.pid sh -c 'echo hello; cat run.pid >seen' {closed}");
        let tool = Tool::named("sh")
            .args(["-c", &script])
            .current_dir(world.path(""));
        tool.run().expect_code(0);
        let seen = fs::read_to_string(world.path("seen")).unwrap();
        assert!(seen.trim().parse::<u32>().is_ok(), "{closed}: {seen:?}");
    }
}

#[test]
fn signals_to_the_keeper_in_the_background_reach_command() {
    let world = World::new();
    let script = "trap 'echo got >got; exit' TERM; echo up >up; while :; do sleep 0.02; done";
    let ran = world.pidlock(["-d", "run.pid", "sh", "-c", script]).run();
    let background = Background::of(&ran.stdout);
    world.wait_for("up");
    let keeper = process::look(background.0).unwrap().ppid;
    send(keeper, Signal::SIGTERM);
    assert_eq!(world.wait_for("got"), "got\n");
    wait_until("FILE is removed", || !world.file().exists());
}

#[test]
fn it_survives_the_hangup_of_its_terminal() {
    let world = World::new();
    let pidlock = env!("CARGO_BIN_EXE_pidlock");
    let script = format!("'{pidlock}' -d run.pid sleep 1000; echo started; read x");
    let tool = Tool::named("sh")
        .args(["-c", &script])
        .current_dir(world.path(""));
    let terminal = testkit::Terminal::start(tool);
    terminal.wait_for("started");
    let background = Background(world.holder().unwrap());
    drop(terminal);
    // The hangup reaches whoever it reaches before the terminal is gone.
    let seen = process::look(background.0).unwrap();
    assert_ne!(seen.state, 'Z');
    assert_eq!(world.state(), "running");
    background.end(&world);
}

#[test]
fn the_log_is_the_users_own_kind_of_file() {
    let world = World::new();
    let ran = world
        .pidlock(["-d", "-o", "log", "run.pid", "sleep", "1000"])
        .run();
    let background = Background::of(&ran.stdout);
    let mode = fs::metadata(world.path("log"))
        .unwrap()
        .permissions()
        .mode();
    // 0666 less the umask, as a shell makes it.
    assert_eq!(mode & 0o600, 0o600);
    background.end(&world);
}
