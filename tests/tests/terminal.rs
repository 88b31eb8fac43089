//! What the tools draw on a terminal: bold names, and one live line for a long wait.

use testkit::{Running, Terminal, Tool, free_port, in_namespace, process, scratch, wait_until};

const TOOLS: [&str; 5] = ["portfree", "pidlock", "treekill", "waithealth", "procwatch"];

/// Everything that the tool draws until its end.
fn drawn_by(tool: Tool) -> String {
    let mut terminal = Terminal::start(tool);
    let _ = terminal.wait();
    // What it has drawn may arrive after its end.
    terminal.wait_for("\n");
    terminal.drawn()
}

#[test]
fn a_message_begins_with_the_name_in_bold_unless_that_is_not_wanted() {
    for tool in TOOLS {
        let wrong = |variable: &str| {
            let program = testkit::bin(tool);
            let tool = Tool::named("env").arg(variable).arg(program);
            drawn_by(tool.arg("--no-such-option"))
        };
        let drawn = wrong("NO_COLOR=");
        assert!(
            drawn.starts_with(&format!("\x1b[1m{tool}:\x1b[0m ")),
            "{drawn:?}"
        );
        for variable in ["NO_COLOR=1", "TERM=dumb"] {
            let drawn = wrong(variable);
            assert!(drawn.starts_with(&format!("{tool}: ")), "{drawn:?}");
            assert!(!drawn.contains('\x1b'), "{drawn:?}");
        }
    }
}

/// The tool waits in vain for longer than a second: it draws one line about that over and over, and
/// erases it before it says or ends anything.
#[track_caller]
fn expect_live_line(tool: &str, arguments: &[&str]) {
    let mut terminal = Terminal::start(Tool::named(tool).args(arguments));
    terminal.wait_for("\x1b[K");
    let _ = terminal.wait();
    let erased = "\r\x1b[K";
    wait_until("the line is erased", || terminal.drawn().contains(erased));
    let drawn = terminal.drawn();
    let (live, rest) = drawn.split_once(erased).unwrap_or_default();
    for line in live.split_terminator("\x1b[K") {
        let text = line
            .strip_prefix('\r')
            .unwrap_or("not at the line's beginning");
        assert!(
            text.starts_with(&format!("{tool}: ")),
            "{text:?} of {drawn:?}"
        );
        assert!(text.chars().count() < 80, "{text:?} of {drawn:?}");
    }
    assert!(!rest.contains("\x1b[K"), "{drawn:?}");
}

#[test]
fn a_long_wait_shows_one_live_line_that_is_erased_at_the_end() {
    in_namespace!();
    let scratch = scratch();
    let lock = scratch.path().join("lock").to_string_lossy().into_owned();
    let port = free_port().to_string();
    let deaf = Running::start(Tool::named("hostile").args([&port[..], "deaf"]));
    wait_until("it listens", || process::accepts(&port));
    let _holder = Running::start(Tool::named("pidlock").args([&lock[..], "sleep", "1000"]));
    wait_until("the lock is held", || {
        std::fs::exists(&lock).unwrap_or(false)
    });
    expect_live_line("portfree", &["-w", "1.5", &port]);
    expect_live_line("pidlock", &["-w", "1.5", &lock, "true"]);
    expect_live_line("waithealth", &["-t", "1.5", "file:///no"]);
    expect_live_line("treekill", &["-g", "1.5", &deaf.pid().to_string()]);
}
