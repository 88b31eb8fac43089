//! Nothing of the tree survives.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

mod common;

use std::time::Duration;

use common::{
    bystander, count, expect_alone, outcome, pid, run, session, shell, treekill, wait_for,
    with_cmdline,
};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use testkit::{Running, Terminal, Tool, in_namespace, needs, process, scratch, wait_until};

#[test]
fn a_plain_tree_ends_with_one_record_each() {
    in_namespace!();
    let other = bystander();
    let root = shell("sh -c 'sleep 1001 & sleep 1002 & wait' & sleep 1003 & echo up; wait");
    wait_for(1, "sleep 1002");
    let ran = run(&[&pid(&root)]).expect_code(0);
    assert_eq!(ran.records().len(), 5, "{ran:?}");
    assert_eq!(count(&ran, "term"), 5, "{ran:?}");
    assert_eq!(ran.records()[0][0], pid(&root), "the root is first");
    expect_alone(&[&other]);
}

#[test]
fn json_records_have_the_promised_keys() {
    in_namespace!();
    let root = shell("echo up; exec sleep 1001");
    let ran = run(&["--json", "-s", "int", &pid(&root)]).expect_code(0);
    let record = &ran.json()[0];
    let keys: Vec<_> = record.as_object().unwrap().keys().collect();
    let mut promised = [
        "pid",
        "ppid",
        "outcome",
        "signal",
        "elapsed_ms",
        "name",
        "cmdline",
    ];
    promised.sort_unstable();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, promised);
    assert_eq!(record["outcome"], "term");
    assert_eq!(record["signal"], "INT");
    assert_eq!(record["cmdline"], "sleep 1001");
}

#[test]
fn a_grandchild_in_a_session_of_its_own_ends() {
    in_namespace!();
    let root = shell("sh -c 'setsid sleep 1001 & wait' & echo up; wait");
    wait_for(1, "sleep 1001");
    run(&[&pid(&root)]).expect_code(0);
    expect_alone(&[]);
}

/// A shell that leads a session, leaves an orphan in another process group of it, and goes on
/// like this.
fn session_with_orphan(then: &str) -> Running {
    let script = format!("set -m; (sleep 1001 & exit) & wait; echo up; {then}");
    common::started(Tool::named("setsid").args(["bash", "-c", &script]))
}

#[test]
fn an_orphan_in_the_session_ends() {
    in_namespace!();
    needs!("bash");
    let other = bystander();
    let root = session_with_orphan("exec sleep 1002");
    let orphan = wait_for(1, "sleep 1001")[0].clone();
    assert_eq!(orphan.ppid, 1);
    assert_ne!(orphan.pgrp, orphan.session);
    run(&[&pid(&root)]).expect_code(0);
    expect_alone(&[&other]);
}

#[test]
fn an_orphan_in_the_group_ends_and_a_pipe_neighbour_does_not() {
    in_namespace!();
    needs!("bash");
    let script =
        "set -m; sh -c '(sleep 1001 &); exec sleep 1002' | sleep 1003 & jobs -p; echo up; wait";
    let outer = common::started(Tool::named("bash").args(["-c", script]));
    wait_for(1, "sleep 1001");
    let leader = wait_for(1, "sleep 1002")[0].clone();
    assert_eq!(leader.pid, leader.pgrp, "it leads the job");
    run(&[&leader.pid.to_string()]).expect_code(0);
    assert!(with_cmdline("sleep 1001").is_empty(), "the orphan lives");
    let neighbour = with_cmdline("sleep 1003");
    assert_eq!(neighbour.len(), 1, "the neighbour is gone");
    assert_ne!(neighbour[0].state, 'T', "the neighbour was left stopped");
    assert!(!process::gone(outer.pid()));
    // Nor is it left stopped by a kill.
    let outer = common::started(Tool::named("bash").args(["-c", &script.replace("100", "200")]));
    let leader = wait_for(1, "sleep 2002")[0].pid.to_string();
    run(&["-g0", &leader]).expect_code(0);
    assert_ne!(wait_for(1, "sleep 2003")[0].state, 'T');
    drop(outer);
}

#[test]
fn what_ignores_term_is_killed_after_the_grace() {
    in_namespace!();
    let root = shell("trap '' TERM; sleep 1001 & echo up; sleep 1002");
    wait_for(1, "sleep 1002");
    let ran = run(&["-g", "300ms", &pid(&root)]).expect_code(0);
    assert_eq!(count(&ran, "kill"), 3, "{ran:?}");
    assert!(ran.elapsed >= Duration::from_millis(300));
    expect_alone(&[]);
}

#[test]
fn a_stopped_child_and_a_stopped_root_act_on_the_signal() {
    in_namespace!();
    let root = shell("sleep 1001 & echo up; wait");
    let child = wait_for(1, "sleep 1001")[0].pid;
    for pid in [child, i32::try_from(root.pid()).unwrap()] {
        nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
        wait_until("it is stopped", || {
            process::look(pid).is_some_and(|seen| seen.state == 'T')
        });
    }
    let ran = run(&["-g", "60", &pid(&root)]).expect_code(0);
    assert_eq!(count(&ran, "term"), 2, "{ran:?}");
    expect_alone(&[]);
}

#[test]
fn a_root_that_respawns_its_children_and_ignores_term() {
    in_namespace!();
    for grace in ["0", "400ms"] {
        let root = shell("trap : TERM; echo up; while :; do sleep 1001; done");
        wait_for(1, "sleep 1001");
        let ran = run(&["-g", grace, &pid(&root)]).expect_code(0);
        assert_eq!(outcome(&ran, &pid(&root)), "kill");
        expect_alone(&[]);
    }
}

/// A chain: each process starts the next one after 4 ms and ends.
const CHAIN: &str = "trap '' TERM\nsleep 0.004\nsh \"$0\" &\n";

#[test]
fn a_chain_that_forks_every_4_ms() {
    in_namespace!();
    let folder = scratch();
    let chain = folder.path().join("chain");
    std::fs::write(&chain, CHAIN).unwrap();
    let chain = chain.to_str().unwrap();
    for round in 0..6 {
        let grace = ["0", "300ms"][round % 2];
        let script = format!("echo up; sh '{chain}' & trap : TERM; while :; do sleep 1001; done");
        let root = session(&script);
        run(&["-g", grace, &pid(&root)]).expect_code(0);
        expect_alone(&[]);
    }
}

#[test]
fn a_chain_whose_root_is_dead() {
    in_namespace!();
    let folder = scratch();
    let chain = folder.path().join("chain");
    std::fs::write(&chain, CHAIN).unwrap();
    for grace in ["0", "300ms"] {
        let mut root = Running::start(Tool::named("setsid").arg("sh").arg(&chain));
        root.wait();
        run(&["-g", grace, &pid(&root)]).expect_code(0);
        expect_alone(&[]);
    }
}

#[test]
fn a_spawner_of_children_in_sessions_of_their_own() {
    in_namespace!();
    for grace in ["0", "300ms"] {
        let script = "trap '' TERM; echo up; while :; do setsid sleep 1001 & sleep 0.02; done";
        let root = shell(script);
        wait_until("it spawns", || with_cmdline("sleep 1001").len() > 3);
        run(&["-g", grace, &pid(&root)]).expect_code(0);
        expect_alone(&[]);
    }
}

#[test]
fn a_dead_root_whose_session_lives() {
    in_namespace!();
    needs!("bash");
    let other = bystander();
    let mut root = session_with_orphan("exit");
    root.wait();
    assert_ne!(wait_for(1, "sleep 1001")[0].pgrp.unsigned_abs(), root.pid());
    let ran = run(&[&pid(&root)]).expect_code(0);
    assert_eq!(count(&ran, "term"), 1);
    expect_alone(&[&other]);
}

#[test]
fn an_unreaped_zombie_is_dead_at_once() {
    in_namespace!();
    // A sleep reaps nobody.
    let parent = shell("sleep 1001 & echo up; exec sleep 1002");
    let child = wait_for(1, "sleep 1001")[0].pid;
    wait_for(1, "sleep 1002");
    let child_text = child.to_string();
    let ran = run(&["-g", "60", &child_text]).expect_code(0);
    assert_eq!(outcome(&ran, &child_text), "term");
    assert!(ran.elapsed < Duration::from_secs(20), "{ran:?}");
    assert_eq!(process::look(child).unwrap().state, 'Z');
    let ran = run(&["-g", "60", &child_text]).expect_code(0);
    assert_eq!(outcome(&ran, &child_text), "gone");
    assert!(run(&["-n", &child_text]).expect_code(0).stdout.is_empty());
    run(&["--must-exist", &child_text]).expect_code(1);
    assert!(!process::gone(parent.pid()));
}

#[test]
fn what_cannot_be_killed_is_reported_in_time() {
    in_namespace!();
    let root = shell("echo up; exec sleep 1001");
    wait_for(1, "sleep 1001");
    // Killed, it stops on its way out until its tracer lets it go (ptrace(2)).
    let traced = Pid::from_raw(i32::try_from(root.pid()).unwrap());
    ptrace::seize(traced, ptrace::Options::PTRACE_O_TRACEEXIT).unwrap();
    let ran = run(&["-g", "200ms", &pid(&root)]).expect_code(1);
    assert_eq!(outcome(&ran, &pid(&root)), "alive");
    let ran = ran.expect_words("still there after");
    assert!(ran.elapsed >= Duration::from_secs(2) && ran.elapsed < Duration::from_secs(12));
}

#[test]
fn a_thousand_children() {
    in_namespace!();
    let other = bystander();
    for options in [&["-g", "0"][..], &["-q"], &[]] {
        let script = "i=0; while [ $i -lt 1000 ]; do sleep 1001 & i=$((i+1)); done; echo up; wait";
        let root = shell(script);
        let ran = run(&[options, &[&pid(&root)]].concat()).expect_code(0);
        let records = if options == ["-q"] { 0 } else { 1001 };
        assert_eq!(ran.records().len(), records);
        expect_alone(&[&other]);
    }
}

#[test]
fn more_members_than_descriptors() {
    in_namespace!();
    for option in ["-g0", "-g5"] {
        let script = "i=0; while [ $i -lt 100 ]; do sleep 1001 & i=$((i+1)); done; echo up; wait";
        let root = shell(script);
        let limited = format!("ulimit -n 40; exec \"$@\" {option} {}", root.pid());
        let tool = Tool::named("sh").args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_treekill")]);
        let ran = tool.run().expect_code(0);
        assert_eq!(ran.records().len(), 101);
        expect_alone(&[]);
    }
}

#[test]
fn each_process_gets_the_first_signal_exactly_once() {
    in_namespace!();
    let folder = scratch();
    let log = folder.path().join("log");
    let script = "trap 'echo $$ >> \"$LOG\"' TERM; echo up; while :; do sleep 0.03; done";
    let tree = format!("sh -c '{}' & {script}", script.replace('\'', "'\\''"));
    let tool = Tool::named("sh").args(["-c", &tree]).env("LOG", &log);
    let root = Running::start(tool);
    wait_until("both stand", || root.output().matches("up").count() == 2);
    run(&["-g", "1", &pid(&root)]).expect_code(0);
    let log = std::fs::read_to_string(&log).unwrap();
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    let before = lines.len();
    lines.dedup();
    assert_eq!((before, lines.len()), (2, 2), "{log}");
    expect_alone(&[]);
}

#[test]
fn the_leader_alone_is_told_and_stops_its_own() {
    in_namespace!();
    let child = "trap 'echo told; exit' TERM; trap 'echo asked; exit' INT; echo child; while :; do sleep 0.05; done";
    // A background child of a shell ignores INT: it is told in another way.
    let child = child.replace("INT", "USR1");
    let script =
        format!("sh -c \"{child}\" & trap 'kill -USR1 $!; wait; exit' TERM; echo up; wait");
    let root = shell(&script);
    wait_until("the child stands", || root.output().contains("child"));
    let ran = run(&["--leader-first", "-g", "60", &pid(&root)]).expect_code(0);
    assert!(root.output().contains("asked"), "{ran:?}");
    assert!(!root.output().contains("told"), "{ran:?}");
    expect_alone(&[]);
}

#[test]
fn without_a_leader_all_are_told_at_once() {
    in_namespace!();
    let mut root = session("sleep 1001 & sleep 1002 & echo up");
    root.wait();
    wait_for(1, "sleep 1002");
    let ran = run(&["--leader-first", "-g", "60", &pid(&root)]).expect_code(0);
    assert_eq!(count(&ran, "term"), 2, "{ran:?}");
    // And of a leader that ends without a thought for its own.
    let root = shell("sleep 1001 & echo up; wait");
    let ran = run(&["--leader-first", "-g", "60", &pid(&root)]).expect_code(0);
    assert_eq!(count(&ran, "term"), 2, "{ran:?}");
    expect_alone(&[]);
}

#[test]
fn only_what_is_below_the_root() {
    in_namespace!();
    let root = shell("sleep 1001 & setsid sleep 1002 & echo up; wait; wait; exec sleep 1003");
    wait_for(1, "sleep 1002");
    let ran = run(&["--children", &pid(&root)]).expect_code(0);
    assert_eq!(count(&ran, "term"), 2, "{ran:?}");
    wait_for(1, "sleep 1003");
    expect_alone(&[&root]);
}

#[test]
fn no_kill_leaves_what_ignores_the_signal() {
    in_namespace!();
    let root = shell("trap '' TERM; echo up; sleep 1001");
    wait_for(1, "sleep 1001");
    let ran = run(&["--no-kill", "-g", "200ms", &pid(&root)]).expect_code(1);
    assert_eq!(count(&ran, "alive"), 2, "{ran:?}");
    ran.expect_words("still there after TERM");
    assert_eq!(with_cmdline("sleep 1001").len(), 1);
}

#[test]
fn pids_come_from_standard_input() {
    in_namespace!();
    let (one, two) = (bystander(), bystander());
    let other = bystander();
    let words = format!("{}\n\n  {}\t", one.pid(), two.pid());
    let ran = treekill().arg("-").stdin(words).run().expect_code(0);
    assert_eq!(count(&ran, "term"), 2);
    treekill().arg("-").run().expect_code(0).expect_stdout("");
    let bad = format!("{} x", other.pid());
    treekill().arg("-").stdin(bad).run().expect_code(125);
    expect_alone(&[&other]);
}

#[test]
fn nothing_to_kill_is_a_failure_only_when_asked_for() {
    in_namespace!();
    run(&["4000000"]).expect_code(0).expect_stdout("");
    run(&["--must-exist", "4000000"]).expect_code(1);
    run(&["--must-exist", "--name", "nobody-is-called-so"]).expect_code(1);
}

#[test]
fn a_bad_word_means_that_nobody_is_signalled() {
    in_namespace!();
    let other = bystander();
    for words in [
        &["0"][..],
        &["-1"],
        &["x"],
        &["99999999999"],
        &["--match", "("],
        &["-g", "soon"],
        &["-p", "/proc/version"],
        &["-p", "/dev/null"],
    ] {
        let ran = run(&[words, &[&pid(&other)]].concat()).expect_code(125);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    run(&[]).expect_code(125);
    expect_alone(&[&other]);
}

#[test]
fn a_dry_run_shows_the_tree_and_signals_nobody() {
    in_namespace!();
    let root = shell("sh -c 'sleep 1001 & wait' & echo up; wait");
    let leaf = wait_for(1, "sleep 1001")[0].clone();
    let ran = run(&["-n", &pid(&root)]).expect_code(0);
    let records = ran.records();
    assert_eq!(records.len(), 3, "{ran:?}");
    let (leaf_pid, parent) = (leaf.pid.to_string(), leaf.ppid.to_string());
    let expected = vec![leaf_pid.as_str(), &parent, "2", "sleep", "sleep 1001"];
    assert!(records.contains(&expected), "{ran:?}");
    let mut terminal = Terminal::start(treekill().args(["-n", &pid(&root)]));
    terminal.wait_for(&format!("   └─ {leaf_pid} sleep 1001"));
    assert!(terminal.wait().success());
    assert_eq!(with_cmdline("sleep 1001").len(), 1);
}

#[test]
fn told_to_end_it_ends_at_once_and_leaves_nobody_stopped() {
    in_namespace!();
    let root = shell("trap '' TERM; echo up; sleep 1001");
    wait_for(1, "sleep 1001");
    let mut tool = Running::start(treekill().args(["-v", "-g", "600", &pid(&root)]));
    wait_until("the signal is sent", || tool.output().contains("TERM"));
    tool.signal(Signal::SIGTERM);
    assert_eq!(tool.wait(), 128 + 15);
    assert!(process::others().iter().all(|seen| seen.state != 'T'));
    assert_eq!(with_cmdline("sleep 1001").len(), 1);
}

#[test]
fn a_member_that_becomes_another_program_is_still_a_member() {
    in_namespace!();
    let root = shell(
        "trap 'exec sh -c \"trap : TERM; while :; do sleep 1001; done\"' TERM; echo up; while :; do sleep 0.02; done",
    );
    let ran = run(&["-g", "500ms", &pid(&root)]).expect_code(0);
    assert_eq!(outcome(&ran, &pid(&root)), "kill");
    expect_alone(&[]);
}

#[test]
fn what_becomes_of_the_records_changes_no_verdict() {
    in_namespace!();
    for reader in ["| :", "> /dev/full", ">&-"] {
        let root = shell("sleep 1001 & echo up; wait");
        let script = format!("{{ \"$0\" {}; echo code $? >&2; }} {reader}", root.pid());
        let tool = Tool::named("sh").args(["-c", &script, env!("CARGO_BIN_EXE_treekill")]);
        let ran = tool.run();
        assert!(ran.stderr.ends_with("code 0\n"), "{ran:?}");
        expect_alone(&[]);
    }
    let other = bystander();
    let script = "\"$0\" -n --name sleep > /dev/full; echo $?";
    let tool = Tool::named("sh").args(["-c", script, env!("CARGO_BIN_EXE_treekill")]);
    let ran = tool.run();
    let _ = ran.expect_stdout("125\n").expect_words("No space left");
    expect_alone(&[&other]);
}

#[test]
fn what_is_left_alive_is_said_with_its_state() {
    in_namespace!();
    for (does, state) in [
        (":", "running"),
        ("kill -STOP $$", "stopped"),
        ("sleep 1001", "sleeping"),
    ] {
        let root = shell(&format!(
            "trap '' TERM CONT; echo up; while :; do {does}; done"
        ));
        let ran = run(&["--no-kill", "-g", "0.2", &pid(&root)]).expect_code(1);
        assert_eq!(outcome(&ran, &pid(&root)), "alive");
        let _ = ran.expect_words(&format!("(sh): still there after TERM: {state}"));
    }
}
