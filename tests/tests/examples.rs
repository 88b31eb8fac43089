//! The examples, used as they are.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use testkit::{
    Running, Service, Tool, bin, free_port, in_namespace, needs, process, repository, script,
    wait_until,
};

/// PATH with the tools in front.
fn path() -> std::ffi::OsString {
    let command = script("start.sh").into_command();
    let path = command.get_envs().find(|(key, _)| *key == "PATH");
    path.and_then(|(_, value)| value)
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_makefile_starts_shows_and_stops() {
    needs!("make");
    in_namespace!();
    let project = Service::new(&["true"]);
    let makefile = repository().join("scripts/examples/Makefile");
    assert!(fs::copy(makefile, project.file("Makefile")).is_ok());
    let port = project.port.to_string();
    let make = |target: &str| {
        Tool::named("make")
            .args(["-s", target, &format!("PORT={port}")])
            .arg(format!(
                "SCRIPTS={}",
                repository().join("scripts").display()
            ))
            .arg(format!("SERVER={} {port}", bin("demo-server").display()))
            .env("PATH", path())
            .current_dir(project.folder.path())
            .run()
    };
    let _ = make("start").expect_code(0);
    assert!(project.healthy("/health"));
    let ran = make("status").expect_code(0);
    assert!(ran.stdout.contains("running"), "{ran:?}");
    let _ = make("restart").expect_code(0);
    let _ = make("stop").expect_code(0);
    assert_eq!(process::others(), []);
    let _ = make("start").expect_code(0);
    let _ = make("free").expect_code(0);
    assert!(!process::accepts(&port));
    let _ = make("start").expect_code(0);
    let _ = make("hard-shutdown").expect_code(0);
    assert_eq!(process::others(), []);
}

/// One request over a connection of its own: whether the answer was good and whole.
fn request(port: u16) -> bool {
    let answer = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answer().is_ok_and(|answer| answer.contains(" 200 OK") && answer.ends_with("}\n"))
}

/// An nginx in this folder that hands every request to the server that `upstream` names.
fn proxy(folder: &Path, upstream: &Path, port: u16) -> Running {
    let configuration = format!(
        "daemon off; user root; pid nginx.pid; error_log stderr;
         events {{ }}
         http {{
             access_log off;
             client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
             uwsgi_temp_path uwsgi; scgi_temp_path scgi;
             upstream api {{ include '{}'; }}
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://api; }} }}
         }}",
        upstream.display()
    );
    let written = fs::write(folder.join("nginx.conf"), configuration);
    assert!(written.is_ok(), "{written:?}");
    let nginx = Tool::named("nginx").args(["-e", "stderr", "-p", ".", "-c", "nginx.conf"]);
    let nginx = Running::start(nginx.current_dir(folder));
    wait_until("the proxy listens", || process::accepts(port));
    nginx
}

#[test]
fn blue_green_replaces_the_server_without_a_failed_request() {
    needs!("nginx");
    in_namespace!();
    let server = bin("demo-server");
    let upstream = testkit::scratch();
    let upstream = upstream.path().join("upstream.conf");
    let service = Service::new(&[&server.to_string_lossy(), "@PORT@"])
        .set("UPSTREAM", &upstream)
        .set("RELOAD", "true")
        .set("DRAIN", "1")
        .set("HEALTH_PATH", "/health")
        .set("FIRST_PORT", free_port().to_string());
    let deploy = |service: &Service| service.with_command("examples/blue-green.sh").run();
    let _ = deploy(&service).expect_code(0);

    let port = free_port();
    let nginx = proxy(service.folder.path(), &upstream, port);
    // A reload is HUP to the master (nginx.org/en/docs/control.html).
    let service = service.set("RELOAD", format!("kill -HUP {}", nginx.pid()));
    let stop = Arc::new(AtomicBool::new(false));
    let (good, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let client = thread::spawn({
        let (stop, good, bad) = (stop.clone(), good.clone(), bad.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                let count = if request(port) { &good } else { &bad };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for running in ["api-green", "api-blue", "api-green"] {
        let _ = deploy(&service).expect_code(0);
        let pids = fs::read_dir(service.file("run")).map(Iterator::count);
        assert_eq!(pids.ok(), Some(1));
        assert!(service.file(format!("run/{running}.pid")).exists());
    }
    // One that never gets healthy changes nothing.
    let broken = service
        .script("examples/blue-green.sh")
        .args(["--", "false"])
        .run();
    let _ = broken.expect_code(1);
    stop.store(true, Ordering::Relaxed);
    assert!(client.join().is_ok());
    assert!(good.load(Ordering::Relaxed) > 100);
    assert_eq!(bad.load(Ordering::Relaxed), 0);
}
