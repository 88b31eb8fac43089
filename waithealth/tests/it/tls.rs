//! TLS against `openssl s_server`.
#![cfg(feature = "tls")]

use std::path::{Path, PathBuf};

use testkit::{Running, Tool, free_port, in_namespace, needs, scratch, wait_until};

use crate::kit::{detail, waithealth};

fn openssl(folder: &Path, line: &str) {
    let words = line.split(' ').filter(|word| !word.is_empty());
    Tool::named("openssl")
        .args(words)
        .current_dir(folder)
        .run()
        .expect_code(0);
}

/// An HTTPS server with `cert.pem` and `key.pem` of this folder.
fn serve(folder: &Path) -> (Running, String) {
    serve_on(folder, free_port(), &[])
}

/// The same on this port and with more options.
fn serve_on(folder: &Path, port: u16, more: &[&str]) -> (Running, String) {
    let options = [
        "s_server", "-quiet", "-www", "-cert", "cert.pem", "-key", "key.pem", "-accept",
    ];
    let server = Tool::named("openssl")
        .args(options)
        .arg(port.to_string())
        .args(more)
        .current_dir(folder);
    let running = Running::start(server);
    wait_until("s_server listens", || testkit::process::accepts(port));
    (running, format!("https://localhost:{port}/"))
}

fn with_cacert(folder: &Path, name: &str, url: &str) -> testkit::Ran {
    let file: PathBuf = folder.join(name);
    waithealth(["--once", url, "--cacert", file.to_str().unwrap()]).run()
}

const SELF_SIGNED: &str = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost";

#[test]
fn what_openssl_req_x509_makes_is_trusted_by_cacert_alone() {
    needs!("openssl");
    let folder = scratch();
    openssl(folder.path(), &format!("{SELF_SIGNED} -days 2"));
    let (_server, url) = serve(folder.path());
    assert_eq!(detail(["--once", &url]), "certificate: self-signed");
    with_cacert(folder.path(), "cert.pem", &url).expect_code(0);
    waithealth(["--once", "-k", &url]).run().expect_code(0);
    let by_address = url.replace("localhost", "127.0.0.1");
    let ran = with_cacert(folder.path(), "cert.pem", &by_address).expect_code(1);
    assert_eq!(ran.records()[0][4], "certificate: not valid for 127.0.0.1");
    // Another certificate with the same name does not make it good.
    let other = scratch();
    openssl(other.path(), &format!("{SELF_SIGNED} -days 2"));
    with_cacert(other.path(), "cert.pem", &url).expect_code(1);
}

#[test]
fn an_expired_certificate_says_so_even_when_it_is_the_one_given() {
    needs!("openssl");
    let folder = scratch();
    openssl(
        folder.path(),
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 9",
    );
    openssl(
        folder.path(),
        "req -newkey rsa:2048 -nodes -keyout key.pem -out cert.csr -subj /CN=localhost",
    );
    std::fs::write(folder.path().join("ext"), "subjectAltName=DNS:localhost\n").unwrap();
    // Valid until the second it was signed in.
    openssl(
        folder.path(),
        "x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days -1 -extfile ext -out cert.pem",
    );
    let (_server, url) = serve(folder.path());
    for trusted in ["ca.pem", "cert.pem"] {
        let ran = with_cacert(folder.path(), trusted, &url).expect_code(1);
        assert_eq!(ran.records()[0][4], "certificate: expired", "{trusted}");
    }
}

#[test]
fn a_proper_authority_vouches_for_its_servers() {
    needs!("openssl");
    let folder = scratch();
    openssl(
        folder.path(),
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 9",
    );
    openssl(
        folder.path(),
        "req -newkey rsa:2048 -nodes -keyout key.pem -out cert.csr -subj /CN=localhost",
    );
    std::fs::write(
        folder.path().join("ext"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    openssl(
        folder.path(),
        "x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile ext -out cert.pem",
    );
    let (_server, url) = serve(folder.path());
    with_cacert(folder.path(), "ca.pem", &url).expect_code(0);
    with_cacert(
        folder.path(),
        "ca.pem",
        &url.replace("localhost", "127.0.0.1"),
    )
    .expect_code(0);
    assert_eq!(detail(["--once", &url]), "certificate: unknown issuer");
    // The system's roots are where SSL_CERT_FILE says, as for OpenSSL.
    let roots = folder.path().join("ca.pem");
    waithealth(["--once", &url])
        .env("SSL_CERT_FILE", roots)
        .run()
        .expect_code(0);
}

#[test]
fn tls_and_plain_http_are_told_apart() {
    needs!("openssl");
    let folder = scratch();
    openssl(folder.path(), &format!("{SELF_SIGNED} -days 2"));
    let (_server, url) = serve(folder.path());
    waithealth(["--once", &url.replace("https", "http")])
        .run()
        .expect_code(1);
    let port = crate::kit::says("HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(
        detail(["--once", "-k", &format!("https://127.0.0.1:{port}/")]),
        "no TLS"
    );
}

#[test]
fn a_server_that_knows_tls_1_2_alone_is_judged_alike() {
    needs!("openssl");
    let (folder, other) = (scratch(), scratch());
    openssl(folder.path(), &format!("{SELF_SIGNED} -days 2"));
    openssl(other.path(), &format!("{SELF_SIGNED} -days 2"));
    let (_server, url) = serve_on(folder.path(), free_port(), &["-tls1_2"]);
    with_cacert(folder.path(), "cert.pem", &url).expect_code(0);
    waithealth(["--once", "-k", &url]).run().expect_code(0);
    with_cacert(other.path(), "cert.pem", &url).expect_code(1);
    assert_eq!(detail(["--once", &url]), "certificate: self-signed");
}

#[test]
fn where_no_port_is_said_it_is_443() {
    needs!("openssl");
    in_namespace!();
    let folder = scratch();
    openssl(folder.path(), &format!("{SELF_SIGNED} -days 2"));
    let _server = serve_on(folder.path(), 443, &[]);
    with_cacert(folder.path(), "cert.pem", "https://localhost/").expect_code(0);
}
