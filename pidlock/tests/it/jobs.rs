//! A terminal: what it sends to the whole job reaches COMMAND once, and jobs stop and go on.

use std::fs;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use testkit::{Running, Terminal, Tool, in_namespace, needs, needs_root, process, wait_until};

use crate::world::{World, send};

/// A COMMAND that writes down each signal it gets, at once, until a file `over` is there.
const NOTES: &str = "for my $s (qw(TERM INT HUP QUIT WINCH)) {
    $SIG{$s} = sub { open(my $f, '>>', 'got'); syswrite($f, \"$s\\n\") } }
open(my $up, '>', 'up'); syswrite($up, \"up\\n\");
select(undef, undef, undef, 0.02) until -e 'over';";

fn got(world: &World) -> String {
    fs::read_to_string(world.path("got")).unwrap_or_default()
}

#[test]
fn what_a_terminal_sends_reaches_command_once() {
    needs!("bash", "perl");
    in_namespace!();
    let world = World::new();
    fs::write(world.path("notes.pl"), NOTES).unwrap();
    // Below a shell with job control, and as the leader of the terminal's session itself.
    let pidlock = env!("CARGO_BIN_EXE_pidlock");
    let below = format!("set -m; '{pidlock}' run.pid perl notes.pl; echo code $?");
    let tools = [
        Tool::named("bash")
            .args(["-c", &below])
            .current_dir(world.path("")),
        world.pidlock(["run.pid", "perl", "notes.pl"]),
    ];
    for tool in tools {
        let mut terminal = Terminal::start(tool);
        world.wait_for("up");
        // A second one that comes before the first has been read is none to the kernel: only often
        // enough does it show.
        let mut expected = String::new();
        for _ in 0..20 {
            for (key, name) in [("\x03", "INT\n"), ("\x1c", "QUIT\n")] {
                terminal.press(key);
                expected.push_str(name);
                wait_until("the key arrives", || got(&world).len() >= expected.len());
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(got(&world), expected);
        fs::write(world.path("over"), "").unwrap();
        terminal.wait();
        assert!(!world.file().exists());
        for name in ["up", "over", "got"] {
            fs::remove_file(world.path(name)).unwrap();
        }
    }
}

#[test]
fn the_hangup_of_a_terminal_reaches_command_once() {
    needs!("setsid", "perl");
    // Alone in its process: no other test's child may inherit our side of the terminal.
    in_namespace!();
    let world = World::new();
    fs::write(world.path("notes.pl"), NOTES).unwrap();
    let terminal = openpty(None, None).unwrap();
    for side in [&terminal.master, &terminal.slave] {
        fcntl(side, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    }
    // pidlock leads the session: the kernel tells nobody else of the hangup.
    let mut command = Tool::named("setsid")
        .args([
            "--ctty",
            env!("CARGO_BIN_EXE_pidlock"),
            "run.pid",
            "perl",
            "notes.pl",
        ])
        .current_dir(world.path(""))
        .into_command();
    let streams = [(); 3].map(|()| terminal.slave.try_clone().unwrap());
    let [stdin, stdout, stderr] = streams;
    let mut child = command
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap();
    // Its handles of the terminal go with it.
    drop(command);
    world.wait_for("up");
    drop(terminal);
    wait_until("the hangup arrives", || got(&world).contains("HUP"));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(got(&world), "HUP\n");
    fs::write(world.path("over"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn ctrl_z_and_fg_work() {
    needs!("bash");
    let world = World::new();
    let tool = Tool::named("bash").args(["--norc", "--noprofile", "-i"]);
    let mut terminal = Terminal::start(
        tool.env("PS1", "ready> ")
            .env("HISTFILE", "")
            .current_dir(world.path("")),
    );
    terminal.wait_for("ready> ");
    let pidlock = env!("CARGO_BIN_EXE_pidlock");
    let stopped = |pid: i32| process::look(pid).is_some_and(|seen| seen.state == 'T');
    terminal.press(&format!("'{pidlock}' run.pid cat\r"));
    wait_until("COMMAND runs", || {
        world
            .holder()
            .and_then(process::look)
            .is_some_and(|seen| seen.cmdline == "cat")
    });
    let command = world.holder().unwrap();
    let keeper = process::look(command).unwrap().ppid;
    for turn in 1..=3 {
        terminal.press("\x1a");
        wait_until("both have stopped", || stopped(command) && stopped(keeper));
        wait_until("the shell says so", || {
            terminal.drawn().matches("Stopped").count() >= turn
        });
        assert_eq!(world.state(), "running");
        terminal.press("fg\r");
        wait_until("both go on", || !stopped(command) && !stopped(keeper));
        // COMMAND has the terminal again.
        terminal.press(&format!("turn {turn}\r"));
        let echo = format!("turn {turn}\r\nturn {turn}\r\n");
        terminal.wait_for(&echo);
    }
    terminal.press("\x03");
    wait_until("it has ended", || process::gone(command));
    terminal.press("echo code $?\r");
    terminal.wait_for("code 130");
    assert!(!world.file().exists());
    terminal.press("exit\r");
    terminal.wait();
}

/// `pidlock` as the first process of a container.
#[test]
fn as_pid_1_it_hands_signals_on_reaps_orphans_and_exits_with_the_number() {
    needs_root!();
    needs!("unshare");
    let world = World::new();
    let script = "trap 'echo got >got; kill -KILL $$' TERM; \
         (sleep 0.01 & exec true); echo up >up; while :; do sleep 0.02; done";
    let unshare = Tool::named("unshare").args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    let unshare = unshare.arg(env!("CARGO_BIN_EXE_pidlock"));
    let unshare = unshare.args(["run.pid", "sh", "-c", script]);
    let mut unshare = Running::start(unshare.current_dir(world.path("")));
    world.wait_for("up");
    let pidlock = process::children(unshare.pid()).remove(0).pid;
    wait_until("it has COMMAND alone", || {
        process::all()
            .iter()
            .filter(|seen| seen.ppid == pidlock)
            .count()
            == 1
    });
    send(pidlock, Signal::SIGTERM);
    assert_eq!(world.wait_for("got"), "got\n");
    // PID 1 cannot end by a signal of its own: unshare reports a code.
    assert_eq!(unshare.wait(), 128 + 9);
    assert!(!world.file().exists());
}
