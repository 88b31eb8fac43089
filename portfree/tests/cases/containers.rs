//! Port forwarders of container engines.

use testkit::docker::Docker;
use testkit::{Running, in_namespace, needs, process, scratch};

use crate::server::{await_ready, can_start, pid, portfree, script, serve, tool};

/// A process with the name of Docker's forwarder.
fn forwarder() -> Running {
    serve("name(b'docker-proxy')\ns = listener(8080)")
}

#[test]
fn a_forwarder_is_refused_and_the_container_is_named() {
    needs!("python3");
    in_namespace!();
    let forwarder = forwarder();
    let folder = scratch();
    let socket = folder.path().join("engine.sock");
    let engine = format!(
        "e = socket.socket(socket.AF_UNIX)
e.bind({socket:?})
e.listen()
ready()
while True:
    c, _ = e.accept()
    assert c.recv(4096).startswith(b'GET /containers/json HTTP/1.0')
    c.send(b'HTTP/1.0 200 OK\\r\\nContent-Type: application/json\\r\\n\\r\\n'
        b'[{{\"Id\":\"aaaa\",\"Names\":[\"/db\"],\"Ports\":[{{\"PrivatePort\":5432,\"Type\":\"tcp\"}}]}},'
        b'{{\"Id\":\"bbbb\",\"Names\":[\"/web\"],\"Ports\":[{{\"PublicPort\":8080,\"Type\":\"udp\"}},'
        b'{{\"PublicPort\":8080,\"PrivatePort\":80,\"Type\":\"tcp\"}}]}}]')
    c.close()"
    );
    let _engine = await_ready(Running::start(script(&engine)));
    let host = format!("unix://{}", socket.display());
    tool(&["8080"])
        .env("DOCKER_HOST", &host)
        .run()
        .expect_code(1)
        .expect_stdout("")
        .expect_words(&format!(
            "8080/tcp: docker-proxy (PID {}) is spared",
            pid(&forwarder)
        ))
        .expect_words("of container web")
        .expect_words("docker stop web")
        .expect_words("--force");
    let list = tool(&["--list", "--json", "8080"])
        .env("DOCKER_HOST", &host)
        .run();
    assert_eq!(list.json()[0]["container"], "web");
    assert!(!process::gone(forwarder.pid()));
}

#[test]
fn an_engine_that_does_not_answer_holds_nobody_up() {
    needs!("python3");
    in_namespace!();
    let forwarder = forwarder();
    let folder = scratch();
    let socket = folder.path().join("engine.sock");
    let _mute = serve(&format!(
        "e = socket.socket(socket.AF_UNIX)\ne.bind({socket:?})\ne.listen()"
    ));
    let ran = tool(&["8080"])
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .run();
    ran.expect_code(1).expect_words("docker ps shows the name");
    portfree(&["--pids", "8080"])
        .expect_code(1)
        .expect_stdout("")
        .expect_words("docker-proxy");
    portfree(&["--list", "8080"]).expect_code(0);
    assert!(!process::gone(forwarder.pid()));
}

#[test]
fn force_takes_a_forwarder_all_the_same() {
    needs!("python3");
    in_namespace!();
    let forwarder = forwarder();
    portfree(&["--force", "8080"]).expect_code(0);
    assert!(process::gone(forwarder.pid()));
    assert!(can_start(8080));
}

#[test]
fn a_container_that_its_engine_starts_again() {
    needs!("busybox");
    in_namespace!(testkit::Namespace::new().deadline(std::time::Duration::from_secs(300)));
    let Some(docker) = Docker::start() else {
        return;
    };
    let folder = scratch();
    let busybox = testkit::needs::on_path("busybox").unwrap();
    std::fs::copy(busybox, folder.path().join("busybox")).unwrap();
    let lines = "FROM scratch\nCOPY busybox /busybox\n";
    std::fs::write(folder.path().join("Dockerfile"), lines).unwrap();
    docker.build("web", folder.path());
    docker
        .run(
            [
                "run",
                "--detach",
                "--restart=always",
                "--network=host",
                "web",
            ]
            .iter()
            .chain(&["/busybox", "httpd", "-f", "-p", "8000"]),
        )
        .expect_code(0);
    testkit::wait_until("the container listens", || process::accepts(8000));
    let id = docker.run(["ps", "--quiet"]).stdout.trim().to_owned();
    let list = portfree(&["--list", "--json", "8000"]).expect_code(0);
    assert_eq!(list.json()[0]["container"], *id);
    // As the init of its container it takes no TERM.
    portfree(&["-g0", "--settle", "20s", "8000"])
        .expect_code(1)
        .expect_words("8000/tcp: taken again by busybox")
        .expect_words(&format!(
            ", container {id}; to stop it for good: docker stop {id}\n"
        ));
    docker.run(["stop", "--time=0", &id]).expect_code(0);
    portfree(&["--check", "8000"]).expect_code(0);
}
