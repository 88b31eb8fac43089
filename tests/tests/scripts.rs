//! The scripts that people run, on good and on bad days.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::{
    Ran, Running, Service, Terminal, Tool, bin, free_port, in_namespace, needs, process, script,
    wait_until,
};

/// A service that runs the demo server with two workers.
fn demo() -> Service {
    let server = bin("demo-server");
    let service = Service::new(&[&server.to_string_lossy(), "{port}"]);
    let url = format!("http://127.0.0.1:{}/health", service.port);
    service.set("HEALTH_URL", url)
}

/// A service that runs this in a shell.
fn shell(line: &str) -> Service {
    Service::new(&["bash", "-c", line])
}

/// A process that nobody here started, on this port.
fn stranger(port: u16) -> Running {
    let stranger = Running::start(Tool::named("hostile").arg(port.to_string()));
    wait_until("the stranger listens", || process::accepts(port));
    stranger
}

/// One line of plain words, begun with the script's name.
#[track_caller]
fn expect_one_line(ran: Ran, code: i32) {
    let ran = ran.expect_code(code).expect_stdout("");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    let name = ran
        .command
        .split(".sh")
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(ran.stderr.starts_with(&format!("{name}: ")), "{ran:?}");
}

#[track_caller]
fn expect_nothing_left() {
    assert_eq!(process::others(), []);
}

#[test]
fn start_refuses_what_is_already_running_and_leaves_it_alone() {
    in_namespace!();
    let service = demo();
    let _ = service.start().expect_code(0);
    let server = service.server();
    expect_one_line(service.start(), 75);
    assert_eq!(service.starts(), [server]);
    assert!(service.healthy("/health"));
    let _ = service.stop().expect_code(0);
    expect_nothing_left();
}

#[test]
fn two_starts_at_once_start_one() {
    in_namespace!();
    let service = demo();
    let starters: Vec<Running> = (0..5)
        .map(|_| Running::start(service.with_command("start.sh")))
        .collect();
    let mut codes: Vec<i32> = starters
        .into_iter()
        .map(|mut starter| starter.wait())
        .collect();
    codes.sort_unstable();
    // The others find the lock held; who looked late enough may find the port held already.
    assert_eq!(codes[0], 0, "{codes:?}");
    assert!(
        codes[1..].iter().all(|code| [1, 75].contains(code)),
        "{codes:?}"
    );
    assert_eq!(service.starts().len(), 1);
    assert!(service.healthy("/health"));
    let _ = service.stop().expect_code(0);
    expect_nothing_left();
}

#[test]
fn start_names_the_stranger_on_the_port_and_leaves_it_alone() {
    in_namespace!();
    let service = demo();
    let mut stranger = stranger(service.port);
    let ran = service.start().expect_code(1);
    let pid = stranger.pid();
    let ran = ran
        .expect_words(&format!("held by PID {pid}"))
        .expect_words("KILL_EXISTING=true");
    assert!(
        ran.stdout.is_empty() && stranger.ended().is_none(),
        "{ran:?}"
    );
    assert!(!service.file("run/api.pid").exists());
}

#[test]
fn start_with_kill_existing_ends_the_stranger() {
    in_namespace!();
    let service = demo().set("KILL_EXISTING", "true");
    let mut stranger = stranger(service.port);
    let _ = service.start().expect_code(0);
    assert_eq!(stranger.wait(), 128 + Signal::SIGTERM as i32);
    assert!(service.healthy("/health"));
    let _ = service.stop().expect_code(0);
    expect_nothing_left();
}

#[test]
fn start_rolls_back_what_does_not_become_healthy_and_shows_its_log() {
    in_namespace!();
    let service = shell("echo last words of the server; trap '' TERM; sleep 1000 & wait")
        .set("START_TIMEOUT", "1")
        .set("GRACEFUL_TIMEOUT", "1");
    let ran = service.start().expect_code(124).expect_stdout("");
    let _ = ran
        .expect_words("last words of the server")
        .expect_words("not healthy in 1 s");
    expect_nothing_left();
    assert!(!service.file("run/api.pid").exists());
}

#[test]
fn start_gives_up_at_once_when_the_server_dies_and_shows_its_log() {
    in_namespace!();
    let service = shell("echo no such database; exit 3").set("START_TIMEOUT", "60");
    let ran = service
        .start()
        .expect_code(1)
        .expect_stdout("")
        .expect_words("no such database");
    assert!(ran.elapsed < Duration::from_secs(30), "{ran:?}");
    assert_eq!(service.starts().len(), 1);
    expect_nothing_left();
}

#[test]
fn start_shows_no_log_of_former_days() {
    in_namespace!();
    let service = shell("echo of today; exit 3");
    assert!(fs::create_dir_all(service.file("log")).is_ok());
    assert!(fs::write(service.file("log/api.log"), "of yesterday\n").is_ok());
    let ran = service.start().expect_code(1).expect_words("of today");
    assert!(!ran.stderr.contains("of yesterday"), "{ran:?}");
}

#[test]
fn start_that_is_interrupted_leaves_nothing() {
    in_namespace!();
    let service = shell("sleep 1000 & wait").set("GRACEFUL_TIMEOUT", "1");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut starting = Running::start(service.with_command("start.sh"));
        wait_until("the server runs", || !service.starts().is_empty());
        wait_until("health is waited for", || {
            process::all()
                .iter()
                .any(|seen| seen.cmdline.contains("waithealth"))
        });
        starting.signal(signal);
        assert_eq!(
            starting.wait(),
            128 + signal as i32,
            "{}",
            starting.output()
        );
        expect_nothing_left();
        assert!(fs::remove_file(service.file("log/api.events")).is_ok());
    }
}

#[test]
fn bad_settings_are_one_line_and_nothing_is_started() {
    in_namespace!();
    let service = demo();
    let url = service.file("a file");
    assert!(fs::write(&url, "").is_ok());
    let bad = [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "8000; touch /tmp/x"),
        ("NAME", "../api"),
        ("NAME", "a b"),
        ("GRACEFUL_TIMEOUT", "soon"),
        ("HEALTH_CHECK_TIMEOUT", "-1"),
        ("START_TIMEOUT", "1.5x"),
        ("KILL_EXISTING", "maybe"),
        ("WATCH_OPTIONS", "--health-cmd 'true"),
        ("PID_DIR", "/proc/no"),
        ("LOG_DIR", "a file/below"),
        ("WORK_DIR", "/no/such/folder"),
    ];
    for (key, value) in bad {
        for name in ["start.sh", "restart.sh"] {
            let ran = service
                .with_command(name)
                .env(key, value)
                .run()
                .expect_code(125);
            assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
            let named = ran.stderr.contains(key) || ran.stderr.contains(value);
            assert!(named && ran.stdout.is_empty(), "{ran:?}");
        }
        if !["PID_DIR", "LOG_DIR", "WORK_DIR"].contains(&key) {
            for name in ["stop.sh", "status.sh"] {
                expect_one_line(service.script(name).env(key, value).run(), 125);
            }
        }
    }
    for name in [
        "start.sh",
        "stop.sh",
        "restart.sh",
        "status.sh",
        "hard-shutdown.sh",
    ] {
        let _ = service.script(name).arg("--nope").run().expect_code(125);
        let ran = service
            .script(name)
            .arg("no-such.env")
            .run()
            .expect_code(125);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    let none = script("start.sh").args(["--", "true"]).run();
    expect_one_line(none, 125);
    expect_one_line(service.script("start.sh").run(), 125);
    expect_one_line(service.script("start.sh").arg("--").run(), 125);
    expect_one_line(
        service
            .script("start.sh")
            .args(["--", "no-such-server"])
            .run(),
        127,
    );
    expect_one_line(service.script("stop.sh").args(["--", "true"]).run(), 125);
    assert_eq!(service.starts(), [0; 0]);
    expect_nothing_left();
}

#[test]
fn every_script_has_help() {
    for name in [
        "start",
        "stop",
        "restart",
        "status",
        "hard-shutdown",
        "demo",
        "test",
        "build",
    ] {
        for option in ["-h", "--help"] {
            let ran = script(&format!("{name}.sh")).arg(option).run();
            let ran = ran.expect_code(0).expect_stderr("");
            assert!(ran.stdout.starts_with("usage: "), "{ran:?}");
        }
    }
}

#[test]
fn health_may_be_several_targets_with_conditions() {
    in_namespace!();
    let service = demo();
    let port = service.port;
    let urls = format!("tcp://127.0.0.1:{port} http://127.0.0.1:{port}/health");
    let service = service
        .set("HEALTH_URL", &urls)
        .set("HEALTH_OPTIONS", "--field status=ok");
    let _ = service.start().expect_code(0);
    let _ = service.stop().expect_code(0);
    let degraded = service.set("HEALTH_OPTIONS", "--field status=degraded");
    let degraded = degraded
        .set("START_TIMEOUT", "1")
        .set("HEALTH_CHECK_TIMEOUT", "1");
    let _ = degraded.start().expect_code(124);
    expect_nothing_left();
}

#[test]
fn an_option_of_the_watcher_may_have_blanks_in_it() {
    in_namespace!();
    let service = demo();
    let health = "--health-cmd 'test ! -e sick' --health-interval 50ms --health-retries 1";
    let options = format!("--stable 1ms --backoff 10ms {health}");
    let service = service.set("WATCH_OPTIONS", options);
    let _ = service.start().expect_code(0);
    assert!(fs::write(service.file("sick"), "").is_ok());
    wait_until("its bad health is seen", || {
        service.text("log/api.events").contains("unhealthy")
    });
    assert!(fs::remove_file(service.file("sick")).is_ok());
    service.wait_started_again(1, "/health");
    let _ = service.stop().expect_code(0);
}

#[test]
fn the_server_can_wait_for_what_it_depends_on() {
    in_namespace!();
    let dependency = free_port();
    let waithealth = bin("waithealth").display().to_string();
    let server = bin("demo-server").display().to_string();
    let target = format!("tcp://127.0.0.1:{dependency}");
    let service = Service::new(&[&waithealth, &target, "--", &server, "{port}"]);
    let mut starting = Running::start(service.with_command("start.sh"));
    wait_until("the dependency is waited for", || {
        !service.starts().is_empty()
    });
    assert!(starting.ended().is_none() && !service.healthy("/health"));
    let _database = stranger(dependency);
    assert_eq!(starting.wait(), 0, "{}", starting.output());
    assert!(service.healthy("/health"));
    let _ = service.stop().expect_code(0);
}

#[test]
fn a_server_that_keeps_crashing_is_started_again_and_then_given_up() {
    in_namespace!();
    // Its first run is a stable one, those after it fail at once.
    let service = shell("test -e ran || { touch ran; sleep 1; }; echo crash; exit 3")
        .set("PORT", "")
        .set(
            "WATCH_OPTIONS",
            "--stable 500ms --max-restarts 3 --backoff 10ms",
        );
    let _ = service.start().expect_code(0);
    wait_until("it is given up", || {
        service.text("log/api.events").contains("give-up")
    });
    assert_eq!(service.starts().len(), 1 + 3);
    assert_eq!(service.text("log/api.log"), "crash\n".repeat(4));
    wait_until("nothing is left", || process::others().is_empty());
    let _ = service.script("status.sh").run().expect_code(3);
}

#[test]
fn stopping_what_is_stopped_is_success() {
    in_namespace!();
    let service = demo();
    let ran = service.stop().expect_code(0);
    assert!(ran.stdout.contains("was not running"), "{ran:?}");
    let _ = service.start().expect_code(0);
    let _ = service.stop().expect_code(0);
    let _ = service.stop().expect_code(0);
}

#[test]
fn stop_finds_what_is_left_of_a_watcher_that_was_killed() {
    in_namespace!();
    let service = demo();
    let _ = service.start().expect_code(0);
    for seen in process::others() {
        if seen.cmdline.contains("procwatch") || seen.cmdline.contains("pidlock") {
            let _ = Tool::named("kill")
                .args(["-9", &seen.pid.to_string()])
                .run();
        }
    }
    let _ = service.stop().expect_code(0);
    expect_nothing_left();
    assert!(!process::accepts(service.port));
}

#[test]
fn stop_finds_by_its_environment_what_left_the_tree_and_holds_no_port() {
    in_namespace!();
    let service = shell("setsid sleep 1000 & wait").set("PORT", "");
    let _ = service.start().expect_code(0);
    let left = || {
        process::others()
            .into_iter()
            .any(|seen| seen.cmdline == "sleep 1000")
    };
    wait_until("it has left the tree", left);
    for seen in process::others() {
        if seen.cmdline != "sleep 1000" {
            let _ = Tool::named("kill")
                .args(["-9", &seen.pid.to_string()])
                .run();
        }
    }
    assert!(left());
    let _ = service.stop().expect_code(0);
    expect_nothing_left();
}

#[test]
fn stop_ends_a_server_on_the_port_that_was_started_by_hand() {
    in_namespace!();
    let service = demo();
    let mut stranger = stranger(service.port);
    let ran = service.stop().expect_code(0);
    let _ = ran.expect_words(&format!("held by PID {}", stranger.pid()));
    assert_eq!(stranger.wait(), 128 + Signal::SIGTERM as i32);
}

#[test]
fn a_server_that_does_not_listen_to_term_is_killed_after_the_grace() {
    in_namespace!();
    let hostile = bin("hostile");
    let service =
        Service::new(&[&hostile.to_string_lossy(), "{port}", "deaf"]).set("GRACEFUL_TIMEOUT", "1");
    let _ = service.start().expect_code(0);
    let ran = service.stop().expect_code(0);
    assert!(ran.elapsed >= Duration::from_secs(1), "{ran:?}");
    expect_nothing_left();
}

#[test]
fn restart_keeps_the_server_when_its_checks_fail() {
    in_namespace!();
    let service = demo();
    let _ = service.start().expect_code(0);
    let service = service.set("PRE_START", "echo the database is away >&2; false");
    let ran = service.with_command("restart.sh").run().expect_code(1);
    let _ = ran
        .expect_words("the database is away")
        .expect_words("PRE_START failed");
    assert_eq!(service.starts().len(), 1);
    assert!(service.healthy("/health"));
    let service = service.set("PRE_START", "test -d log");
    let _ = service.with_command("restart.sh").run().expect_code(0);
    assert_eq!(service.starts().len(), 2);
    let _ = service.stop().expect_code(0);
}

#[test]
fn restart_starts_what_is_not_running() {
    in_namespace!();
    let service = demo();
    let _ = service.with_command("restart.sh").run().expect_code(0);
    assert!(service.healthy("/health"));
    let _ = service.stop().expect_code(0);
}

#[test]
fn restart_leaves_a_stranger_on_the_port_alone_and_says_so() {
    in_namespace!();
    let service = demo();
    let mut stranger = stranger(service.port);
    let ran = service.with_command("restart.sh").run().expect_code(1);
    let _ = ran.expect_words(&format!("held by PID {}", stranger.pid()));
    assert!(stranger.ended().is_none());
}

#[test]
fn pre_start_that_fails_starts_nothing() {
    in_namespace!();
    let service = demo().set("PRE_START", "exit 7");
    let _ = service
        .start()
        .expect_code(1)
        .expect_words("PRE_START failed with 7");
    assert_eq!(service.starts(), [0; 0]);
    expect_nothing_left();
}

#[test]
fn status_returns_the_codes_of_init_scripts_and_a_table() {
    in_namespace!();
    let service = demo();
    let status = |code| service.script("status.sh").run().expect_code(code);
    let ran = status(3);
    assert!(ran.stdout.contains("free"), "{ran:?}");
    let _ = service.start().expect_code(0);
    let ran = status(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [heading, line] = lines[..] else {
        panic!("{ran:?}")
    };
    for word in [
        "SERVICE", "STATE", "PID", "UPTIME", "MEMORY", "PORT", "HEALTH",
    ] {
        assert!(heading.contains(word), "{ran:?}");
    }
    let holder = Tool::named("pidlock")
        .arg("--holder")
        .arg(service.file("run/api.pid"))
        .run();
    let port = service.port.to_string();
    for word in ["api", "running", holder.stdout.trim(), "M ", &port, "200"] {
        assert!(line.contains(word), "no {word:?}\n{ran:?}");
    }
    let quiet = service.script("status.sh").arg("-q").run();
    let _ = quiet.expect_code(0).expect_stdout("").expect_stderr("");
    // All that could remove the PID file dies at once.
    let pids: Vec<String> = process::others()
        .iter()
        .map(|seen| seen.pid.to_string())
        .collect();
    let _ = Tool::named("kill").arg("-9").args(pids).run();
    wait_until("all are gone", || process::others().is_empty());
    let _ = status(1);
    let _ = service.start().expect_code(0);
    let _ = status(0);
    let _ = service.stop().expect_code(0);
    let _ = status(3);
}

/// Two env files beside each other, as a project with a backend and a frontend has them.
fn two_services(service: &Service, second: &str) -> [String; 2] {
    let server = bin("demo-server");
    let server = server.display();
    let command = format!("COMMAND=('{server}' \"$PORT\")\n");
    let settings = "PID_DIR=.pids\nGRACEFUL_TIMEOUT=5\n";
    let first = format!("PORT={}\n{settings}{command}", service.port);
    let second = format!(
        "PORT={}\n{settings}{}",
        free_port(),
        second.replace("SERVER", &command)
    );
    let files = ["backend.env", "frontend.env"].map(|name| service.file(name));
    let written = fs::write(&files[0], first).and_then(|()| fs::write(&files[1], second));
    assert!(written.is_ok());
    files.map(|file| file.to_string_lossy().into_owned())
}

#[test]
fn several_services_are_started_shown_and_stopped_together() {
    in_namespace!();
    let folder = Service::new(&["true"]);
    let files = two_services(&folder, "SERVER");
    let _ = script("start.sh").args(&files).run().expect_code(0);
    let ran = script("status.sh").args(&files).run().expect_code(0);
    assert_eq!(ran.stdout.matches("running").count(), 2, "{ran:?}");
    assert_eq!(ran.stdout.matches("SERVICE").count(), 1, "{ran:?}");
    assert!(
        folder.file(".pids/backend.pid").exists() && folder.file(".pids/frontend.pid").exists()
    );
    let _ = script("start.sh").args(&files).run().expect_code(75);
    let _ = script("restart.sh").args(&files).run().expect_code(0);
    let ran = script("stop.sh").args(&files).run().expect_code(0);
    let order: Vec<&str> = ran
        .stdout
        .split_ascii_whitespace()
        .filter(|w| w.ends_with("end:"))
        .collect();
    assert_eq!(order, ["frontend:", "backend:"], "{ran:?}");
    expect_nothing_left();
}

#[test]
fn several_services_are_started_all_or_none() {
    in_namespace!();
    let folder = Service::new(&["true"]);
    let files = two_services(&folder, "START_TIMEOUT=1\nCOMMAND=(sleep 1000)\n");
    let _ = script("start.sh").args(&files).run().expect_code(124);
    expect_nothing_left();
}

#[test]
fn a_command_of_an_env_file_may_be_a_line_and_sees_its_settings() {
    in_namespace!();
    let folder = Service::new(&["true"]);
    let file = folder.file("one.env");
    let text = "GREETING='hello  there'\nLOG_DIR=log\nPID_DIR=run\nCOMMAND='echo \"$GREETING\" > said; sleep 1000'\n";
    assert!(fs::write(&file, text).is_ok());
    let _ = script("start.sh").arg(&file).run().expect_code(0);
    wait_until("it speaks", || folder.text("said") == "hello  there\n");
    let _ = script("stop.sh").arg(&file).run().expect_code(0);
    expect_nothing_left();
}

#[test]
fn the_scripts_work_from_any_folder_through_a_link_and_without_any_setting_but_the_port() {
    in_namespace!();
    let service = demo();
    let link = service.file("up");
    assert!(symlink(testkit::repository().join("scripts/start.sh"), &link).is_ok());
    let port = service.port.to_string();
    let path = service.script("start.sh").into_command();
    let path = path
        .get_envs()
        .find(|(key, _)| *key == "PATH")
        .and_then(|(_, value)| value);
    let home = service.folder.path();
    let server = bin("demo-server");
    let start = Tool::at(&link)
        .env("PATH", path.unwrap_or_default())
        .env("HOME", home)
        .env("PORT", &port)
        .current_dir("/proc")
        .arg("--");
    let _ = start.arg(&server).arg(&port).run().expect_code(0);
    assert!(
        service
            .file(format!(".local/state/servers/server-{port}.pid"))
            .exists()
    );
    let stop = script("stop.sh").env("PORT", &port).env("HOME", home);
    let _ = stop.current_dir("/").run().expect_code(0);
    expect_nothing_left();
}

#[test]
fn the_server_survives_the_terminal_it_was_started_from() {
    in_namespace!();
    let service = demo();
    let mut terminal = Terminal::start(service.with_command("start.sh"));
    terminal.wait_for("running, PID");
    assert!(terminal.wait().success());
    drop(terminal);
    assert!(service.healthy("/health"));
    let server = process::look(service.server());
    assert!(
        server.is_some_and(|seen| seen.session != 0),
        "a session of its own"
    );
    let _ = service.stop().expect_code(0);
}

#[test]
fn hard_shutdown_asks_for_a_terminal_or_for_yes() {
    in_namespace!();
    let service = demo();
    let _ = service.start().expect_code(0);
    expect_one_line(service.script("hard-shutdown.sh").run(), 125);
    assert!(service.healthy("/health"));
    let _ = service
        .script("hard-shutdown.sh")
        .arg("--yes")
        .run()
        .expect_code(0);
    expect_nothing_left();
    let _ = service
        .script("hard-shutdown.sh")
        .arg("--yes")
        .run()
        .expect_code(0);
}

#[test]
fn hard_shutdown_finds_the_service_by_lock_by_command_line_and_by_port() {
    in_namespace!();
    let service = demo().set("MATCH", "sleep 98765");
    let _ = service.start().expect_code(0);
    let mut sleeper = Running::start(Tool::named("sleep").arg("98765"));
    let ran = service
        .script("hard-shutdown.sh")
        .arg("-y")
        .run()
        .expect_code(0);
    let _ = ran.expect_words("sleep 98765");
    assert_eq!(sleeper.wait(), 128 + Signal::SIGKILL as i32);
    let mut stranger = stranger(service.port);
    let _ = service
        .script("hard-shutdown.sh")
        .arg("-y")
        .run()
        .expect_code(0);
    assert_eq!(stranger.wait(), 128 + Signal::SIGKILL as i32);
    expect_nothing_left();
}

#[test]
fn the_countdown_of_hard_shutdown_can_be_cancelled() {
    in_namespace!();
    let service = demo();
    let _ = service.start().expect_code(0);
    let mut terminal = Terminal::start(service.script("hard-shutdown.sh"));
    terminal.wait_for("Ctrl-C cancels");
    terminal.press("\x03");
    assert!(!terminal.wait().success());
    assert!(service.healthy("/health"));
    let mut terminal = Terminal::start(service.script("hard-shutdown.sh"));
    assert!(terminal.wait().success(), "{}", terminal.drawn());
    expect_nothing_left();
}

#[test]
fn the_demo_holds_what_it_shows_and_leaves_nothing() {
    in_namespace!();
    needs!("bash");
    let scratch = testkit::scratch();
    let tools = bin("portfree");
    let tools = tools
        .parent()
        .map(std::path::Path::to_owned)
        .unwrap_or_default();
    let demo = script("demo.sh")
        .env("TOOLS_DIR", tools)
        .env("TMPDIR", scratch.path());
    let ran = demo.deadline(Duration::from_secs(100)).run().expect_code(0);
    assert!(ran.stdout.contains("Every step held"), "{ran:?}");
    expect_nothing_left();
    assert_eq!(
        fs::read_dir(scratch.path())
            .map(Iterator::count)
            .unwrap_or(1),
        0
    );
}
