//! A PID file: whom it means, and whom it does not mean any more.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

mod common;

use std::fs::{File, write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{bystander, count, expect_alone, pid, run, session, treekill, wait_for};
use tempfile::TempDir;
use testkit::{in_namespace, process, scratch};

fn file(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("run.pid");
    write(&path, text).unwrap();
    path
}

fn written_an_hour_ago(path: &Path) {
    let hour = Duration::from_secs(3600);
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - hour).unwrap();
}

#[test]
fn the_process_of_the_first_line_ends() {
    in_namespace!();
    let folder = scratch();
    let root = session("sleep 1001 & echo up; wait");
    wait_for(1, "sleep 1001");
    let path = file(&folder, &format!("{}\n/some/folder\n5432\n", root.pid()));
    let ran = treekill().arg("-p").arg(&path).run().expect_code(0);
    assert_eq!(count(&ran, "term"), 2, "{ran:?}");
    expect_alone(&[]);
    // What is gone is what was asked for.
    treekill().arg("--pidfile").arg(&path).run().expect_code(0);
}

#[test]
fn a_missing_file_is_what_was_asked_for() {
    in_namespace!();
    let other = bystander();
    run(&["-p", "/nowhere/run.pid"])
        .expect_code(0)
        .expect_stdout("");
    run(&["--must-exist", "-p", "/nowhere/run.pid"]).expect_code(1);
    expect_alone(&[&other]);
}

#[test]
fn a_file_without_a_pid_means_that_nobody_is_signalled() {
    in_namespace!();
    let folder = scratch();
    let other = bystander();
    let number = other.pid();
    for text in [
        "",
        "\n",
        "x\n",
        "0\n",
        "-1\n",
        &format!("\n{number}\n"),
        &format!("{number} 1\n"),
    ] {
        let path = file(&folder, text);
        let tool = treekill().arg(pid(&other)).arg("-p").arg(&path);
        let ran = tool.run().expect_code(125);
        assert_eq!(ran.stderr.lines().count(), 1, "{text:?}: {ran:?}");
    }
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("run.pid", &link).unwrap();
    treekill().arg("-p").arg(&link).run().expect_code(125);
    treekill()
        .arg("-p")
        .arg(folder.path())
        .run()
        .expect_code(125);
    expect_alone(&[&other]);
}

#[test]
fn a_process_younger_than_the_file_is_another_one() {
    in_namespace!();
    let folder = scratch();
    let other = bystander();
    let path = file(&folder, &pid(&other));
    written_an_hour_ago(&path);
    let ran = treekill().arg("-p").arg(&path).run().expect_code(0);
    let _ = ran.expect_stdout("").expect_words("left alone");
    expect_alone(&[&other]);
}

#[test]
fn a_file_that_names_pid_1_is_refused() {
    in_namespace!();
    let folder = scratch();
    let path = file(&folder, "1\n");
    let ran = treekill().arg("-p").arg(&path).run().expect_code(1);
    let _ = ran.expect_words("it is PID 1");
    assert!(!process::gone(1));
}

#[test]
fn the_session_of_a_dead_root_needs_a_witness_older_than_the_file() {
    in_namespace!();
    let folder = scratch();
    let mut root = session("sleep 1001 & echo up");
    let path = file(&folder, &pid(&root));
    root.wait();
    let left = wait_for(1, "sleep 1001");
    written_an_hour_ago(&path);
    treekill().arg("-p").arg(&path).run().expect_code(0);
    assert!(!process::gone(left[0].pid), "another's session was ended");
    write(&path, pid(&root)).unwrap();
    let ran = treekill().arg("-p").arg(&path).run().expect_code(0);
    assert_eq!(count(&ran, "term"), 1);
    expect_alone(&[]);
}
