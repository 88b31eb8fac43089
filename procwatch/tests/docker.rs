//! As PID 1 of a real container whose image holds nothing but procwatch and busybox.

#![allow(clippy::expect_used)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use testkit::docker::Docker;
use testkit::{Namespace, in_namespace, needs, scratch, wait_until};

/// The static release build: `scripts/test.sh` names its folder, else it is built.
fn static_tools() -> PathBuf {
    if let Some(folder) = std::env::var_os("TOOLS_DIR") {
        return folder.into();
    }
    let build = testkit::repository().join("scripts/build.sh");
    let built = Command::new(build).args(["-p", "procwatch"]).output();
    let built = built.expect("build.sh runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    PathBuf::from(String::from_utf8_lossy(&built.stdout).trim_end())
}

/// Runs `procwatch OPTIONS -- sh -c SCRIPT` in a container of this name.
fn run(docker: &Docker, name: &str, flags: &[&str], options: &str, script: &str) {
    let words = ["run", "--detach", "--name", name, "--network=none"];
    let words = words.iter().chain(flags).copied().chain(["image"]);
    let words = words.chain(options.split_whitespace());
    let ran = docker.run(words.chain(["--", "/bin/busybox", "sh", "-c", script]));
    assert_eq!(ran.code(), Some(0), "{ran:?}\n{}", docker.log());
}

fn says(docker: &Docker, name: &str, words: &str) {
    wait_until(&format!("{name} says {words:?}"), || {
        let ran = docker.run(["logs", name]);
        ran.stdout.contains(words) || ran.stderr.contains(words)
    });
}

fn exit_code(docker: &Docker, name: &str) -> String {
    wait_until(&format!("{name} has ended"), || {
        docker.inspect(name, "{{.State.Running}}") == "false"
    });
    docker.inspect(name, "{{.State.ExitCode}}")
}

const DOCKERFILE: &str = r#"
FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
COPY procwatch /procwatch
ENTRYPOINT ["/procwatch"]
"#;

#[test]
fn pid_1_of_a_container() {
    if std::env::var_os("TESTKIT_ROLE").is_none() {
        needs!("dockerd", "docker", "busybox");
        static_tools();
    }
    in_namespace!(Namespace::new().deadline(Duration::from_secs(300)));
    let Some(docker) = Docker::start() else {
        return;
    };
    let image = scratch();
    let busybox = testkit::needs::on_path("busybox").expect("needed above");
    fs::copy(busybox, image.path().join("busybox")).expect("copied");
    fs::copy(
        static_tools().join("procwatch"),
        image.path().join("procwatch"),
    )
    .expect("copied");
    fs::write(image.path().join("Dockerfile"), DOCKERFILE).expect("written");
    docker.build("image", image.path());

    stop_is_in_order(&docker);
    stop_ends_within_the_grace_of_docker(&docker);
    a_plain_init_is_transparent(&docker);
    what_exec_started_is_left_alone(&docker);
    want_of_memory_is_named(&docker);
}

fn stop_is_in_order(docker: &Docker) {
    let script = "trap 'echo bye; exit 3' TERM; echo up; while :; do busybox sleep 0.1; done";
    run(docker, "polite", &[], "-r always", script);
    says(docker, "polite", "up");
    docker.run(["stop", "polite"]).expect_code(0);
    says(docker, "polite", "bye");
    assert_eq!(exit_code(docker, "polite"), "3");
}

fn stop_ends_within_the_grace_of_docker(docker: &Docker) {
    let script = "trap '' TERM; (busybox setsid busybox sleep 1000 &); echo up
        while :; do busybox sleep 0.1; done";
    run(docker, "stubborn", &[], "-r always", script);
    says(docker, "stubborn", "up");
    // Docker's KILL would come after a minute: what ends it within its usual ten seconds is ours.
    let stopped = docker
        .run(["stop", "--time", "60", "stubborn"])
        .expect_code(0);
    assert!(stopped.elapsed < Duration::from_secs(20), "{stopped:?}");
    assert_eq!(exit_code(docker, "stubborn"), "137");
}

fn a_plain_init_is_transparent(docker: &Docker) {
    for (name, script, code) in [
        ("code", "exit 42", "42"),
        ("signal", "kill -SEGV $$", "139"),
    ] {
        run(docker, name, &[], "-r never", script);
        assert_eq!(exit_code(docker, name), code);
    }
    let script = "trap 'echo reloaded' HUP; trap 'exit 5' QUIT; echo up
        while :; do busybox sleep 0.05; done";
    run(docker, "init", &[], "-r never", script);
    says(docker, "init", "up");
    docker
        .run(["kill", "--signal", "HUP", "init"])
        .expect_code(0);
    says(docker, "init", "reloaded");
    docker
        .run(["kill", "--signal", "QUIT", "init"])
        .expect_code(0);
    assert_eq!(exit_code(docker, "init"), "5");
}

fn what_exec_started_is_left_alone(docker: &Docker) {
    let script = "echo run; (busybox setsid busybox sleep 4321 &); busybox sleep 0.5; exit 1";
    run(docker, "restarting", &[], "-m 0 -b 0", script);
    says(docker, "restarting", "run");
    let line = "busybox setsid busybox sleep 1234 >&- 2>&- &";
    docker
        .run(["exec", "restarting", "/bin/busybox", "sh", "-c", line])
        .expect_code(0);
    let runs = || {
        docker
            .run(["logs", "restarting"])
            .stdout
            .matches("run")
            .count()
    };
    let before = runs();
    wait_until("it was restarted", || runs() >= before + 3);
    let processes = docker.run(["top", "restarting"]).stdout;
    let count = |command: &str| {
        processes
            .lines()
            .filter(|line| line.ends_with(command))
            .count()
    };
    assert_eq!(count("  busybox sleep 1234"), 1, "{processes}");
    assert!(count("  busybox sleep 4321") <= 1, "{processes}");
    docker.run(["rm", "--force", "restarting"]).expect_code(0);
}

fn want_of_memory_is_named(docker: &Docker) {
    let script = "x=$(busybox head -c 300000000 /dev/zero | busybox tr '\\0' x); echo $?";
    let limits = ["--memory", "32m", "--memory-swap", "32m"];
    run(
        docker,
        "large",
        &limits,
        "-r never",
        &format!("exec busybox sh -c \"{script}\""),
    );
    assert_eq!(exit_code(docker, "large"), "137");
    says(docker, "large", "was ended by KILL after");
    says(docker, "large", "probably out of memory");
}
