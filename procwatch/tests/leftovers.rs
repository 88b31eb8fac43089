//! After COMMAND has ended, nothing that it started is left.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{around, file, living, run, says, start};
use nix::sys::signal::Signal;
use testkit::{
    Running, Tool, faults, in_namespace, needs, needs_root, process, scratch, wait_until,
};

/// How many `sleep 1234` live, then more of them in every way that leaves a parent behind.
const MESSY: &str = "
    ps -eo args= | grep -c '^sleep 123[4]'
    sleep 1234 &
    (sleep 1234 &)
    (setsid sleep 1234 &)
    (setsid bash -c '(setsid sleep 1234 &) ; sleep 1234' &)
    (trap '' TERM HUP INT; setsid sleep 1234 &)
    sleep 0.1";

#[test]
fn nothing_is_left_before_the_next_start_nor_at_the_end() {
    in_namespace!();
    let ran = run("-m 3 -b 0 -g 100ms", &format!("{MESSY}; exit 5")).expect_code(5);
    assert_eq!(ran.stdout, "0\n0\n0\n0\n", "{ran:?}");
    assert_eq!(process::others(), []);
}

#[test]
fn nothing_is_left_when_command_was_killed() {
    in_namespace!();
    let ran = run("-m 1 -b 0 -g 100ms", &format!("{MESSY}; kill -9 $$"));
    assert_eq!(ran.signal(), Some(libc::SIGKILL));
    assert_eq!(ran.stdout, "0\n0\n");
    assert_eq!(process::others(), []);
}

#[test]
fn nothing_is_left_after_a_stop() {
    in_namespace!();
    let mut server = start("-g 200ms", &format!("{MESSY}; echo ready; sleep 1234"));
    says(&server, "ready");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 15);
    assert_eq!(process::others(), []);
}

#[test]
fn what_forks_all_the_time_is_ended_too() {
    in_namespace!();
    let folder = scratch();
    let storm = file(&folder, "storm");
    // A chain: each link ignores TERM, leaves its session, starts the next and ends.
    std::fs::write(
        &storm,
        "trap '' TERM HUP INT\nsleep 0.004\nsetsid sh \"$0\" &\n",
    )
    .unwrap();
    let links = format!(
        "for i in 1 2 3 4 5; do (setsid sh '{}' &); done",
        storm.display()
    );
    let ran = run("-m 1 -b 0 -g 100ms", &format!("{links}; sleep 0.1; exit 6"));
    ran.expect_code(6);
    assert_eq!(process::others(), []);
}

#[test]
fn leftovers_get_the_whole_grace_and_no_more() {
    in_namespace!();
    let script = "(trap 'sleep 0.2; echo tidy; exit' TERM; echo up; while :; do sleep 0.01; done) &
        sleep 0.2; exit 3";
    let ran = run("-r never -g 60", script).expect_code(3);
    assert_eq!(ran.stdout, "up\ntidy\n");
    assert_eq!(process::others(), []);
}

#[test]
fn children_from_before_the_exec_are_not_its_own() {
    in_namespace!();
    // The helper's own orphan, which comes into being while procwatch runs, is not either.
    let line = format!(
        "sh -c 'sleep 0.2; sleep 1111 & sleep 2222' &
         exec {} -r never -- sh -c '(setsid sleep 3333 &) ; sleep 0.5'",
        common::PROCWATCH
    );
    Tool::named("sh").args(["-c", &line]).run().expect_code(0);
    assert_eq!(living("sleep 1111").len(), 1);
    assert_eq!(living("sleep 2222").len(), 1);
    assert_eq!(living("sleep 3333"), []);
}

#[test]
fn an_orphan_in_its_session_from_before_is_not_its_own() {
    in_namespace!();
    let line = format!(
        "(sleep 1111 &); exec {} -r never -g 100ms -- sh -c '(sleep 3333 &) ; exit 4'",
        common::PROCWATCH
    );
    let ran = Tool::named("setsid")
        .args(["--wait", "sh", "-c", &line])
        .run();
    ran.expect_code(4);
    assert_eq!(living("sleep 1111").len(), 1);
    assert_eq!(living("sleep 3333"), []);
}

#[test]
fn what_hooks_leave_behind_is_ended() {
    in_namespace!();
    let tool = common::procwatch(["--before", "(setsid sleep 1111 &)"]);
    let tool = tool.args(["--after", "(setsid sleep 2222 &)", "-r", "never"]);
    let mut server = Running::start(tool.args(["--", "sh", "-c", "echo up; exec sleep 3333"]));
    says(&server, "up");
    wait_until("it runs beside COMMAND", || living("sleep 1111").len() == 1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 15);
    wait_until("nothing is left", || process::others().is_empty());
}

#[test]
fn what_belongs_to_another_user_is_tried_three_times_said_and_makes_it_1() {
    in_namespace!();
    needs_root!();
    needs!("setpriv");
    let folder = scratch();
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let copy = |program: &Path, name: &str| {
        let copy = folder.path().join(name);
        std::fs::copy(program, &copy).unwrap();
        copy
    };
    let ours = copy(Path::new(common::PROCWATCH), "procwatch");
    let setpriv = copy(&testkit::needs::on_path("setpriv").unwrap(), "setpriv");
    mode(folder.path(), 0o755);
    mode(&ours, 0o755);
    // Who starts this may become root.
    mode(&setpriv, 0o4755);
    let script = format!(
        "'{}' --reuid 0 sleep 1234 & sleep 0.2; exit 5",
        setpriv.display()
    );
    let as_nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let tool = Tool::named("setpriv").args(as_nobody).arg(&ours);
    let tool = tool.args(["-m", "3", "-b", "0", "-g", "0.1", "--", "sh", "-c", &script]);
    let ran = tool.run().expect_code(1);
    let said = "1 of what sh started cannot be ended";
    assert_eq!(ran.stderr.matches(said).count(), 3, "{ran:?}");
    assert_eq!(
        living("sleep 1234").len(),
        1,
        "and COMMAND is not started again"
    );
}

#[test]
fn where_nothing_can_be_looked_for_it_is_said_and_the_end_comes_all_the_same() {
    in_namespace!();
    needs!("strace");
    for nth in 1..4 {
        // strace waits for what is left.
        let script = "setsid sleep 6 & sleep 0.1; exit 5";
        let tool = around("-m 1 -b 0 -g 0.1", script);
        let faulty = faults::run(tool, "getdents64", "ENOMEM", nth);
        if faulty.ran.code() == Some(1) {
            let said = "what bash started cannot be ended: Out of memory";
            faulty.ran.expect_words(said);
            return;
        }
    }
    panic!("no look for what is left has failed");
}
