//! Somebody starts the holder again.

use std::time::Duration;

use testkit::{Running, in_namespace, needs, process, scratch, wait_until};

use crate::server::{await_ready, can_start, portfree, script, serve};

/// A supervisor that starts its server again after so many seconds.
fn supervisor(pause: &str, name: &str) -> Running {
    let program = crate::server::python();
    let server = "import socket, time; s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((\"\", 8000)); s.listen(); print(\"ready\", flush=True); time.sleep(1000)";
    await_ready(Running::start(script(&format!(
        "name(b'{name}')
while True:
    subprocess.call([{program:?}, '-u', '-c', '''{server}'''])
    time.sleep({pause})"
    ))))
}

/// What is said when the port is taken again by a child of this supervisor.
fn is_told(supervisor: &Running, stop: &str, name: &str) {
    let pid = supervisor.pid();
    let ran = portfree(&["8000"])
        .expect_code(1)
        .expect_words("8000/tcp: taken again by python3 (PID ")
        .expect_words(&format!(", started by {name} (PID {pid})"))
        .expect_words(&format!("; to stop it for good: {stop}"));
    assert_eq!(ran.records()[0][1], "term");
    let holder = portfree(&["--pids", "8000"]).expect_code(0);
    let named = format!("taken again by python3 (PID {})", holder.stdout.trim());
    assert!(ran.stderr.contains(&named), "{ran:?}");
}

#[test]
fn by_a_supervisor_after_50_milliseconds() {
    needs!("python3");
    in_namespace!();
    let supervisor = supervisor("0.05", "keeper");
    let stop = format!("treekill {}\n", supervisor.pid());
    is_told(&supervisor, &stop, "keeper");
}

#[test]
fn by_a_supervisor_after_a_second() {
    needs!("python3");
    in_namespace!();
    let supervisor = supervisor("1", "keeper");
    let stop = format!("treekill {}\n", supervisor.pid());
    is_told(&supervisor, &stop, "keeper");
}

#[test]
fn by_a_server_that_takes_its_time_to_start() {
    needs!("python3");
    in_namespace!();
    let program = crate::server::python();
    let server = "import socket, time; time.sleep(0.6); s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((\"\", 8000)); s.listen(); print(\"ready\", flush=True); time.sleep(1000)";
    let supervisor = await_ready(Running::start(script(&format!(
        "while True:
    subprocess.call([{program:?}, '-u', '-c', '''{server}'''])"
    ))));
    let by = format!("started by python3 (PID {})", supervisor.pid());
    portfree(&["--settle", "0.5", "8000"])
        .expect_code(1)
        .expect_words(&by);
    portfree(&["--settle", "0", "8000"]).expect_code(0);
}

#[test]
fn by_procwatch_which_has_a_command_of_its_own() {
    needs!("python3");
    in_namespace!();
    let supervisor = supervisor("0.05", "procwatch");
    let stop = format!("treekill --leader-first -g 15 {}\n", supervisor.pid());
    is_told(&supervisor, &stop, "procwatch");
}

#[test]
fn by_runsv_which_has_a_command_of_its_own() {
    needs!("python3", "runsv");
    in_namespace!();
    let folder = scratch();
    let service = folder.path().join("web");
    std::fs::create_dir(&service).unwrap();
    let run = service.join("run");
    std::fs::write(&run, "#!/bin/sh\nexec python3 -m http.server 8000\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&run, mode).unwrap();
    let _runsv = Running::start(testkit::Tool::named("runsv").arg(&service));
    wait_until("the server listens", || process::accepts(8000));
    portfree(&["--settle", "20s", "8000"])
        .expect_code(1)
        .expect_words(", started by runsv (PID ")
        .expect_words(&format!(
            "; to stop it for good: sv down {}\n",
            service.display()
        ));
}

#[test]
fn a_parent_that_does_not_start_it_again_is_waited_for_once() {
    needs!("python3");
    in_namespace!();
    let program = crate::server::python();
    let parent = serve(&format!(
        "child = subprocess.Popen([{program:?}, '-m', 'http.server', '8000'])
while socket.socket().connect_ex(('127.0.0.1', 8000)) != 0:
    time.sleep(0.01)"
    ));
    let freed = portfree(&["--settle", "0.4", "8000"]).expect_code(0);
    assert!(freed.elapsed >= Duration::from_millis(400), "{freed:?}");
    assert!(!process::gone(parent.pid()));
    assert!(can_start(8000));
}

#[test]
fn a_parent_that_ends_with_it_is_not_waited_for() {
    needs!("python3");
    in_namespace!();
    // sh waits for its one child, and ends then: nobody is left who could start it again.
    let lines = "subprocess.call(['sh', '-c', 'trap : TERM; python3 -m http.server 8000; true'])";
    let _parent = Running::start(script(lines));
    wait_until("the server listens", || process::accepts(8000));
    let freed = portfree(&["--settle", "25s", "8000"]).expect_code(0);
    assert!(freed.elapsed < Duration::from_secs(20), "{freed:?}");
}

#[test]
fn our_own_ancestors_and_pid_1_are_not_waited_for() {
    needs!("python3");
    in_namespace!();
    let _child_of_our_parent = serve("s = listener(8000)");
    let freed = portfree(&["--settle", "25s", "8000"]).expect_code(0);
    assert!(freed.elapsed < Duration::from_secs(20), "{freed:?}");
    let mut parent = await_ready(Running::start(script(
        "s = listener(8000)
if os.fork() == 0:
    os.setsid()
    ready()
    forever()
time.sleep(0.05)",
    )));
    parent.wait();
    let freed = portfree(&["--settle", "25s", "8000"]).expect_code(0);
    assert_eq!(freed.records().len(), 1);
    assert!(freed.elapsed < Duration::from_secs(20), "{freed:?}");
}

#[test]
fn a_shell_on_a_terminal_is_not_waited_for() {
    needs!("python3", "bash");
    in_namespace!();
    let shell = testkit::Tool::named("bash").arg("--norc").env("PS1", "$ ");
    let mut terminal = testkit::Terminal::start(shell);
    terminal.press("python3 -m http.server 8000\r");
    wait_until("the server listens", || process::accepts(8000));
    let freed = portfree(&["--settle", "25s", "8000"]).expect_code(0);
    assert!(freed.elapsed < Duration::from_secs(20), "{freed:?}");
}

#[test]
fn a_loop_typed_into_a_script_on_a_terminal_is_waited_for() {
    needs!("python3", "bash");
    in_namespace!();
    let line = "while true; do python3 -m http.server 8000; sleep 0.05; done";
    let shell = testkit::Tool::named("bash").args(["--norc", "-c", line]);
    let _terminal = testkit::Terminal::start(shell);
    wait_until("the server listens", || process::accepts(8000));
    portfree(&["--settle", "20s", "8000"])
        .expect_code(1)
        .expect_words(", started by bash (PID ");
}

#[test]
fn the_service_unit_is_named_with_the_command_that_stops_it() {
    needs!("python3");
    testkit::needs_root!();
    in_namespace!();
    // The group of a service, as systemd makes it.
    let folder = scratch();
    let mount = testkit::Tool::named("mount").args(["-t", "cgroup2", "none"]);
    if mount.arg(folder.path()).run().code() != Some(0) {
        return testkit::needs::skip("needs to mount the control groups");
    }
    // The groups are the whole machine's: the name must be this test's own.
    let suffix = folder.path().to_str().unwrap().rsplit(' ').next();
    let unit = format!("portfree-{}.service", suffix.unwrap());
    let group = folder.path().join(&unit);
    std::fs::create_dir(&group).unwrap();
    let supervisor = await_ready(Running::start(script(&format!(
        "open({group:?} + '/cgroup.procs', 'w').write(str(os.getpid()))
while True:
    subprocess.call([sys.executable, '-u', '-c', '''import socket, time; s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((\"\", 8000)); s.listen(); print(\"ready\", flush=True); time.sleep(1000)'''])"
    ))));
    let list = portfree(&["--list", "--json", "8000"]).run_json();
    let ran = portfree(&["8000"]);
    drop(supervisor);
    portfree(&["-g0", "8000"]);
    wait_until("the group is removed", || {
        for process in process::others() {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(process.pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        std::fs::remove_dir(&group).is_ok()
    });
    assert_eq!(list["unit"], *unit);
    ran.expect_code(1).expect_words(&format!(
        ", service {unit}; to stop it for good: systemctl stop {unit}\n"
    ));
}

/// The first record.
trait RunJson {
    fn run_json(self) -> serde_json::Value;
}

impl RunJson for testkit::Ran {
    fn run_json(self) -> serde_json::Value {
        self.json().remove(0)
    }
}
