//! What is looked for is found: by name, by command line, by environment, of one user.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

mod common;

use common::{bystander, count, expect_alone, pid, run, shell, wait_for, with_cmdline};
use testkit::{Running, Tool, in_namespace, needs, needs_root, process, scratch, wait_until};

/// A copy of sleep under another name; returns its path.
fn sleep_called(folder: &std::path::Path, name: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::copy(testkit::needs::on_path("sleep").unwrap(), &path).unwrap();
    path
}

#[test]
fn a_daemon_that_left_is_found_by_its_environment() {
    in_namespace!();
    let other = bystander();
    let script = "setsid sh -c 'setsid sleep 1001 &' ; echo up";
    let tool = Tool::named("sh")
        .args(["-c", script])
        .env("MARK", "left it");
    let mut root = common::started(tool);
    root.wait();
    assert_eq!(wait_for(1, "sleep 1001")[0].ppid, 1);
    run(&[&pid(&root)]).expect_code(0).expect_stdout("");
    run(&["--env", "MARK=left"])
        .expect_code(0)
        .expect_stdout("");
    let ran = run(&["--env", "MARK=left it"]).expect_code(0);
    assert_eq!(count(&ran, "term"), 1, "{ran:?}");
    expect_alone(&[&other]);
}

#[test]
fn a_replacement_started_on_the_way_out_is_found_by_its_environment() {
    in_namespace!();
    let script = "trap 'setsid sleep 1001 & exit' TERM; echo up; while :; do sleep 0.02; done";
    let tool = Tool::named("sh").args(["-c", script]).env("MARK", "x");
    let root = common::started(tool);
    run(&["--env", "MARK=x"]).expect_code(0);
    drop(root);
    expect_alone(&[]);
}

#[test]
fn what_is_started_again_and_again_is_said() {
    in_namespace!();
    // What ignores TERM leaves its starter the time of a grace to start more.
    let script = r#"trap '' TERM; echo up; while :; do MARK=x sleep 1001 & sleep 0.03; done"#;
    let outer = shell(script);
    wait_until("it starts them", || !with_cmdline("sleep 1001").is_empty());
    let ran = run(&["-g", "500ms", "--env", "MARK=x"]).expect_code(1);
    let _ = ran.expect_words("again");
    assert!(!process::gone(outer.pid()));
}

#[test]
fn a_name_is_whole_beyond_15_characters() {
    in_namespace!();
    let folder = scratch();
    let long = sleep_called(folder.path(), "a-name-longer-than-15");
    let longer = sleep_called(folder.path(), "a-name-longer-than-15-characters");
    let one = Running::start(Tool::at(&long).arg("1001"));
    let two = Running::start(Tool::at(&longer).arg("1001"));
    run(&["--name", "a-name-longer-t"])
        .expect_code(0)
        .expect_stdout("");
    run(&["--name", "sleep"]).expect_code(0).expect_stdout("");
    let ran = run(&["--name", "a-name-longer-than-15"]).expect_code(0);
    assert_eq!(ran.records()[0][2], "a-name-longer-than-15");
    assert!(process::gone(one.pid()));
    expect_alone(&[&two]);
}

#[test]
fn a_command_line_is_matched_as_a_whole() {
    in_namespace!();
    let one = Running::start(Tool::named("sleep").arg("1001"));
    let two = Running::start(Tool::named("sleep").arg("10011"));
    run(&["--match", "^sleep 1001$"]).expect_code(0);
    assert!(process::gone(one.pid()));
    expect_alone(&[&two]);
}

#[test]
fn only_of_one_user() {
    in_namespace!();
    needs_root!();
    needs!("setpriv");
    let ours = bystander();
    let words = ["--reuid", "65534", "--clear-groups", "sleep", "7777"];
    let theirs = Running::start(Tool::named("setpriv").args(words));
    wait_for(2, "sleep 7777");
    run(&["--name", "sleep", "-u", "65534"]).expect_code(0);
    assert!(process::gone(theirs.pid()));
    expect_alone(&[&ours]);
}

#[test]
fn only_in_our_own_pid_namespace() {
    in_namespace!();
    let words = ["--pid", "--fork", "--kill-child", "sleep", "1001"];
    let inner = Running::start(Tool::named("unshare").args(words));
    wait_for(1, "sleep 1001");
    run(&["--name", "sleep"]).expect_code(0).expect_stdout("");
    assert_eq!(with_cmdline("sleep 1001").len(), 1);
    // Named by its number it is a process like any other.
    run(&[&pid(&inner)]).expect_code(0);
    expect_alone(&[]);
}

#[test]
fn a_hostile_name_and_command_line_forge_nothing() {
    in_namespace!();
    needs!("bash");
    let folder = scratch();
    let path = sleep_called(folder.path(), "x\t1\n\x1b[31m\\");
    let script = r#"echo up; exec -a "$(printf 'a\tb\nc\033[2J\\\377')" "$0" 1001"#;
    let tool = Tool::named("bash").args(["-c", script]).arg(&path);
    let root = common::started(tool);
    wait_until("it is another program", || {
        process::look(root.pid())
            .is_some_and(|seen| seen.cmdline.ends_with("1001") && !seen.cmdline.contains("bash"))
    });
    let dry = run(&["-n", "--json", &pid(&root)]).expect_code(0);
    assert_eq!(dry.json()[0]["name"], "x\t1\n\u{1b}[31m\\");
    let ran = run(&["-v", &pid(&root)]).expect_code(0);
    assert!(
        !ran.stderr.contains('\x1b') && ran.stderr.lines().count() == 1,
        "{ran:?}"
    );
    let expected = format!(
        "{}\tterm\tx\\t1\\n\\x1b[31m\\\\\ta\\tb\\nc\\x1b[2J\\\\\\xff 1001\n",
        root.pid()
    );
    let _ = ran.expect_stdout(&expected);
}

#[test]
fn a_process_whose_first_thread_has_ended() {
    in_namespace!();
    needs!("python3");
    let script = "import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(1001,)).start()\nprint('up', flush=True)\nctypes.CDLL(None).pthread_exit(None)";
    let tool = Tool::named("python3").args(["-c", script]).env("MARK", "z");
    let root = common::started(tool);
    wait_until("its first thread has ended", || {
        process::look(root.pid()).is_some_and(|seen| seen.state == 'Z')
    });
    let ran = run(&["-n", "--match", "pthread_exit"]).expect_code(0);
    assert_eq!(ran.records().len(), 1, "{ran:?}");
    let ran = run(&["--env", "MARK=z"]).expect_code(0);
    assert_eq!(count(&ran, "term"), 1, "{ran:?}");
    assert!(ran.records()[0][3].contains("pthread_exit"), "{ran:?}");
}

#[test]
fn a_zombie_is_not_found() {
    in_namespace!();
    let parent = shell("sleep 1001 & echo up; exec tail -f /dev/null");
    let child = wait_for(1, "sleep 1001")[0].pid;
    wait_for(1, "tail -f /dev/null");
    run(&["--name", "sleep"]).expect_code(0);
    assert_eq!(process::look(child).unwrap().state, 'Z');
    let ran = run(&["--must-exist", "--name", "sleep"]).expect_code(1);
    let _ = ran.expect_stdout("");
    assert!(!process::gone(parent.pid()));
}
