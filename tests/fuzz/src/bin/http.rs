//! HTTP answers over a Unix socket: healthy only where a status line is good and the body is as
//! wanted; in time and in bounded memory, however the answer is cut.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../waithealth/src/answer.rs"]
mod answer;
#[path = "../../../../waithealth/src/cli.rs"]
mod cli;
#[path = "../../../../waithealth/src/field.rs"]
mod field;
#[path = "../../../../waithealth/src/mailbox.rs"]
mod mailbox;
#[path = "../../../../waithealth/src/names.rs"]
mod names;
#[path = "../../../../waithealth/src/probe/mod.rs"]
mod probe;
#[path = "../../../../waithealth/src/reach.rs"]
mod reach;
#[path = "../../../../waithealth/src/request.rs"]
mod request;
#[path = "../../../../waithealth/src/target.rs"]
mod target;
#[path = "../../../../waithealth/src/no_tls.rs"]
mod tls;
#[path = "../../../../waithealth/src/watched.rs"]
mod watched;
#[path = "../../../../waithealth/src/wire.rs"]
mod wire;

use std::cell::RefCell;
use std::io::Read as _;
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use answer::{Answer, Health};
use libfuzzer_sys::fuzz_target;
use nix::sys::socket::{MsgFlags, send};
use probe::{Probe, Shared};
use request::Request;
use treekill::duration::Deadline;

/// A head and a body as long as they may be, with what ureq makes of them.
const MEMORY: usize = 4 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

fuzz_target!(|bytes: &[u8]| {
    thread_local!(static WORLD: RefCell<World> = RefCell::new(World::new()));
    WORLD.with_borrow_mut(|world| {
        for wants_body in [false, true] {
            let whole = world.ask(wants_body, vec![bytes.to_vec()]);
            let size = usize::from(bytes.first().copied().unwrap_or(0)) / 4 + 1;
            let cut = world.ask(wants_body, bytes.chunks(size).map(<[u8]>::to_vec).collect());
            assert_eq!(whole, cut);
            if whole.health == Health::Healthy {
                assert!(has_good_status_line(bytes));
                assert!(!wants_body || says_in_order(bytes, b"{status:fine}"));
            }
        }
    });
});

fn has_good_status_line(bytes: &[u8]) -> bool {
    bytes
        .windows(12)
        .any(|line| line.starts_with(b"HTTP/1.") && line[8] == b' ' && line[9] == b'2')
}

/// Whether these letters come in this order: framing may stand between them.
fn says_in_order(bytes: &[u8], letters: &[u8]) -> bool {
    let mut bytes = bytes.iter();
    letters
        .iter()
        .all(|letter| bytes.any(|byte| byte == letter))
}

/// A server in a thread of its own, and two ways to ask it.
struct World {
    answers: Sender<Vec<Vec<u8>>>,
    plain: Probe,
    wants_body: Probe,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        let (answers, told) = channel();
        std::thread::spawn(move || serve(&listener, &told));
        let probe = |request: Request| {
            let url = format!("http+unix://{}:/health", path.display());
            let target = target::Target::parse(url.as_ref()).expect("a target");
            let tls = tls::Tls::new(&request).expect("no certificates");
            let shared = Arc::new(Shared { request, tls });
            Probe::new(target.kind, cli::Family::Both, &shared, &Arc::default())
        };
        let mut request = Request::default();
        request.add_field("status=fine").expect("a field");
        Self {
            answers,
            plain: probe(Request::default()),
            wants_body: probe(request),
        }
    }

    fn ask(&mut self, wants_body: bool, pieces: Vec<Vec<u8>>) -> Answer {
        self.answers.send(pieces).expect("a server");
        let probe = match wants_body {
            true => &mut self.wants_body,
            false => &mut self.plain,
        };
        let deadline = Deadline::after(PATIENCE);
        let (answer, peak) = fuzz::peak_of(|| probe.attempt(deadline));
        assert!(!deadline.passed());
        assert!(peak <= MEMORY, "{peak} bytes of memory");
        answer
    }
}

/// Hears each request out, says what it is told, and listens until the other side hangs up: to do
/// so first would be a reset.
fn serve(listener: &UnixListener, told: &Receiver<Vec<Vec<u8>>>) {
    while let (Ok(pieces), Ok((mut stream, _))) = (told.recv(), listener.accept()) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && hear(&mut stream, &mut request) {}
        for piece in pieces {
            if send(stream.as_raw_fd(), &piece, MsgFlags::MSG_NOSIGNAL).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        while hear(&mut stream, &mut request) {}
    }
}

fn hear(stream: &mut UnixStream, heard: &mut Vec<u8>) -> bool {
    let mut some = [0; 1024];
    let length = stream.read(&mut some).unwrap_or(0);
    heard.extend(&some[..length]);
    length > 0
}
