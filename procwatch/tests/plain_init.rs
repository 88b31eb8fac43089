//! `-r never` stands where tini and dumb-init stood; as PID 1 procwatch reaps every orphan.

mod common;

use common::{PROCWATCH, as_init, catchable, listener, living, procwatch, says, send, start};
use nix::sys::signal::Signal;
use testkit::{Running, Tool, in_namespace, process, wait_until};

const SUSPENDING: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// The PID, as we see it, of the init below this unshare(1).
fn init_of(server: &Running) -> u32 {
    wait_until("unshare forks", || {
        !process::children(server.pid()).is_empty()
    });
    process::children(server.pid())[0].pid.unsigned_abs()
}

#[test]
fn every_signal_is_passed_on_as_itself() {
    let mut server = start("-r never", &listener(&catchable()));
    says(&server, "ready");
    for signal in catchable() {
        send(server.pid(), signal);
        says(&server, &format!("got {signal}\n"));
        if SUSPENDING.contains(&signal) {
            wait_until("procwatch is suspended", || state(server.pid()) == 'T');
            send(server.pid(), libc::SIGCONT);
            wait_until("procwatch goes on", || state(server.pid()) != 'T');
        }
    }
    assert!(server.ended().is_none());
    server.signal(Signal::SIGKILL);
    server.wait();
}

fn state(pid: u32) -> char {
    process::look(pid).map_or('X', |seen| seen.state)
}

#[test]
fn every_signal_is_passed_on_as_pid_1() {
    in_namespace!();
    let server = Running::start(as_init("-r never", &listener(&catchable())));
    says(&server, "ready");
    let init = init_of(&server);
    for signal in catchable() {
        send(init, signal);
        says(&server, &format!("got {signal}\n"));
    }
    assert_ne!(state(init), 'T');
}

#[test]
fn a_plain_init_does_not_escalate() {
    let mut server = start("-r never", &listener(&[10, 15]));
    says(&server, "ready");
    for times in 1..=5 {
        server.signal(Signal::SIGTERM);
        wait_until("TERM arrives", || {
            server.output().matches("got 15\n").count() == times
        });
    }
    server.signal(Signal::SIGUSR1);
    says(&server, "got 10");
    assert!(server.ended().is_none());
    server.signal(Signal::SIGKILL);
    server.wait();
}

#[test]
fn with_a_grace_of_its_own_it_does() {
    let mut server = start("-r never -g 200ms", &listener(&[15]));
    says(&server, "ready");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 9);
}

#[test]
fn tstp_suspends_command_and_procwatch() {
    in_namespace!();
    for signal in SUSPENDING {
        let server = start("-r never", "exec sleep 1234");
        let mut command = 0;
        // Not by its name alone: the last round's may still be ending.
        wait_until("it runs", || {
            let children = process::children(server.pid());
            let found = children.iter().find(|seen| seen.cmdline == "sleep 1234");
            command = found.map_or(0, |seen| seen.pid.unsigned_abs());
            command != 0
        });
        send(server.pid(), signal);
        wait_until("both are suspended", || {
            (state(command), state(server.pid())) == ('T', 'T')
        });
        send(server.pid(), libc::SIGCONT);
        wait_until("both go on", || {
            (state(command), state(server.pid())) == ('S', 'S')
        });
    }
}

#[test]
fn as_pid_1_tstp_suspends_command_alone() {
    in_namespace!();
    let mut server = Running::start(as_init("-r never", "exec sleep 1234"));
    wait_until("it runs", || living("sleep 1234").len() == 1);
    let (init, command) = (init_of(&server), living("sleep 1234")[0].pid.unsigned_abs());
    send(init, libc::SIGTSTP);
    wait_until("COMMAND is suspended", || state(command) == 'T');
    assert_eq!(state(init), 'S');
    // TERM waits in a stopped process, as under any init, until it is continued.
    send(init, libc::SIGTERM);
    send(init, libc::SIGCONT);
    assert_eq!(server.wait(), 128 + 15);
}

#[test]
fn as_pid_1_it_reaps_ten_thousand_orphans() {
    in_namespace!();
    let script = "for i in $(seq 100); do (for j in $(seq 100); do (: &) ; done); done
        for i in $(seq 500); do
            grep -l '^State:.Z' /proc/[0-9]*/status >/dev/null 2>&1 || { echo all reaped; exit 0; }
            sleep 0.02
        done
        exit 1";
    for options in ["-r never", "-r on-failure -m 1"] {
        let ran = as_init(options, script).run();
        ran.expect_code(0).expect_stdout("all reaped\n");
    }
}

#[test]
fn as_pid_1_it_leaves_alone_what_others_started() {
    in_namespace!();
    let script = "(setsid sleep 4321 &); echo run; sleep 0.2; exit 1";
    let server = Running::start(as_init("-m 0 -b 0", script));
    says(&server, "run");
    let init = init_of(&server).to_string();
    // As `docker exec` does: into the namespace from outside, and an orphan left there.
    let enter = [
        "-t",
        &init,
        "-p",
        "sh",
        "-c",
        "(setsid sleep 1234 >&- 2>&- &)",
    ];
    Tool::named("nsenter").args(enter).run().expect_code(0);
    let restarts = server.output().matches("run").count() + 3;
    wait_until("it was restarted three times", || {
        server.output().matches("run").count() >= restarts
    });
    assert_eq!(living("sleep 1234").len(), 1);
    assert!(living("sleep 4321").len() <= 1);
}

#[test]
fn as_pid_1_a_stop_is_in_order() {
    in_namespace!();
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let mut server = Running::start(as_init("-r always", script));
    says(&server, "ready");
    send(init_of(&server), libc::SIGTERM);
    assert_eq!(server.wait(), 7);
    assert_eq!(server.output(), "ready\nbye\n");
}

#[test]
fn a_job_is_suspended_as_a_whole_where_a_second_process_does_the_work() {
    in_namespace!();
    // With a child from before its exec, procwatch stands in front of another one of its own.
    let script = format!("sleep 1000 & exec '{PROCWATCH}' -r never -- sleep 1001");
    let tool = Tool::named("sh").args(["-c", &script]).process_group(0);
    let mut job = Running::start(tool);
    wait_until("COMMAND runs", || living("sleep 1001").len() == 1);
    let is_stopped = |pid: i32| process::look(pid).is_some_and(|seen| seen.state == 'T');
    let command = living("sleep 1001")[0].pid;
    let both = [i32::try_from(job.pid()).unwrap(), command];
    job.signal(Signal::SIGTSTP);
    wait_until("both are stopped", || both.into_iter().all(is_stopped));
    job.signal(Signal::SIGCONT);
    wait_until("both go on", || !both.into_iter().any(is_stopped));
    job.signal(Signal::SIGTERM);
    assert_eq!(job.wait(), 128 + 15);
}

#[test]
fn what_ends_a_program_ends_it_while_before_runs() {
    in_namespace!();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
    ] {
        let hook = [
            "-r",
            "never",
            "--before",
            "echo up; sleep 1234",
            "--",
            "true",
        ];
        let mut server = Running::start(procwatch(hook));
        says(&server, "up");
        server.signal(signal);
        assert_eq!(server.wait(), 128 + signal as i32);
        assert_eq!(process::others(), []);
    }
}
