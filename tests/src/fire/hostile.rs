//! Servers that answer with anything: random bytes, half an answer, an endless one, late, or reset.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use super::Rng;

/// What a server pretends to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP/1.1.
    Http,
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// MySQL.
    MySql,
    /// MongoDB.
    MongoDb,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Http,
        Self::Postgres,
        Self::Redis,
        Self::MySql,
        Self::MongoDb,
    ];

    /// As URLs name it.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::MySql => "mysql",
            Self::MongoDb => "mongodb",
        }
    }
}

/// The longest that one connection is served.
const LIFE: Duration = Duration::from_secs(2);
/// The most that is sent on one.
const FLOOD: usize = 16 << 20;

/// A server on a port of 127.0.0.1, until its guard goes.
#[derive(Debug)]
pub struct Hostile {
    /// What it pretends to be.
    pub kind: Kind,
    /// Its port.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: AtomicU64,
    good: AtomicBool,
    is_over: AtomicBool,
}

impl Hostile {
    /// Starts it; what it answers follows from the seed and the order of the connections.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(kind: Kind, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            let mut rng = Rng::new(seed);
            while let Ok((stream, _)) = listener.accept() {
                if theirs.is_over.load(Ordering::SeqCst) {
                    return;
                }
                theirs.answers.fetch_add(1, Ordering::SeqCst);
                let seed = rng.number();
                let connection = Arc::clone(&theirs);
                thread::spawn(move || {
                    // The other side may go at any time.
                    let _ = serve(kind, port, &mut Rng::new(seed), &stream, &connection);
                });
            }
        });
        Self { kind, port, shared }
    }

    /// How many connections it has answered.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::SeqCst)
    }

    /// Whether an answer was among them that may be taken for a good one.
    #[must_use]
    pub fn was_good(&self) -> bool {
        self.shared.good.load(Ordering::SeqCst)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(
    kind: Kind,
    port: u16,
    rng: &mut Rng,
    mut stream: &TcpStream,
    shared: &Shared,
) -> io::Result<()> {
    let begin = Instant::now();
    stream.set_read_timeout(Some(LIFE))?;
    stream.set_write_timeout(Some(LIFE))?;
    if rng.percent(10) {
        sleep(rng.micros(60_000));
    }
    // Some do not even listen.
    if rng.percent(80) && kind != Kind::MySql {
        let mut request = [0; 2048];
        let _ = stream.read(&mut request)?;
    }
    let good = good_answer(kind, rng);
    // What may be taken for a good answer: by chance random bytes, too, where two are enough.
    let may_be_good = |bytes: &[u8]| match kind {
        Kind::Http => bytes.windows(4).any(|four| four == b"\r\n\r\n"),
        _ => !bytes.is_empty(),
    };
    let told = |bytes: &[u8]| shared.good.fetch_or(may_be_good(bytes), Ordering::SeqCst);
    match rng.below(14) {
        0 => {
            let length = *rng.pick(&[0, 1, 7, 100, 5_000, 70_000]);
            let bytes = rng.bytes(length);
            told(&bytes);
            stream.write_all(&bytes)?;
        }
        1 => {}
        2 => {
            let part = &good[..rng.below(good.len())];
            told(part);
            stream.write_all(part)?;
            reset_at_close(stream)?;
        }
        3 => {
            // Silence, until the other side has enough of it.
            let _ = stream.read(&mut [0; 64]);
        }
        4 | 5 => {
            let mut bytes = good;
            mutate(rng, &mut bytes);
            // A mutation may end the head in another way.
            shared.good.store(true, Ordering::SeqCst);
            stream.write_all(&bytes)?;
        }
        6 => {
            told(&good);
            drip(rng, stream, &good)?;
        }
        7 => {
            told(&good);
            stream.write_all(&good)?;
        }
        8 => {
            let part = &good[..rng.below(good.len())];
            told(part);
            stream.write_all(part)?;
            let _ = stream.shutdown(Shutdown::Write);
        }
        _ => {
            shared.good.store(true, Ordering::SeqCst);
            match kind {
                Kind::Http => hostile_http(rng, stream, port, begin)?,
                _ => stream.write_all(&huge_length(kind, rng))?,
            }
        }
    }
    let rest = LIFE.saturating_sub(begin.elapsed());
    if rng.percent(30) && !rest.is_zero() {
        // Not closed: it has to be the other side that goes.
        stream.set_read_timeout(Some(rest))?;
        while stream.read(&mut [0; 4096])? > 0 {}
    }
    Ok(())
}

/// What a healthy server says.
fn good_answer(kind: Kind, rng: &mut Rng) -> Vec<u8> {
    match kind {
        Kind::Http => {
            let body =
                r#"{"status":"ok","checks":{"db":{"status":"up"}},"n":3,"deep":[1,[2,[3]]]}"#;
            let status = *rng.pick(&[
                "200 OK",
                "200 OK",
                "200 OK",
                "204 No",
                "503 No",
                "418 \t\x1b[31m",
            ]);
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n");
            match rng.below(3) {
                0 => format!("{head}\r\n{body}"),
                1 => format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
                ),
                _ => format!("{head}Content-Length: {length}\r\n\r\n{body}"),
            }
            .into_bytes()
        }
        Kind::Postgres => match rng.below(3) {
            0 => b"R\0\0\0\x0c\0\0\0\x05salt".to_vec(),
            1 => b"R\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0Z\0\0\0\x05I".to_vec(),
            _ => b"E\0\0\0\x1eSFATAL\0C57P03\0Mstarting\0\0".to_vec(),
        },
        Kind::Redis => {
            (*rng.pick(&[&b"+PONG\r\n"[..], b"-NOAUTH x\r\n", b"-LOADING\tx\r\n"])).to_vec()
        }
        Kind::MySql => match rng.below(2) {
            0 => b"\x17\0\0\0\xff\x6a\x04#HY000Host is not al".to_vec(),
            _ => {
                let mut greeting = b"\x0a8.0.1\0".to_vec();
                greeting.extend([0; 60]);
                greeting.extend(b"mysql_native_password\0");
                let length = u8::try_from(greeting.len()).unwrap_or_default();
                [
                    &[length, 0, 0, 0][..],
                    &greeting,
                    b"\x07\0\0\x02\0\0\0\x02\0\0\0",
                ]
                .concat()
            }
        },
        Kind::MongoDb => {
            let elements = b"\x08isWritablePrimary\0\x01\x01ok\0\0\0\0\0\0\0\xf0\x3f\0";
            let size = |extra: usize| {
                i32::try_from(elements.len() + extra)
                    .unwrap_or_default()
                    .to_le_bytes()
            };
            [
                &size(25)[..],
                &[0; 8],
                &2013_i32.to_le_bytes(),
                &[0; 4],
                &[0],
                &size(4),
                elements,
            ]
            .concat()
        }
    }
}

/// Turns, drops, doubles and inserts bytes.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(6) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len());
        match rng.below(4) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => drop(bytes.remove(at)),
            2 => {
                let length = rng.below(20);
                let some = rng.bytes(length);
                bytes.splice(at..at, some);
            }
            _ => {
                let copy = bytes[at..].to_vec();
                bytes.extend(copy);
            }
        }
    }
}

/// RST instead of an orderly end (SO_LINGER of socket(7)).
fn reset_at_close(stream: &TcpStream) -> io::Result<()> {
    let at_once = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    Ok(setsockopt(&stream.as_fd(), sockopt::Linger, &at_once)?)
}

fn drip(rng: &mut Rng, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    for byte in bytes {
        stream.write_all(&[*byte])?;
        sleep(rng.micros(6000));
    }
    Ok(())
}

/// Sends the same for as long as it is taken.
fn flood(mut stream: &TcpStream, what: &[u8], begin: Instant) -> io::Result<()> {
    let block = what.repeat((16 * 1024 / what.len()).max(1));
    let mut sent = 0;
    while sent < FLOOD && begin.elapsed() < LIFE {
        stream.write_all(&block)?;
        sent += block.len();
    }
    Ok(())
}

fn hostile_http(
    rng: &mut Rng,
    mut stream: &TcpStream,
    port: u16,
    begin: Instant,
) -> io::Result<()> {
    let ok = b"HTTP/1.1 200 OK\r\n";
    match rng.below(12) {
        // Endless headers, one endless header, an endless first line.
        0 => {
            stream.write_all(ok)?;
            flood(stream, b"X-Header: value\r\n", begin)
        }
        1 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
            flood(stream, b"x", begin)
        }
        2 => flood(stream, b"HTTP/1.1 200 OK ", begin),
        // Endless bodies.
        3 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            flood(stream, b"{\"status\":\"ok\"}", begin)
        }
        4 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            flood(stream, b"1\r\n{\r\n", begin)
        }
        5 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n")?;
            flood(stream, b"[[[[[[[[[[[[[[[[", begin)
        }
        6 => {
            let body = "[".repeat(200_000);
            let length = body.len();
            stream.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
            )
        }
        // Interim answers without end.
        7 => flood(stream, b"HTTP/1.1 100 Continue\r\n\r\n", begin),
        8 => flood(
            stream,
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
            begin,
        ),
        // A redirect, to itself or into the void.
        9 => {
            let to = match rng.below(4) {
                0 => format!("http://127.0.0.1:{port}/again"),
                1 => "/\r\nX-Split: yes".to_owned(),
                2 => "http://[::1]:1/".to_owned(),
                _ => String::from_utf8_lossy(&rng.bytes(30)).replace(['\r', '\n'], "?"),
            };
            stream.write_all(
                format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
                    .as_bytes(),
            )
        }
        // Chunks of sizes that are none.
        10 => {
            let size = *rng.pick(&["ffffffffffffffff", "-1", "", "0x10", "zz", "1;ext=\x1b[2J"]);
            stream.write_all(
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nabc\r\n")
                    .as_bytes(),
            )
        }
        // Statuses and lengths that are none.
        _ => {
            let status = *rng.pick(&["000", "999", "20", "2000", "-1", "abc", "1e3"]);
            let length = *rng.pick(&["5", "-5", "5, 6", "99999999999999999999", ""]);
            let encoding = *rng.pick(&["gzip", "br", "identity", "\u{9b}"]);
            stream.write_all(format!("HTTP/1.1 {status} \u{1b}]0;x\u{7}\r\nContent-Length: {length}\r\nContent-Length: 7\r\nContent-Encoding: {encoding}\r\n\r\nhello").as_bytes())
        }
    }
}

/// A message that announces more than there is.
fn huge_length(kind: Kind, rng: &mut Rng) -> Vec<u8> {
    let length = *rng.pick(&[0, 3, 0x00ff_ffff, 0x7fff_ffff, 0xffff_ffff_u32, 65_535]);
    let length = length ^ u32::try_from(rng.below(4)).unwrap_or_default();
    match kind {
        Kind::Postgres => [
            &rng.pick(&[b"E", b"R", b"S", b"Z"])[..],
            &length.to_be_bytes(),
            &rng.bytes(50),
        ]
        .concat(),
        Kind::MySql => [&length.to_le_bytes()[..], &[0x0a], &rng.bytes(40)].concat(),
        Kind::MongoDb => [
            &length.to_le_bytes()[..],
            &[0; 8],
            &2013_i32.to_le_bytes(),
            &rng.bytes(90),
        ]
        .concat(),
        Kind::Redis | Kind::Http => [
            b"$",
            length.to_string().as_bytes(),
            b"\r\n",
            &rng.bytes(3000),
        ]
        .concat(),
    }
}
