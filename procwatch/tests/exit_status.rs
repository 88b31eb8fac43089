//! COMMAND's ending is procwatch's ending.

mod common;

use common::{PROCWATCH, as_init, catchable, file, procwatch, run};
use testkit::{Tool, faults, in_namespace, needs, scratch};

/// Signals whose default action does not end a process (signal(7)).
const HARMLESS: [i32; 6] = [
    libc::SIGCONT,
    libc::SIGURG,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

fn deadly() -> Vec<i32> {
    let mut signals = catchable();
    signals.retain(|signal| !HARMLESS.contains(signal));
    signals.push(libc::SIGKILL);
    signals
}

/// A script that this signal ends (not bash: it ignores QUIT).
fn ended_by(signal: i32) -> String {
    format!("ulimit -c 0; exec sh -c 'kill -{signal} $$'")
}

#[test]
fn every_exit_code_comes_through() {
    for code in 0..=255 {
        run("-r never -q", &format!("exit {code}")).expect_code(code);
    }
}

#[test]
fn every_signal_that_ends_comes_through_as_that_signal() {
    for signal in deadly() {
        let ran = run("-r never -q", &ended_by(signal));
        assert_eq!(ran.signal(), Some(signal), "{ran:?}");
    }
}

#[test]
fn as_pid_1_every_ending_comes_through_as_a_number() {
    in_namespace!();
    for code in [0, 1, 2, 75, 125, 126, 127, 128, 255] {
        as_init("-r never -q", &format!("exit {code}"))
            .run()
            .expect_code(code);
    }
    for signal in deadly() {
        as_init("-r never -q", &ended_by(signal))
            .run()
            .expect_code(128 + signal);
    }
}

#[test]
fn success_is_not_restarted_by_default() {
    let ran = run("-b 0", "echo once");
    ran.expect_code(0).expect_stdout("once\n").expect_stderr("");
}

#[test]
fn an_exec_that_fails_at_the_first_start_returns_at_once() {
    let ran = procwatch(["-r", "always", "-b", "100", "--", "./no such file"]).run();
    ran.expect_code(127)
        .expect_stderr("procwatch: ./no such file: cannot run: not found\n");
    let ran = procwatch(["-r", "always", "-b", "100", "--", "/etc/passwd"]).run();
    ran.expect_code(126)
        .expect_stderr("procwatch: /etc/passwd: cannot run: Permission denied\n");
}

#[test]
fn an_exec_that_fails_later_counts_as_a_failed_start() {
    let folder = scratch();
    let script = common::file(&folder, "deployed");
    std::fs::write(&script, "#!/bin/sh\nrm -- \"$0\"\nexit 3\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let ran = procwatch(["-m", "2", "-b", "10ms", "--"])
        .arg(&script)
        .run();
    ran.expect_code(127)
        .expect_words("gave up after 2 restarts in a row");
}

#[test]
fn command_gets_the_streams_untouched() {
    let ran = common::around("-r never", "cat; echo error >&2")
        .stdin("a\n")
        .run();
    ran.expect_code(0)
        .expect_stdout("a\n")
        .expect_stderr("error\n");
    // A writer in a pipe that nobody reads any more ends by SIGPIPE, as without procwatch.
    let pipe = format!(
        "{} -r never -- yes | head -1; echo ${{PIPESTATUS[0]}}",
        common::PROCWATCH
    );
    let ran = testkit::Tool::named("bash").args(["-c", &pipe]).run();
    ran.expect_stdout("y\n141\n");
}

#[test]
fn wrong_usage_starts_nothing() {
    let folder = scratch();
    let witness = common::file(&folder, "started").display().to_string();
    for options in [
        "--bogus",
        "-r sometimes",
        "-m -1",
        "-m x",
        "-b 2..1",
        "-g -1",
        "-s NOSUCH",
        "--max-memory 5x",
        "--log-keep 3",
        "--health-interval 1s",
        "--events /nonexistent/events",
        "-o /nonexistent/log",
        "-o /",
        "--stable",
    ] {
        let tool = procwatch(options.split(' ')).args(["--", "touch", &witness]);
        let ran = tool.run().expect_code(125);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.starts_with("procwatch: "), "{ran:?}");
    }
    for nothing in [&[][..], &["--"], &["-q", "--"]] {
        procwatch(nothing).run().expect_code(125);
    }
    assert!(!common::file(&folder, "started").exists());
}

#[test]
fn where_it_cannot_begin_it_is_125_and_nothing_is_started() {
    in_namespace!();
    needs!("strace");
    let folder = scratch();
    // The shell's own fork is the first, that of a front the second.
    let front = format!("sleep 0.1 & exec '{PROCWATCH}' touch started");
    for (call, error, nth, script) in [
        (
            "signalfd4",
            "EMFILE",
            1,
            &format!("exec '{PROCWATCH}' touch started"),
        ),
        ("clone", "EAGAIN", 2, &front),
    ] {
        let tool = Tool::named("sh")
            .args(["-c", script])
            .current_dir(folder.path());
        let faulty = faults::run(tool, call, error, nth);
        assert!(faulty.is_struck(), "{faulty:?}");
        let ran = faulty.ran.expect_code(125);
        assert!(ran.stderr.starts_with("procwatch: "), "{ran:?}");
        assert!(!file(&folder, "started").exists(), "{ran:?}");
    }
}
