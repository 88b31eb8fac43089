//! The real servers, as Debian packages them, in every state that a client meets.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::{Namespace, Running, Tool, in_namespace, needs, needs_root, scratch, wait_until};

use crate::kit::{detail, server, waithealth};

/// A world of its own, with time for a database to be made.
fn roomy() -> Namespace {
    Namespace::new().deadline(Duration::from_secs(300))
}

/// A stopped server answers nobody, and is healthy again once it goes on.
fn stopped_and_continued(server: &Running, target: &str) {
    server.signal(Signal::SIGSTOP);
    let ran = waithealth(["--once", "-a", "0.5", target])
        .run()
        .expect_code(1);
    assert!(
        ran.records()[0][4].starts_with("no answer in 0.5"),
        "{}",
        ran.stdout
    );
    server.signal(Signal::SIGCONT);
    waithealth([target]).run().expect_code(0);
}

fn redis(folder: &Path, options: &[&str]) -> Running {
    let tool = Tool::named("redis-server").args(["--port", "7001", "--bind", "127.0.0.1"]);
    Running::start(tool.args(options).current_dir(folder))
}

const REDIS: &str = "redis://127.0.0.1:7001";

#[test]
fn redis_up_and_stopped() {
    needs!("redis-server");
    in_namespace!(roomy());
    let folder = scratch();
    assert_eq!(detail(["--once", REDIS]), "refused");
    let server = redis(folder.path(), &["--save", ""]);
    waithealth([REDIS]).run().expect_code(0);
    assert_eq!(detail(["--once", REDIS]), "PONG");
    stopped_and_continued(&server, REDIS);
}

#[test]
fn redis_that_wants_a_password_is_healthy() {
    needs!("redis-server");
    in_namespace!(roomy());
    let folder = scratch();
    let _server = redis(folder.path(), &["--save", "", "--requirepass", "secret"]);
    waithealth([REDIS]).run().expect_code(0);
    assert_eq!(detail(["--once", REDIS]), "asks for a login");
}

#[test]
fn redis_that_reads_its_data_or_misses_its_master_is_not_healthy() {
    needs!("redis-server", "redis-cli");
    in_namespace!(roomy());
    let folder = scratch();
    let cli = |words: &[&str]| {
        Tool::named("redis-cli")
            .args(["-p", "7001"])
            .args(words)
            .run()
    };
    {
        let mut server = redis(
            folder.path(),
            &["--save", "", "--enable-debug-command", "yes"],
        );
        waithealth([REDIS]).run().expect_code(0);
        cli(&["debug", "populate", "200000"]).expect_code(0);
        cli(&["shutdown", "save"]).expect_code(0);
        server.wait();
    }
    // A millisecond for every key: it loads for minutes, and answers meanwhile.
    let server = redis(
        folder.path(),
        &[
            "--key-load-delay",
            "1000",
            "--loading-process-events-interval-bytes",
            "1024",
        ],
    );
    let detail_now = || detail(["--once", REDIS]);
    wait_until("it says that it is loading", || {
        detail_now().starts_with("LOADING")
    });
    waithealth(["--once", REDIS]).run().expect_code(1);
    drop(server);
    let options = [
        "--save",
        "",
        "--dbfilename",
        "none",
        "--replicaof",
        "127.0.0.1",
        "1",
        "--replica-serve-stale-data",
        "no",
    ];
    let _replica = redis(folder.path(), &options);
    wait_until("it misses its master", || {
        detail_now().starts_with("MASTERDOWN")
    });
}

/// The folder of initdb and postgres.
fn postgres_bin() -> Option<PathBuf> {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .collect();
    versions.sort_by_key(fs::DirEntry::file_name);
    Some(versions.pop()?.path().join("bin"))
}

/// Runs a program of PostgreSQL as its user: it refuses to be root.
fn as_postgres(program: &Path) -> Tool {
    Tool::named("setpriv")
        .args([
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--clear-groups",
            "--",
        ])
        .arg(program)
}

const POSTGRES: &str = "postgres://127.0.0.1:7002";

#[test]
fn postgresql_up_recovering_wanting_a_password_and_stopped() {
    needs!("setpriv");
    needs_root!();
    let Some(bin) = postgres_bin() else {
        testkit::needs::skip("needs postgresql");
        return;
    };
    in_namespace!(roomy());
    let folder = scratch();
    let owner = nix::unistd::User::from_name("postgres")
        .unwrap()
        .expect("the package's user");
    nix::unistd::chown(folder.path(), Some(owner.uid), Some(owner.gid)).unwrap();
    let data = folder.path().join("data");
    let made = as_postgres(&bin.join("initdb"))
        .args(["--auth", "scram-sha-256", "--no-sync", "-D"])
        .arg(&data);
    let password = folder.path().join("password");
    fs::write(&password, "secret\n").unwrap();
    nix::unistd::chown(&password, Some(owner.uid), Some(owner.gid)).unwrap();
    made.arg("--pwfile")
        .arg(&password)
        .deadline(Duration::from_secs(120))
        .run()
        .expect_code(0);
    let start = || {
        let server = as_postgres(&bin.join("postgres")).arg("-D").arg(&data);
        Running::start(server.args([
            "-p",
            "7002",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ]))
    };
    assert_eq!(detail(["--once", POSTGRES]), "refused");
    let mut server = start();
    waithealth([POSTGRES]).run().expect_code(0);
    assert_eq!(detail(["--once", POSTGRES]), "asks for a login");
    stopped_and_continued(&server, POSTGRES);
    server.signal(Signal::SIGINT);
    server.wait();
    // No password wanted: it refuses a user that does not exist, and takes clients.
    let hba = data.join("pg_hba.conf");
    fs::write(&hba, "host all all 127.0.0.1/32 trust\n").unwrap();
    let mut server = start();
    waithealth([POSTGRES]).run().expect_code(0);
    let said = detail(["--once", POSTGRES]);
    assert!(
        said.starts_with("refuses our login: role \"waithealth\" does not exist"),
        "{said}"
    );
    server.signal(Signal::SIGINT);
    server.wait();
    // Recovering: a standby that is not hot says of itself that it is not to be connected to.
    fs::write(data.join("standby.signal"), "").unwrap();
    let mut settings = fs::read_to_string(data.join("postgresql.conf")).unwrap();
    settings.push_str("\nhot_standby = off\nrestore_command = 'false'\n");
    fs::write(data.join("postgresql.conf"), settings).unwrap();
    let mut server = start();
    let recovering = || detail(["--once", POSTGRES]);
    wait_until("it says that it recovers", || {
        recovering().starts_with("the database system is ")
    });
    waithealth(["--once", POSTGRES]).run().expect_code(1);
    server.signal(Signal::SIGQUIT);
    server.wait();
}

#[test]
fn mariadb_up_stopped_and_with_every_greeting_answered() {
    needs!("mariadbd", "mariadb-install-db", "mariadb");
    needs_root!();
    in_namespace!(roomy());
    // Not the usual scratch folder: mariadb-install-db breaks at the space in its name.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let owner = nix::unistd::User::from_name("mysql")
        .unwrap()
        .expect("the package's user");
    nix::unistd::chown(folder.path(), Some(owner.uid), Some(owner.gid)).unwrap();
    Tool::named("mariadb-install-db")
        .args([
            "--no-defaults",
            "--user=mysql",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ])
        .arg(format!("--datadir={}", data.display()))
        .deadline(Duration::from_secs(120))
        .run()
        .expect_code(0);
    let server = Tool::named("mariadbd")
        .args([
            "--no-defaults",
            "--user=mysql",
            "--port=7003",
            "--bind-address=127.0.0.1",
            "--skip-log-bin",
        ])
        .arg("--innodb-buffer-pool-size=16M")
        .arg(format!("--datadir={}", data.display()))
        .arg(format!(
            "--socket={}",
            folder.path().join("socket").display()
        ))
        .arg(format!(
            "--pid-file={}",
            folder.path().join("pid").display()
        ));
    let server = Running::start(server);
    let target = "mysql://127.0.0.1:7003";
    waithealth(["-t", "60", target])
        .deadline(Duration::from_secs(90))
        .run()
        .expect_code(0);
    assert_eq!(detail(["--once", target]), "refuses our login");
    stopped_and_continued(&server, target);
    // What a server counts until it blocks a host: clients that leave before they have said who
    // they are.
    let socket = folder.path().join("socket");
    let dropped = || -> u32 {
        let query = "SHOW GLOBAL STATUS LIKE 'Aborted_connects_preauth'";
        let client =
            Tool::named("mariadb").args(["--no-defaults", "-u", "root", "-N", "-e", query]);
        let ran = client.arg("-S").arg(&socket).run().expect_code(0);
        ran.stdout
            .split('\t')
            .nth(1)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let before = dropped();
    for _ in 0..10 {
        waithealth(["--once", target]).run().expect_code(0);
    }
    assert_eq!(dropped(), before);
    waithealth(["--once", "tcp://127.0.0.1:7003"])
        .run()
        .expect_code(0);
    wait_until("a greeting that is not answered is counted", || {
        dropped() > before
    });
}

/// Answers of a MongoDB, written by an implementation that is not ours: PyPI's pymongo.
const MONGOD: &str = r#"
import json, socket, struct, sys
import bson
reply = json.loads(sys.argv[2])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    peer, _ = listener.accept()
    with peer:
        while True:
            head = peer.recv(16, socket.MSG_WAITALL)
            if len(head) < 16:
                break
            length, request, to, opcode = struct.unpack("<iiii", head)
            body = peer.recv(length - 16, socket.MSG_WAITALL)
            flags, kind = struct.unpack("<Ib", body[:5])
            command = bson.decode(body[5:])
            assert (opcode, to, flags, kind) == (2013, 0, 0, 0), head
            assert command["$db"] == "admin" and list(command)[0] in ("hello", "isMaster"), command
            document = reply
            if reply.get("old") and "hello" in command:
                document = {"ok": 0.0, "errmsg": "no such command: 'hello'", "code": 59}
            document = bson.encode({"topologyVersion": {"processId": bson.ObjectId(), "counter": bson.Int64(6)},
                                    "localTime": __import__("datetime").datetime.now(), **document})
            answer = struct.pack("<Ib", 0, 0) + document
            peer.sendall(struct.pack("<iiii", 16 + len(answer), 1, request, 2013) + answer)
"#;

#[test]
fn mongodb_by_its_specification() {
    needs!("python3");
    if Tool::named("python3")
        .args(["-c", "import bson"])
        .run()
        .code()
        != Some(0)
    {
        testkit::needs::skip("needs pymongo");
        return;
    }
    for (reply, health, said) in [
        (r#"{"isWritablePrimary": true, "ok": 1.0}"#, 0, "writable"),
        (
            r#"{"ismaster": true, "old": true, "ok": 1.0}"#,
            0,
            "writable",
        ),
        (
            r#"{"isWritablePrimary": true, "msg": "isdbgrid", "ok": 1.0}"#,
            0,
            "mongos",
        ),
        (
            r#"{"isWritablePrimary": false, "secondary": true, "hosts": ["a:1", "b:2"], "ok": 1}"#,
            0,
            "secondary",
        ),
        (
            r#"{"isWritablePrimary": false, "secondary": false, "ok": 1.0}"#,
            1,
            "starting up or recovering",
        ),
        (
            r#"{"isWritablePrimary": false, "arbiterOnly": true, "ok": 1.0}"#,
            1,
            "arbiter",
        ),
        (
            r#"{"isWritablePrimary": false, "isreplicaset": true, "ok": 1.0}"#,
            1,
            "replica set is not initialised",
        ),
        (
            r#"{"errmsg": "going down", "code": 91, "ok": 0.0}"#,
            1,
            "going down",
        ),
    ] {
        let port = testkit::free_port();
        let mut server = Tool::named("python3").args(["-c", MONGOD]);
        server = server.arg(port.to_string()).arg(reply);
        let _server = Running::start(server);
        wait_until("it listens", || testkit::process::accepts(port));
        let target = format!("mongodb://127.0.0.1:{port}");
        let ran = waithealth(["--once", &target]).run().expect_code(health);
        assert_eq!(ran.records()[0][4], said);
    }
}

/// A packet of MySQL's protocol.
fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[length, 0, 0, sequence], payload].concat()
}

#[test]
fn a_mysql_that_lets_anybody_in_is_ready_and_what_says_anything_else_is_none() {
    let salt = [7; 8];
    let greeting = [
        &b"\x0a8.0.0\0\x01\0\0\0"[..],
        &salt,
        &[
            0, 0xff, 0xff, 33, 2, 0, 0xff, 0xdf, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        b"0123456789ab\0caching_sha2_password\0",
    ]
    .concat();
    let other_plugin = [&[0xfe][..], b"mysql_native_password\0", &salt].concat();
    let ok: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    for (answers, expected) in [
        (vec![ok], "ready"),
        (vec![&other_plugin, ok], "ready"),
        (vec![&[0x42, 0x42]], "no MySQL"),
        (vec![], "closed without an answer"),
    ] {
        let (greeting, answers) = (greeting.clone(), answers.iter().map(|a| a.to_vec()));
        let answers: Vec<Vec<u8>> = answers.collect();
        let port = server(move |mut stream| {
            let mut sequence = 0;
            let mut buffer = [0; 1024];
            for payload in std::iter::once(&greeting).chain(&answers) {
                stream.write_all(&packet(sequence, payload)).unwrap();
                sequence += 2;
                let _ = stream.read(&mut buffer);
            }
        });
        let target = format!("mysql://127.0.0.1:{port}");
        assert_eq!(detail(["--once", &target]), expected);
    }
}
