//! On a terminal: COMMAND reads it, its signals reach COMMAND once, job control works.

mod common;

use common::{around, living};
use testkit::{Terminal, Tool, in_namespace, process, wait_until};

/// Counts the signals it gets for half a second after the first, and exits with their number.
const COUNT: &str = "n=0; trap 'n=$((n+1))' INT QUIT HUP; echo ready
    while [ $n = 0 ]; do sleep 0.01; done
    for i in $(seq 20); do sleep 0.02; done; exit $((10 + n))";

#[test]
fn command_reads_the_terminal() {
    let mut terminal = Terminal::start(around("", "read -r line; echo \"got $line\""));
    terminal.press("hello\r");
    terminal.wait_for("got hello");
    assert!(terminal.wait().success());
}

#[test]
fn what_the_terminal_sends_reaches_command_once_and_ends_everything() {
    for key in ["\x03", "\x1c"] {
        let mut terminal = Terminal::start(around("-r always", COUNT));
        terminal.wait_for("ready");
        terminal.press(key);
        let status = terminal.wait();
        assert_eq!(status.code(), Some(11), "{}", terminal.drawn());
        assert_eq!(terminal.drawn().matches("ready").count(), 1);
    }
}

#[test]
fn a_command_in_another_group_gets_ctrl_c_too() {
    in_namespace!();
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done";
    let tool = common::procwatch(["--", "setsid", "bash", "-c", script]);
    let mut terminal = Terminal::start(tool);
    terminal.wait_for("ready");
    terminal.press("\x03");
    assert_eq!(terminal.wait().code(), Some(9));
    wait_until("nothing is left", || process::others().is_empty());
}

#[test]
fn ctrl_z_suspends_the_job_and_fg_brings_it_back() {
    in_namespace!();
    let mut shell = Terminal::start(Tool::named("bash").args(["--norc", "-i"]));
    shell.press("PS1='prompt> '\r");
    shell.wait_for("prompt> ");
    shell.press(&format!("{} -r always sleep 1234\r", common::PROCWATCH));
    wait_until("it runs", || living("sleep 1234").len() == 1);
    let command = living("sleep 1234")[0].clone();
    let states = || {
        let state = |pid| process::look(pid).map_or('X', |seen| seen.state);
        (state(command.pid), state(command.ppid))
    };
    for _ in 0..3 {
        shell.press("\x1a");
        wait_until("both are suspended", || states() == ('T', 'T'));
        shell.press("fg\r");
        wait_until("both go on", || states() == ('S', 'S'));
    }
    shell.press("\x03");
    wait_until("both are gone", || living("sleep 1234").is_empty());
    shell.press("echo status $?\r");
    shell.wait_for("status 130");
}

#[test]
fn ctrl_z_suspends_nothing_where_nobody_could_continue_it() {
    let mut terminal = Terminal::start(around("-r always", COUNT));
    terminal.wait_for("ready");
    terminal.press("\x1a");
    terminal.press("\x03");
    assert_eq!(terminal.wait().code(), Some(11), "{}", terminal.drawn());
}

/// Types a line into an interactive shell, or starts it in place of one, on a terminal that is
/// closed as soon as the line says `ready42`, as by a lost connection.
const HANG_UP: &str = "import os, pty, sys, time
line, in_shell = sys.argv[1], sys.argv[2] == 'shell'
pid, terminal = pty.fork()
if pid == 0:
    os.execvp('bash', ['bash', '--norc', '-i'] if in_shell else ['sh', '-c', 'exec ' + line])
if in_shell:
    os.write(terminal, line.encode() + b'\\n')
got = b''
while b'ready42' not in got:
    got += os.read(terminal, 1000)
os.close(terminal)
os.waitpid(pid, 0)";

/// A server that TERM stops and HUP does not.
const SERVER: &str = "-r always -b 0 -g 100 -- bash -c 'trap \"exit 3\" TERM; trap \"\" HUP; \
    echo ready$((40+2)) > /dev/tty; while :; do sleep 0.01; done'";

fn hang_up(before: &str, after: &str, leader: &str) {
    let line = format!("{before}{} {SERVER}{after}", common::PROCWATCH);
    let folder = testkit::scratch();
    let tool = Tool::named("python3").args(["-c", HANG_UP, &line, leader]);
    let ran = tool.current_dir(folder.path()).run();
    let _ = ran.expect_code(0);
}

#[test]
fn a_terminal_that_closes_ends_everything() {
    testkit::needs!("python3");
    in_namespace!();
    hang_up("", "", "itself");
    wait_until("nothing is left", || process::others().is_empty());
}

#[test]
fn a_job_of_a_shell_whose_terminal_closes_ends() {
    testkit::needs!("python3");
    in_namespace!();
    hang_up("", "", "shell");
    wait_until("nothing is left", || process::others().is_empty());
}

#[test]
fn a_job_in_the_background_of_a_shell_whose_terminal_closes_ends() {
    testkit::needs!("python3");
    in_namespace!();
    hang_up("", " &", "shell");
    wait_until("nothing is left", || process::others().is_empty());
}

#[test]
fn with_nohup_it_survives_the_terminal() {
    testkit::needs!("python3", "nohup");
    in_namespace!();
    hang_up("nohup ", " &", "shell");
    let supervisor = || {
        let mut found = process::others();
        found.retain(|seen| seen.cmdline.starts_with(common::PROCWATCH));
        found
    };
    assert_eq!(supervisor().len(), 1);
    // HUP came before the shell's end, which has been waited for.
    common::send(supervisor()[0].pid.unsigned_abs(), libc::SIGTERM);
    wait_until("nothing is left", || process::others().is_empty());
}
