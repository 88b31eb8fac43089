//! Servers that nobody here wrote, through their whole life: started, found healthy, a worker
//! killed, the server killed, restarted, stopped, the port free at once and no process left.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use testkit::{Namespace, Service, Tool, in_namespace, needs, process, repository, wait_until};

/// Long enough for a loaded machine.
fn world() -> Namespace {
    Namespace::new().deadline(Duration::from_secs(300))
}

/// A server that is killed right after its start is started again, and soon.
const QUICK: &str = "--stable 0 --backoff 100ms";

/// A copy of one of the applications in the service's folder.
fn bring(service: &Service, file: &str) {
    let from = repository().join("tests/servers").join(file);
    let copied = fs::copy(from, service.file(file));
    assert!(copied.is_ok(), "{copied:?}");
}

fn kill_9(pid: impl ToString) {
    let pid = pid.to_string();
    let _ = Tool::named("sh")
        .args(["-c", "kill -9 \"$0\"", &pid])
        .run()
        .expect_code(0);
}

/// The life that every server is led through. `path` is what its health is asked by.
fn whole_life(service: Service, path: &str) {
    let url = format!("http://127.0.0.1:{}{path}", service.port);
    let service = service.set("HEALTH_URL", url).set("WATCH_OPTIONS", QUICK);
    let _ = service.start().expect_code(0);
    assert!(service.healthy(path));

    kill_a_worker(&service, path);
    kill_the_server(&service, path);

    let first = service.server();
    let _ = service.with_command("restart.sh").run().expect_code(0);
    assert!(service.healthy(path));
    assert!(process::gone(first) && service.server() != first);

    let _ = service.stop().expect_code(0);
    expect_nothing_left(&service);
}

/// A server with workers replaces one that is killed; it does not die of it.
fn kill_a_worker(service: &Service, path: &str) {
    let workers = service.workers();
    let Some(victim) = workers.last() else { return };
    let (count, server) = (workers.len(), service.server());
    kill_9(victim.pid);
    wait_until("the worker is replaced", || {
        service.workers().len() >= count && service.workers().iter().all(|w| w.pid != victim.pid)
    });
    wait_until("it is healthy", || service.healthy(path));
    assert_eq!(service.server(), server);
}

/// A server that is killed leaves its workers and its port; procwatch clears them and starts it
/// again.
fn kill_the_server(service: &Service, path: &str) {
    let before = service.starts().len();
    let workers = service.workers();
    kill_9(service.server());
    service.wait_started_again(before, path);
    for worker in workers {
        assert!(process::gone(worker.pid), "{worker:?}");
    }
}

#[track_caller]
fn expect_nothing_left(service: &Service) {
    // As a server binds: std sets SO_REUSEADDR.
    let bound = TcpListener::bind(("127.0.0.1", service.port));
    assert!(bound.is_ok(), "{bound:?}");
    assert_eq!(process::others(), []);
    assert!(!service.file("run/api.pid").exists());
    let log = service.text("log/api.log").to_lowercase();
    assert!(
        !log.contains("address already in use") && !log.contains("eaddrinuse"),
        "{log}"
    );
}

#[test]
fn uvicorn_with_four_workers() {
    needs!("uvicorn");
    in_namespace!(world());
    let service = Service::new(&["uvicorn", "app:app", "--port", "{port}", "--workers", "4"]);
    bring(&service, "app.py");
    whole_life(service, "/health");
}

#[test]
fn uvicorn_that_reloads() {
    needs!("uvicorn");
    in_namespace!(world());
    let service = Service::new(&["uvicorn", "app:app", "--port", "{port}", "--reload"])
        .set("WATCH_OPTIONS", QUICK);
    bring(&service, "app.py");
    let _ = service.start().expect_code(0);
    // A change of the source: the reloader ends its worker and starts another.
    let old = service.workers();
    // uvicorn answers before it looks at its files for the first time: what is written until then
    // is no change to it.
    let changed = service.text("app.py").replace("\"ok\"", "\"changed\"");
    let url = format!("http://127.0.0.1:{}/health", service.port);
    wait_until("the change is served", || {
        let written = fs::write(service.file("app.py"), &changed);
        assert!(written.is_ok(), "{written:?}");
        let served = Tool::named("waithealth").args(["-t", "5", "--field", "status=changed"]);
        served.arg(&url).run().code() == Some(0)
    });
    assert!(
        old.iter().all(|worker| process::gone(worker.pid)),
        "{old:?}"
    );
    kill_the_server(&service, "/health");
    let _ = service.with_command("restart.sh").run().expect_code(0);
    assert!(service.healthy("/health"));
    let _ = service.stop().expect_code(0);
    expect_nothing_left(&service);
}

#[test]
fn gunicorn() {
    needs!("gunicorn");
    in_namespace!(world());
    let command = [
        "gunicorn",
        "--bind",
        "127.0.0.1:{port}",
        "--workers",
        "3",
        "app:wsgi",
    ];
    let service = Service::new(&command);
    bring(&service, "app.py");
    whole_life(service, "/");
}

#[test]
fn gunicorn_with_uvicorn_workers() {
    needs!("gunicorn", "uvicorn");
    in_namespace!(world());
    let service = Service::new(&[
        "gunicorn",
        "--bind=127.0.0.1:{port}",
        "--workers=2",
        "--worker-class=uvicorn.workers.UvicornWorker",
        "app:app",
    ]);
    bring(&service, "app.py");
    whole_life(service, "/health");
}

#[test]
fn node_with_a_cluster() {
    needs!("node");
    in_namespace!(world());
    let service = Service::new(&["node", "server.js", "{port}"]);
    bring(&service, "server.js");
    whole_life(service, "/");
}

#[test]
fn pythons_http_server() {
    needs!("python3");
    in_namespace!(world());
    let command = [
        "python3",
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        "{port}",
    ];
    whole_life(Service::new(&command), "/");
}

#[test]
fn nginx() {
    needs!("nginx");
    in_namespace!(world());
    let service = Service::new(&["nginx", "-e", "stderr", "-p", ".", "-c", "nginx.conf"]);
    let port = service.port;
    let configuration = format!(
        "daemon off; user root; worker_processes 2; pid nginx.pid; error_log stderr;
         events {{ }}
         http {{
             access_log off;
             client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
             uwsgi_temp_path uwsgi; scgi_temp_path scgi;
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }}
         }}"
    );
    assert!(fs::write(service.file("nginx.conf"), configuration).is_ok());
    whole_life(service, "/");
}

#[test]
fn our_own_demo_server() {
    in_namespace!(world());
    let server = testkit::bin("demo-server");
    let service = Service::new(&[&server.to_string_lossy(), "{port}", "4"]);
    whole_life(service, "/health");
}

#[test]
fn ten_rounds_of_uvicorn_with_four_workers_never_find_the_address_in_use() {
    needs!("uvicorn");
    in_namespace!(world());
    let service = Service::new(&["uvicorn", "app:app", "--port", "{port}", "--workers", "4"]);
    bring(&service, "app.py");
    let url = format!("http://127.0.0.1:{}/health", service.port);
    let service = service.set("HEALTH_URL", url);
    for _ in 0..10 {
        let _ = service.start().expect_code(0);
        let _ = service.stop().expect_code(0);
        expect_nothing_left(&service);
    }
}
