//! What all five tools have in common, through all five binaries, from the same tables.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use nix::sys::signal::Signal;
use testkit::{Ran, Running, Tool, free_port, in_namespace, process, scratch, wait_until};

/// Makes a test for each tool of each check.
macro_rules! through_all_five {
    ($($check:ident,)+) => {
        through_all_five!(@tool portfree $($check)+);
        through_all_five!(@tool pidlock $($check)+);
        through_all_five!(@tool treekill $($check)+);
        through_all_five!(@tool waithealth $($check)+);
        through_all_five!(@tool procwatch $($check)+);
    };
    (@tool $tool:ident $($check:ident)+) => {
        mod $tool {
            $(#[test]
            fn $check() {
                testkit::in_namespace!();
                super::$check(stringify!($tool));
            })+
        }
    };
}

through_all_five! {
    the_short_help_fits_on_one_screen,
    the_long_help_names_every_option_the_exit_codes_and_three_examples,
    the_version_is_the_packages,
    an_unknown_option_is_wrong_usage_said_in_one_line,
    a_missing_operand_is_wrong_usage,
    durations_mean_the_same_everywhere,
    a_closed_standard_output_changes_no_verdict,
    quiet_leaves_out_records_and_words,
    int_and_term_end_any_tool_promptly_by_that_signal,
}

/// A command line of the tool that succeeds and changes nothing.
fn harmless(tool: &str) -> &'static [&'static str] {
    match tool {
        "portfree" => &["--check", "9"],
        "pidlock" => &["--status", "/"],
        "treekill" => &["-"],
        "waithealth" => &["file:///"],
        _ => &["-r", "never", "true"],
    }
}

/// Each tool's own options, as its table in the contract has them.
const OPTIONS: [(&str, &[&str]); 5] = [
    (
        "portfree",
        &[
            "-c, --check",
            "-l, --list",
            "--pids",
            "--next",
            "-w, --wait",
            "-s, --signal",
            "-g, --grace",
            "--no-kill",
            "--only-holders",
            "--established",
            "--settle",
            "-f, --force",
            "-n, --dry-run",
        ],
    ),
    (
        "pidlock",
        &[
            "-w, --wait",
            "-E, --conflict-exit-code",
            "-d, --detach",
            "-o, --log",
            "-F, --no-fork",
            "--mode",
            "--status",
            "--holder",
        ],
    ),
    (
        "treekill",
        &[
            "-p, --pidfile",
            "--name",
            "--match",
            "--env",
            "-u, --user",
            "-s, --signal",
            "-g, --grace",
            "--no-kill",
            "--leader-first",
            "--children",
            "--must-exist",
            "-n, --dry-run",
        ],
    ),
    (
        "waithealth",
        &[
            "-t, --timeout",
            "-i, --interval",
            "-a, --attempt-timeout",
            "--once",
            "--code",
            "--body",
            "--field",
            "--print",
            "-H, --header",
            "-X, --method",
            "--basic-auth",
            "-k, --insecure",
            "--cacert",
            "-L, --location",
            "-4",
            "-6",
            "--successes",
            "--any",
            "--down",
            "-P, --pid",
            "-p, --pidfile",
        ],
    ),
    (
        "procwatch",
        &[
            "-r, --restart",
            "-m, --max-restarts",
            "--stable",
            "--startup-restarts",
            "-b, --backoff",
            "--health-cmd",
            "--health-interval",
            "--health-timeout",
            "--health-start-period",
            "--health-retries",
            "--max-memory",
            "-s, --stop-signal",
            "-g, --grace",
            "--before",
            "--after",
            "-o, --log",
            "--log-size",
            "--log-keep",
            "--events",
        ],
    ),
];

/// What every tool has.
const COMMON: [&str; 5] = [
    "-h",
    "-V, --version",
    "-q, --quiet",
    "-v, --verbose",
    "--json",
];

fn the_short_help_fits_on_one_screen(tool: &str) {
    let ran = Tool::named(tool)
        .arg("-h")
        .run()
        .expect_code(0)
        .expect_stderr("");
    let lines = ran.stdout.lines().count();
    assert!((5..=50).contains(&lines), "{lines} lines\n{ran:?}");
    assert!(
        ran.stdout.lines().all(|line| line.chars().count() <= 100),
        "{ran:?}"
    );
}

fn the_long_help_names_every_option_the_exit_codes_and_three_examples(tool: &str) {
    let options = OPTIONS.iter().find(|(name, _)| *name == tool);
    let options = options.map_or(&[][..], |(_, options)| options);
    let ran = Tool::named(tool)
        .arg("--help")
        .run()
        .expect_code(0)
        .expect_stderr("");
    // However wide the columns are: `-g <DUR>, --grace <DUR>` is `-g, --grace` as well.
    for option in options.iter().chain(&COMMON) {
        for part in option.split(", ") {
            let named = ran.stdout.split([' ', ',', '=', '\n', '[', ']', '/']);
            assert!(named.clone().any(|word| word == part), "no {part}\n{ran:?}");
        }
    }
    let help = ran.stdout.to_lowercase();
    let (_, codes) = help.split_once("exit").unwrap_or_default();
    assert!(codes.contains("125"), "{ran:?}");
    let (_, examples) = help.split_once("examples").unwrap_or_default();
    let examples = examples.lines().filter(|line| line.contains(tool)).count();
    assert!(examples >= 3, "{examples} examples\n{ran:?}");
}

fn the_version_is_the_packages(tool: &str) {
    let version = env!("CARGO_PKG_VERSION");
    for option in ["-V", "--version"] {
        let ran = Tool::named(tool).arg(option).run();
        let _ = ran
            .expect_code(0)
            .expect_stdout(&format!("{tool} {version}\n"));
    }
}

/// Wrong usage: 125, nothing on standard output, one line of plain words.
#[track_caller]
fn expect_usage_error(tool: &str, ran: Ran) {
    let ran = ran.expect_code(125).expect_stdout("");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{ran:?}");
    assert!(lines[0].starts_with(&format!("{tool}: ")), "{ran:?}");
    assert!(!lines[0].contains(char::is_control), "{ran:?}");
}

fn an_unknown_option_is_wrong_usage_said_in_one_line(tool: &str) {
    for option in [
        "--no-such-option",
        "-Z",
        "--\x1b[31mred\nline",
        "--quie\tt=1",
    ] {
        let ran = Tool::named(tool).arg(option).args(harmless(tool)).run();
        expect_usage_error(tool, ran);
        let ran = Tool::named(tool)
            .args(["-q", option])
            .args(harmless(tool))
            .run();
        expect_usage_error(tool, ran);
    }
}

fn a_missing_operand_is_wrong_usage(tool: &str) {
    let lines: &[&[&str]] = match tool {
        "pidlock" => &[&[], &["file"], &["file", "--"], &["--status"]],
        "procwatch" => &[&[], &["--"], &["-r", "never"]],
        "waithealth" => &[&[], &["-t", "1"], &["--", "true"]],
        _ => &[&[], &["-g", "1"], &["--"]],
    };
    for line in lines {
        expect_usage_error(tool, Tool::named(tool).args(*line).run());
    }
}

#[test]
fn wrong_usage_touches_no_process() {
    in_namespace!();
    let port = free_port().to_string();
    let mut server = Running::start(Tool::named("hostile").arg(&port));
    wait_until("it listens", || process::accepts(&port));
    let pid = server.pid().to_string();
    let portfree = [
        vec![&port[..], "70000"],
        vec![&port, "--nope"],
        vec![&port, "-g", "x"],
    ];
    for arguments in portfree {
        expect_usage_error("portfree", Tool::named("portfree").args(arguments).run());
    }
    let treekill = [
        vec![&pid[..], "12x"],
        vec![&pid, "-s", "NOPE"],
        vec![&pid, "--match", "("],
    ];
    for arguments in treekill {
        expect_usage_error("treekill", Tool::named("treekill").args(arguments).run());
    }
    assert!(server.ended().is_none());
}

/// Each tool with an option that takes a duration, up to the value, and what makes it a whole.
fn with_duration(tool: &str, value: &str) -> Tool {
    let tool_of = Tool::named(tool);
    match tool {
        "portfree" => tool_of.arg(format!("--wait={value}")).arg("9"),
        "pidlock" => tool_of
            .arg(format!("--wait={value}"))
            .args(["/dev/shm/contract.pid", "true"]),
        "treekill" => tool_of.arg(format!("--grace={value}")).arg("-"),
        "waithealth" => tool_of.arg(format!("--timeout={value}")).arg("file:///"),
        _ => tool_of
            .arg(format!("--grace={value}"))
            .args(["-r", "never", "true"]),
    }
}

fn durations_mean_the_same_everywhere(tool: &str) {
    for good in ["5", "5s", "0.5", "500ms", "2m", "1h30m", "1d", "inf", "0"] {
        let _ = with_duration(tool, good).run().expect_code(0);
    }
    for bad in [
        "",
        "-1",
        "-5s",
        "soon",
        "5x",
        "nan",
        "99999999999999999999999d",
        "1 h",
        "0x5",
    ] {
        expect_usage_error(tool, with_duration(tool, bad).run());
    }
}

#[test]
fn signals_mean_the_same_everywhere() {
    in_namespace!();
    for (tool, rest) in [
        ("portfree", vec!["9"]),
        ("treekill", vec!["-"]),
        ("procwatch", vec!["-r", "never", "true"]),
    ] {
        let option = if tool == "procwatch" {
            "--stop-signal"
        } else {
            "--signal"
        };
        for good in ["TERM", "SIGTERM", "term", "sigterm", "15", "HUP", "9"] {
            let _ = Tool::named(tool)
                .args(["-s", good])
                .args(&rest)
                .run()
                .expect_code(0);
            let long = format!("{option}={good}");
            let _ = Tool::named(tool).arg(long).args(&rest).run().expect_code(0);
        }
        for bad in ["", "NOPE", "-1", "99", "SIG", "15x"] {
            let ran = Tool::named(tool).arg(format!("-s{bad}")).args(&rest).run();
            if !bad.is_empty() {
                expect_usage_error(tool, ran);
            }
            let ran = Tool::named(tool)
                .arg(format!("{option}={bad}"))
                .args(&rest)
                .run();
            expect_usage_error(tool, ran);
        }
    }
}

#[test]
fn options_stand_before_or_after_operands_and_take_their_value_either_way() {
    in_namespace!();
    let port = free_port().to_string();
    let forms: [&[&str]; 5] = [
        &["-v", "-w", "1s", &port],
        &[&port, "-v", "--wait", "1s"],
        &["-v", &port, "--wait=1s"],
        &["-w1s", "-v", "--", &port],
        &["-vw", "1s", &port],
    ];
    for form in forms {
        let _ = Tool::named("portfree").args(form).run().expect_code(0);
    }
    let forms: [&[&str]; 4] = [
        &["-g", "1s", "-"],
        &["-", "--grace=1s"],
        &["-", "-vg", "1"],
        &["--grace", "1s", "--", "-"],
    ];
    for form in forms {
        let _ = Tool::named("treekill").args(form).run().expect_code(0);
    }
    let forms: [&[&str]; 4] = [
        &["-t", "1s", "file:///"],
        &["file:///", "--timeout=1s"],
        &["file:///", "-qt1"],
        &["-t", "1s", "file:///", "--", "true"],
    ];
    for form in forms {
        let _ = Tool::named("waithealth").args(form).run().expect_code(0);
    }
}

#[test]
fn what_stands_after_two_dashes_is_no_option() {
    expect_usage_error("portfree", Tool::named("portfree").args(["--", "-c"]).run());
    expect_usage_error("treekill", Tool::named("treekill").args(["--", "-n"]).run());
    expect_usage_error(
        "waithealth",
        Tool::named("waithealth").args(["--", "--once"]).run(),
    );
}

#[test]
fn wrappers_leave_the_commands_options_alone() {
    in_namespace!();
    let scratch = scratch();
    let file = scratch.path().join("lock");
    let words = ["echo", "-V", "--json", "--", "-q", "a=b"];
    let ran = Tool::named("pidlock").arg(&file).args(words).run();
    let _ = ran.expect_code(0).expect_stdout("-V --json -- -q a=b\n");
    let ran = Tool::named("pidlock")
        .arg(&file)
        .arg("--")
        .args(words)
        .run();
    let _ = ran.expect_code(0).expect_stdout("-V --json -- -q a=b\n");
    let ran = Tool::named("procwatch")
        .args(["-r", "never"])
        .args(words)
        .run();
    let _ = ran.expect_code(0).expect_stdout("-V --json -- -q a=b\n");
    let ran = Tool::named("waithealth")
        .args(["file:///", "--"])
        .args(words)
        .run();
    let _ = ran.expect_code(0).expect_stdout("-V --json -- -q a=b\n");
}

/// Runs the tool in a shell whose redirection decides where its standard output goes.
fn shell(script: &str, tool: Tool) -> Ran {
    let command = tool.into_command();
    let script = format!("\"$@\" {script}");
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    Tool::named("bash")
        .args(["-o", "pipefail", "-c", &script, "bash"])
        .args(words)
        .run()
}

fn a_closed_standard_output_changes_no_verdict(tool: &str) {
    let port = free_port().to_string();
    let _server = Running::start(Tool::named("hostile").arg(&port));
    wait_until("it listens", || process::accepts(&port));
    let (arguments, code): (&[&str], i32) = match tool {
        "portfree" => (&["--list", &port], 0),
        "treekill" => (&["--dry-run", "--name", "hostile"], 0),
        "pidlock" => (&["--status", "/dev/shm/no-such-file"], 3),
        "waithealth" => (&["--once", "file:///", "file:///no"], 1),
        _ => (&["-r", "never", "sh", "-c", "exit 3"], 3),
    };
    // A reader that is gone, one that goes after a line, no descriptor at all.
    for closed in ["| true", "| head -1", ">&-", ">&- 2>&-"] {
        let ran = shell(closed, Tool::named(tool).args(arguments)).expect_code(code);
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    }
    // A full disk may be a failure; a panic or a signal it is not.
    for line in [arguments, &["--help"], &["--version"]] {
        for closed in ["| true", ">&-", ">/dev/full"] {
            let ran = shell(closed, Tool::named(tool).args(line));
            let plain = ran.code().is_some_and(|code| code < 126 && code != 101);
            assert!(plain && !ran.stderr.contains("panicked"), "{ran:?}");
        }
    }
}

#[test]
fn a_killer_with_a_closed_output_finishes_what_it_was_doing() {
    in_namespace!();
    for closed in [">&-", "| true", ">/dev/full", ">&- 2>&-"] {
        let port = free_port().to_string();
        let server = Running::start(Tool::named("hostile").args([&port[..], "deaf"]));
        wait_until("it listens", || process::accepts(&port));
        let tool = Tool::named("portfree").args(["-g", "0.1", &port]);
        let ran = shell(closed, tool);
        assert!(process::gone(server.pid()), "{ran:?}");
        let deaf = Running::start(Tool::named("hostile").args(["0", "deaf"]));
        let pid = deaf.pid().to_string();
        let ran = shell(closed, Tool::named("treekill").args(["-g", "0.1", &pid]));
        assert!(process::gone(deaf.pid()), "{ran:?}");
    }
}

fn quiet_leaves_out_records_and_words(tool: &str) {
    let port = free_port().to_string();
    let held = free_port().to_string();
    let _server = Running::start(Tool::named("hostile").arg(&held));
    wait_until("it listens", || process::accepts(&held));
    let lines: &[(&[&str], i32)] = match tool {
        "portfree" => &[
            (&["-q", &port], 0),
            (&["-q", "-c", &held], 1),
            (&[&held, "--quiet", "-w", "0.1"], 124),
            (&["-q", &held], 0),
        ],
        "treekill" => &[
            (&["-q", "--must-exist", "--name", "no-such-name"], 1),
            (&["--name", "hostile", "--quiet"], 0),
        ],
        "pidlock" => &[
            (&["-q", "--status", "/dev/shm/no-such-file"], 3),
            (&["-q", "--holder", "/dev/shm/no-such-file"], 1),
        ],
        "waithealth" => &[
            (&["-q", "-t", "0.1", "file:///no"], 124),
            (&["--once", "file:///no", "--quiet"], 1),
            (&["-q", "file:///"], 0),
        ],
        _ => &[
            (&["-q", "-r", "never", "false"], 1),
            (&["-q", "-m", "1", "-b", "0", "false"], 1),
        ],
    };
    for (line, code) in lines {
        let ran = Tool::named(tool).args(*line).run();
        let _ = ran.expect_code(*code).expect_stdout("").expect_stderr("");
    }
}

/// The keys of an object, sorted.
fn keys(value: &serde_json::Value) -> Vec<&str> {
    let object = value.as_object();
    let mut keys: Vec<&str> = object
        .into_iter()
        .flat_map(|o| o.keys())
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// The same words, sorted.
fn sorted(words: &str) -> Vec<&str> {
    let mut words: Vec<&str> = words.split(' ').collect();
    words.sort_unstable();
    words
}

#[test]
fn json_has_the_keys_of_the_contract() {
    in_namespace!();
    let scratch = scratch();
    let lock = scratch.path().join("lock");
    let port = free_port().to_string();
    let server = Running::start(Tool::named("hostile").arg(&port));
    wait_until("it listens", || process::accepts(&port));
    let pid = server.pid().to_string();
    let holder = "proto address port state pid user name cmdline unit container started";
    let ended = "pid ppid outcome signal elapsed_ms name cmdline";
    let cases: [(&str, Vec<&str>, i32, &str); 4] = [
        ("portfree", vec!["--json", "-l", &port], 0, holder),
        ("portfree", vec!["--json", "-n", &port], 0, holder),
        (
            "waithealth",
            vec!["--json", "--once", "file:///"],
            0,
            "target healthy elapsed_ms attempts status detail",
        ),
        ("treekill", vec!["--json", &pid], 0, ended),
    ];
    for (tool, arguments, code, expected) in cases {
        let ran = Tool::named(tool).args(&arguments).run().expect_code(code);
        let records = ran.json();
        assert_eq!(records.len(), 1, "{ran:?}");
        assert_eq!(keys(&records[0]), sorted(expected), "{ran:?}");
    }
    let ran = Tool::named("pidlock")
        .args(["--json", "--status"])
        .arg(&lock)
        .run()
        .expect_code(3);
    assert_eq!(
        keys(&ran.json()[0]),
        sorted("state pid user started name cmdline"),
        "{ran:?}"
    );
}

/// Words that would forge a record, move a cursor, and are not text at all.
fn hostile_words() -> OsString {
    OsString::from_vec(b"a\tb\n999\tkill\x1b[2J\\\xff\r\xc2\x9b31m".to_vec())
}

/// No line of either stream has more fields than `fields`, nor any control character.
#[track_caller]
fn expect_clean(ran: &Ran, lines: usize, fields: usize) {
    assert_eq!(ran.stdout.lines().count(), lines, "{ran:?}");
    for record in ran.records() {
        assert_eq!(record.len(), fields, "{ran:?}");
    }
    let control = |c: char| c.is_control() && c != '\t' && c != '\n';
    assert!(
        !ran.stdout.contains(control) && !ran.stderr.contains(control),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("a\\tb\\n999\\tkill\\x1b[2J\\\\\\xff"),
        "{ran:?}"
    );
}

#[test]
fn a_process_with_a_hostile_name_forges_nothing() {
    in_namespace!();
    let scratch = scratch();
    let lock = scratch.path().join("lock");
    let port = free_port().to_string();
    let tool = Tool::named("hostile").arg(&port).arg(hostile_words());
    let server = Running::start(
        Tool::named("pidlock")
            .arg("-F")
            .arg(&lock)
            .args(words_of(tool)),
    );
    wait_until("it listens", || process::accepts(&port));
    let pid = server.pid().to_string();
    let named = |tool: &str, words: &[&str]| Tool::named(tool).args(words).run().expect_code(0);
    expect_clean(&named("portfree", &["--list", &port]), 1, 7);
    expect_clean(&named("portfree", &["-v", "--dry-run", &port]), 1, 7);
    expect_clean(&named("treekill", &["-v", "--dry-run", &pid]), 1, 5);
    let status = Tool::named("pidlock")
        .arg("--status")
        .arg(&lock)
        .run()
        .expect_code(0);
    expect_clean(&status, 1, 6);
    let ran = named("portfree", &["--json", "--list", &port]);
    assert!(
        ran.json()[0]["user"].is_string(),
        "a name hides the user\n{ran:?}"
    );
    let command = ran.json()[0]["cmdline"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(command.contains("kill"), "{ran:?}");
    expect_clean(&named("portfree", &["-v", &port]), 1, 4);
}

fn words_of(tool: Tool) -> Vec<OsString> {
    let command = tool.into_command();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsString::from).collect()
}

#[test]
fn a_commands_exit_code_is_handed_on() {
    in_namespace!();
    let scratch = scratch();
    let lock = scratch.path().join("lock").into_os_string();
    let wrappers: [(&str, Vec<OsString>); 4] = [
        ("pidlock", vec![lock.clone(), "--".into()]),
        ("pidlock", vec!["-F".into(), lock, "--".into()]),
        ("waithealth", vec!["file:///".into(), "--".into()]),
        ("procwatch", vec!["-r".into(), "never".into(), "--".into()]),
    ];
    for (tool, wrapper) in &wrappers {
        let run = |words: &[&str]| Tool::named(tool).args(wrapper).args(words).run();
        for code in [0, 1, 2, 75, 77, 124, 125, 126, 127, 130, 255] {
            let ran = run(&["sh", "-c", &format!("exit {code}")]);
            assert_eq!(ran.code(), Some(code), "{ran:?}");
        }
        for signal in [1, 2, 6, 9, 10, 13, 15] {
            let ran = run(&["sh", "-c", &format!("kill -{signal} $$")]);
            assert_eq!(ran.signal(), Some(signal), "{ran:?}");
        }
        let _ = run(&["/no/such/command"]).expect_code(127);
        let _ = run(&["no-such-command"]).expect_code(127);
        let _ = run(&["/etc/passwd"]).expect_code(126);
    }
}

fn int_and_term_end_any_tool_promptly_by_that_signal(tool: &str) {
    let scratch = scratch();
    let lock = scratch.path().join("lock").to_string_lossy().into_owned();
    let port = free_port().to_string();
    let server = Running::start(Tool::named("hostile").args([&port[..], "deaf"]));
    wait_until("it listens", || process::accepts(&port));
    let pid = server.pid().to_string();
    let _holder = (tool == "pidlock").then(|| {
        let holder = Running::start(Tool::named(tool).args([&lock[..], "sleep", "1000"]));
        wait_until("the lock is held", || {
            std::fs::exists(&lock).unwrap_or(false)
        });
        holder
    });
    let lines: &[&[&str]] = match tool {
        "portfree" => &[&["-w", "inf", &port], &["-g", "inf", &port]],
        "treekill" => &[&["-g", "inf", &pid]],
        "pidlock" => &[&["-w", "inf", &lock, "true"]],
        "waithealth" => &[&["-t", "inf", "file:///no"]],
        _ => &[&["sleep", "1000"]],
    };
    for line in lines {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            // procwatch stops its command by TERM, and ends as that did.
            let by = if tool == "procwatch" {
                Signal::SIGTERM
            } else {
                signal
            };
            let mut running = Running::start(Tool::named(tool).args(*line));
            wait_until("it is the tool, and waits", || {
                process::look(running.pid())
                    .is_some_and(|seen| seen.state == 'S' && seen.cmdline.contains(tool))
            });
            running.signal(signal);
            assert_eq!(
                running.wait(),
                128 + by as i32,
                "{signal}: {}",
                running.output()
            );
        }
    }
}
