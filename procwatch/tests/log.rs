//! The log: no line lost, none cut, and no disk that holds COMMAND up.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{file, procwatch, says};
use testkit::{Running, Tool, in_namespace, scratch, wait_until};

fn logged(log: &Path, options: &str, script: &str) -> Tool {
    procwatch(["-b", "0", "-o"])
        .arg(log)
        .args(options.split_whitespace())
        .args(["--", "bash", "-c", script])
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

/// The whole log, oldest file first.
fn whole(log: &Path) -> String {
    let old = |number: u32| read(Path::new(&format!("{}.{number}", log.display())));
    (1..200).rev().map(old).collect::<String>() + &read(log)
}

#[test]
fn both_streams_go_to_the_log_and_are_appended() {
    let folder = scratch();
    let log = file(&folder, "log");
    std::fs::write(&log, "older\n").unwrap();
    let ran = logged(&log, "-r never", "echo out; echo err >&2").run();
    ran.expect_code(0).expect_stdout("").expect_stderr("");
    assert_eq!(read(&log), "older\nout\nerr\n");
}

#[test]
fn no_line_is_lost_or_cut_at_a_rotation() {
    let folder = scratch();
    let log = file(&folder, "log");
    let options = "-r never --log-size 64K --log-keep 150";
    logged(&log, options, "seq 1 1000000").run().expect_code(0);
    let expected: String = (1..=1_000_000).map(|n| format!("{n}\n")).collect();
    assert!(whole(&log) == expected, "a line is missing or cut");
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let text = read(&entry.unwrap().path());
        // A line that has begun is finished.
        assert!(text.ends_with('\n') && text.len() <= (64 << 10) + 8);
        files += 1;
    }
    assert!(files > 50, "{files} files");
}

#[test]
fn only_so_many_old_files_are_kept() {
    let folder = scratch();
    let log = file(&folder, "log");
    let script = "for i in $(seq 100); do echo \"line number $i\"; done";
    let _ = logged(&log, "-r never --log-size 100 --log-keep 2", script).run();
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    assert!(read(&log).ends_with("line number 100\n"));
    let _ = logged(&log, "-r never --log-size 100 --log-keep 0", script).run();
    assert!(!read(&log).contains("number 1\n"));
}

#[test]
fn no_line_is_lost_or_cut_at_a_restart_and_at_a_stop() {
    let folder = scratch();
    let log = file(&folder, "log");
    let script = "echo whole; printf half; kill -9 $$";
    let _ = logged(&log, "-q -m 2", script).run();
    assert_eq!(read(&log), "whole\nhalf\n".repeat(3));
    std::fs::remove_file(&log).unwrap();
    let script = "trap 'seq 1 5000; exit 4' TERM; echo up; while :; do sleep 0.01; done";
    let mut server = Running::start(logged(&log, "", script));
    wait_until("it is up", || read(&log) == "up\n");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.wait(), 4);
    let expected: String = (1..=5000).map(|n| format!("{n}\n")).collect();
    assert_eq!(read(&log), format!("up\n{expected}"));
}

#[test]
fn half_a_line_is_seen_at_once_and_rotated_whole() {
    let folder = scratch();
    let log = file(&folder, "log");
    let script = "echo 123456; printf half; read x < fifo; echo ' and half'; echo end";
    let fifo = file(&folder, "fifo");
    Tool::named("mkfifo").arg(&fifo).run().expect_code(0);
    let tool = logged(&log, "-r never --log-size 12", script).current_dir(folder.path());
    let mut server = Running::start(tool);
    wait_until("half a line is there", || read(&log).ends_with("half"));
    std::fs::write(&fifo, "go\n").unwrap();
    assert_eq!(server.wait(), 0);
    assert_eq!(whole(&log), "123456\nhalf and half\nend\n");
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let folder = scratch();
    let log = file(&folder, "log");
    let script = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.005; done";
    let mut server = Running::start(logged(&log, "", script));
    wait_until("there are lines", || read(&log).lines().count() > 10);
    let moved = file(&folder, "moved");
    std::fs::rename(&log, &moved).unwrap();
    wait_until("there are lines again", || read(&log).lines().count() > 10);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait();
    let all = read(&moved) + &read(&log);
    for (number, line) in all.lines().enumerate() {
        assert_eq!(line, number.to_string());
    }
}

#[test]
fn a_full_disk_loses_output_and_not_the_server() {
    in_namespace!();
    let folder = scratch();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=64k", "none"];
    Tool::named("mount")
        .args(mount)
        .arg(&disk)
        .run()
        .expect_code(0);
    let log = disk.join("log");
    let script = "seq 1 100000; while :; do echo after; sleep 0.01; done";
    let mut server = Running::start(logged(&log, "-r never --log-size 0", script));
    says(
        &server,
        "the log: No space left on device, output is being lost",
    );
    // It goes on once there is room, and with whole lines.
    wait_until("it writes again", || {
        let text = read(&log);
        let writes = text.ends_with("after\n") && text.lines().count() > 10;
        if text.len() > 60_000 {
            std::fs::write(&log, "").unwrap();
        }
        writes
    });
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 15);
    for line in read(&log).lines() {
        let whole = line == "after" || line.is_empty() || line.parse::<u32>().is_ok();
        assert!(whole, "{line:?} is cut");
    }
    assert_eq!(server.output().matches("being lost").count(), 1);
    says(&server, "bytes of output were lost");
}

#[test]
fn a_disk_that_hangs_does_not_hold_the_server_up() {
    let folder = scratch();
    let log = file(&folder, "hanging");
    Tool::named("mkfifo").arg(&log).run().expect_code(0);
    // 40 MB into a FIFO that nobody reads.
    let script = "head -c 40000000 /dev/zero | tr '\\0' '\\n'; echo done > finished";
    let tool = logged(&log, "-r never", script).current_dir(folder.path());
    let ran = tool.run().expect_code(0);
    assert_eq!(read(&file(&folder, "finished")), "done\n");
    ran.expect_words("the disk is too slow, output is being lost");
}

#[test]
fn a_quick_writer_waits_for_the_disk_and_loses_nothing() {
    let folder = scratch();
    let log = file(&folder, "log");
    let script = "yes 'a line of some thirty characters' | head -2000000";
    let tool = logged(&log, "-r never --log-size 0", script);
    tool.deadline(Duration::from_secs(60))
        .run()
        .expect_stderr("");
    assert_eq!(read(&log).lines().count(), 2_000_000);
}

#[test]
fn a_log_that_cannot_be_opened_starts_nothing() {
    let folder = scratch();
    for bad in ["", "no/folder/log"] {
        let log = folder.path().join(bad);
        let ran = logged(&log, "", "echo started > witness").current_dir(folder.path());
        ran.run().expect_code(125);
    }
    assert!(!file(&folder, "witness").exists());
}

#[test]
fn a_log_that_cannot_be_rotated_or_opened_anew_is_said_and_costs_no_line() {
    let folder = scratch();
    let log = folder.path().join("sub").join("log");
    // A folder that is not empty stands where the old file would go.
    std::fs::create_dir_all(folder.path().join("sub/log.1/x")).unwrap();
    let options = "-r never --log-size 100 --log-keep 1";
    let script = "seq 1 100; echo all >&2; while :; do echo more; sleep 0.01; done";
    let mut server = Running::start(logged(&log, options, script));
    says(&server, "the log: cannot be rotated: ");
    let numbers: String = (1..=100).map(|number| format!("{number}\n")).collect();
    wait_until("all lines are there", || read(&log).contains("more"));
    assert!(
        read(&log).starts_with(&(numbers + "all\n")),
        "{}",
        read(&log)
    );
    std::fs::remove_dir_all(folder.path().join("sub")).unwrap();
    says(
        &server,
        "the log: cannot be opened anew: No such file or directory",
    );
    assert!(server.ended().is_none());
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 15);
}
