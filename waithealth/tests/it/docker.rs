//! HEALTHCHECK in an image that holds nothing but a server and the static waithealth.

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
    let built = Command::new(build)
        .args(["-p", "waithealth"])
        .output()
        .expect("build.sh runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    PathBuf::from(String::from_utf8(built.stdout).expect("a path").trim_end())
}

/// What the server answers: nothing before /ready is there, 503 once /sick is.
const ANSWER: &str = "\
/busybox timeout 1 /busybox head -n 1 >/dev/null
test -e /ready || exit
if test -e /sick; then status='503 Service Unavailable'; else status='200 OK'; fi
printf 'HTTP/1.1 %s\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n' \"$status\"
";

const DOCKERFILE: &str = r#"
FROM scratch
COPY waithealth busybox answer /
HEALTHCHECK --interval=500ms --timeout=3s --retries=2 \
    CMD ["/waithealth", "--once", "http://localhost:8000/health"]
CMD ["/busybox", "nc", "-ll", "-p", "8000", "-e", "/busybox", "sh", "/answer"]
"#;

#[test]
fn an_empty_image_is_starting_then_healthy_then_unhealthy() {
    if std::env::var_os("TESTKIT_ROLE").is_none() {
        needs!("dockerd", "docker", "busybox");
        static_tools();
    }
    in_namespace!(Namespace::new().deadline(Duration::from_secs(300)));
    let Some(docker) = Docker::start() else {
        return;
    };
    let image = scratch();
    let copy = |from: PathBuf, to: &str| {
        fs::copy(&from, image.path().join(to)).unwrap_or_else(|error| panic!("{from:?}: {error}"));
    };
    copy(static_tools().join("waithealth"), "waithealth");
    copy(
        testkit::needs::on_path("busybox").expect("asked for"),
        "busybox",
    );
    fs::write(image.path().join("answer"), ANSWER).expect("written");
    fs::write(image.path().join("Dockerfile"), DOCKERFILE).expect("written");
    docker.build("probed", image.path());
    docker
        .run([
            "run",
            "--detach",
            "--network",
            "none",
            "--name",
            "it",
            "probed",
        ])
        .expect_code(0);
    let health = || docker.inspect("it", "{{.State.Health.Status}}");
    assert_eq!(health(), "starting", "{}", docker.log());
    docker
        .run(["exec", "it", "/busybox", "touch", "/ready"])
        .expect_code(0);
    wait_until("the container is healthy", || health() == "healthy");
    docker
        .run(["exec", "it", "/busybox", "touch", "/sick"])
        .expect_code(0);
    wait_until("the container is unhealthy", || health() == "unhealthy");
    let log = docker.inspect(
        "it",
        "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}",
    );
    assert!(
        log.contains("1 http://localhost:8000/health\tunhealthy\t"),
        "{log}"
    );
    assert!(log.contains("\t503"), "{log}");
    docker.run(["rm", "--force", "it"]).expect_code(0);
}
