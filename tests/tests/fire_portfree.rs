//! Random servers and clients against portfree: no holder is missed, no client touched, and after
//! 0 the port can be bound.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};
use testkit::fire::{Fire, Rng};
use testkit::{Ran, Running, Tool, in_namespace, process, wait_until};

const NET: &str = env!("CARGO_BIN_EXE_fire-net");

#[derive(Debug, Default)]
#[allow(dead_code, reason = "shown")]
struct Sum {
    ended: usize,
    spared: usize,
    freed: usize,
    not_freed: usize,
}

#[test]
fn no_holder_is_missed_and_no_client_touched() {
    let fire = Fire::new("portfree", 15);
    in_namespace!(fire.namespace(Duration::from_secs(6)));
    fire.run(round);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

/// A socket that holds its port.
#[derive(Clone, Copy, Debug)]
struct Held {
    protocol: Protocol,
    at: SocketAddr,
}

/// What is to be freed.
#[derive(Clone, Copy, Debug)]
struct Target {
    protocol: Protocol,
    address: Option<IpAddr>,
    port: u16,
}

/// A process with sockets, and its children.
#[derive(Debug)]
struct Party {
    running: Running,
    words: Vec<String>,
    held: Vec<Held>,
    /// Whether every signal is blocked, and so what was sent stays to be seen.
    blocks: bool,
}

fn round(rng: &mut Rng, sum: &mut Sum) {
    let base = u16::try_from(10_000 + 10 * rng.below(2000)).unwrap();
    let ports = [base, base + 1, base + 2];
    let mut parties = Vec::new();
    for _ in 0..=rng.below(4) {
        parties.extend(server(rng, &ports));
    }
    for _ in 0..rng.below(5) {
        parties.extend(client(rng, &ports, &parties));
    }
    let target = target(rng, &ports);
    let is_meant = |party: &Party| party.held.iter().any(|held| target.meets(held));
    let (meant, others): (Vec<_>, Vec<_>) = parties.into_iter().partition(is_meant);
    let expected: HashSet<i32> = meant.iter().flat_map(Party::pids).collect();
    let bystanders: HashSet<i32> = others.iter().flat_map(Party::pids).collect();
    let about = |ran: &Ran| {
        format!(
            "{target} with\n{}against\n{}{ran:?}",
            list(&meant),
            list(&others)
        )
    };

    let asked = portfree(&target).arg("--pids").run();
    let named: HashSet<i32> = asked
        .stdout
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    assert_eq!(named, expected, "--pids; {}", about(&asked));
    let code = i32::from(expected.is_empty());
    assert_eq!(
        asked.code(),
        Some(code),
        "the code of --pids; {}",
        about(&asked)
    );

    // The parent of all is this test, which lives on; it will not start them again.
    let settle = if rng.percent(3) { "1.2s" } else { "0" };
    let grace = *rng.pick(&["0", "20ms", "100ms"]);
    let freeing = portfree(&target).args(["--settle", settle, "-g", grace]);
    let ran = freeing.run();
    let can_bind = target.can_be_bound();
    let code = i32::from(!can_bind);
    assert_eq!(
        ran.code(),
        Some(code),
        "it can be bound: {can_bind}; {}",
        about(&ran)
    );
    let left: HashSet<i32> = process::others().into_iter().map(|seen| seen.pid).collect();
    let missed: Vec<_> = left.difference(&bystanders).collect();
    assert!(missed.is_empty(), "missed {missed:?}; {}", about(&ran));
    let victims: Vec<_> = bystanders.difference(&left).collect();
    assert!(
        victims.is_empty(),
        "killed clients {victims:?}; {}",
        about(&ran)
    );
    for party in others.iter().filter(|party| party.blocks) {
        for pid in party.pids() {
            assert_eq!(pending(pid), 0, "signals to {pid}; {}", about(&ran));
        }
    }
    let recorded: HashSet<i32> = ran
        .records()
        .iter()
        .map(|record| record[0].parse().unwrap())
        .collect();
    assert_eq!(recorded, expected, "the records; {}", about(&ran));

    sum.ended += expected.len();
    sum.spared += bystanders.len();
    sum.freed += usize::from(can_bind);
    sum.not_freed += usize::from(!can_bind);
    for pid in bystanders {
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    drop((meant, others));
    wait_until("the world is empty again", || process::others().is_empty());
}

fn portfree(target: &Target) -> Tool {
    Tool::named("portfree").arg(target.to_string())
}

/// An address to bind: all of a family, or one of several.
fn address(rng: &mut Rng) -> IpAddr {
    *rng.pick(&[
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv4Addr::new(127, 0, 0, 2).into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::LOCALHOST.into(),
    ])
}

/// A server on some of the ports, where they can be bound.
fn server(rng: &mut Rng, ports: &[u16]) -> Option<Party> {
    let mut held = Vec::new();
    let mut words = Vec::new();
    if rng.percent(20) {
        words.push("session".to_owned());
    }
    for _ in 0..=rng.below(2) {
        let at = SocketAddr::new(address(rng), *rng.pick(ports));
        let (protocol, word) = match rng.below(10) {
            0 => (Protocol::Tcp, "bind"),
            1 | 2 => (Protocol::Udp, "udp"),
            3 => (Protocol::Tcp, "plainly"),
            _ => (Protocol::Tcp, "listen"),
        };
        words.push(format!("{word}={at}"));
        held.push(Held { protocol, at });
    }
    let blocks = temper(rng, &mut words);
    children(rng, &mut words);
    if rng.percent(50) && words.iter().any(|word| word.contains("listen=")) {
        words.push("accept".to_owned());
    }
    Party::start(words, held, blocks)
}

/// A client of some port, or with such a port of its own.
fn client(rng: &mut Rng, ports: &[u16], parties: &[Party]) -> Option<Party> {
    let mut words = Vec::new();
    let servers: Vec<SocketAddr> = parties
        .iter()
        .flat_map(|party| party.words.iter())
        .filter_map(|word| {
            word.strip_prefix("listen=")
                .or(word.strip_prefix("plainly="))
        })
        .map(|at| at.parse().unwrap())
        .collect();
    for _ in 0..=rng.below(3) {
        let own = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *rng.pick(ports));
        if rng.percent(20) || servers.is_empty() {
            let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *rng.pick(ports));
            words.push(match rng.below(2) {
                0 => format!("udp-connect={to}"),
                _ => format!("udp-from={own}={to}"),
            });
            continue;
        }
        let mut to = *rng.pick(&servers);
        if to.ip().is_unspecified() {
            to.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        words.push(if rng.percent(15) && to.is_ipv4() {
            format!("from={own}={to}")
        } else {
            format!("connect={to}")
        });
    }
    // Every one of them shows what it was sent.
    words.insert(0, "blocks".to_owned());
    children(rng, &mut words);
    Party::start(words, Vec::new(), true)
}

fn temper(rng: &mut Rng, words: &mut Vec<String>) -> bool {
    match rng.below(5) {
        0 => words.push("ignores".to_owned()),
        1 | 2 => {
            words.push("blocks".to_owned());
            return true;
        }
        _ => {}
    }
    false
}

fn children(rng: &mut Rng, words: &mut Vec<String>) {
    for _ in 0..rng.below(4).saturating_sub(1) {
        words.push((*rng.pick(&["share", "worker"])).to_owned());
    }
}

fn target(rng: &mut Rng, ports: &[u16]) -> Target {
    let protocol = if rng.percent(20) {
        Protocol::Udp
    } else {
        Protocol::Tcp
    };
    Target {
        protocol,
        address: rng.percent(30).then(|| address(rng)),
        port: *rng.pick(ports),
    }
}

impl Party {
    /// `None` where one of its sockets cannot be had.
    fn start(words: Vec<String>, held: Vec<Held>, blocks: bool) -> Option<Self> {
        let running = Running::start(Tool::at(NET).args(&words));
        wait_until("the sockets are there", || running.output().contains('\n'));
        let party = Self {
            running,
            words,
            held,
            blocks,
        };
        if party.running.output().starts_with("ready") {
            return Some(party);
        }
        for pid in party.pids() {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        None
    }

    /// Itself and its children.
    fn pids(&self) -> Vec<i32> {
        let own = i32::try_from(self.running.pid()).unwrap();
        let children = process::children(own).into_iter().map(|seen| seen.pid);
        std::iter::once(own).chain(children).collect()
    }
}

fn list(parties: &[Party]) -> String {
    let line = |party: &Party| format!("  {:?} {}\n", party.running.pid(), party.words.join(" "));
    parties.iter().map(line).collect()
}

impl Target {
    /// Whether a server on this target meets that socket.
    fn meets(&self, held: &Held) -> bool {
        let theirs = held.at.ip();
        let is_there = match self.address {
            None => true,
            Some(ours) if ours == theirs => true,
            Some(IpAddr::V4(ours)) => match theirs {
                // Our servers on [::] take IPv4 along.
                IpAddr::V6(theirs) => theirs.is_unspecified(),
                IpAddr::V4(theirs) => ours.is_unspecified() || theirs.is_unspecified(),
            },
            Some(IpAddr::V6(ours)) => {
                theirs.is_ipv6() && (ours.is_unspecified() || theirs.is_unspecified())
            }
        };
        self.protocol == held.protocol && self.port == held.at.port() && is_there
    }

    /// Whether a server could start there now: our own proof.
    fn can_be_bound(&self) -> bool {
        let addresses = match self.address {
            Some(address) => vec![address],
            None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        };
        let mut at_once = Vec::new();
        for address in addresses {
            let (family, kind) = (
                if address.is_ipv4() {
                    AddressFamily::Inet
                } else {
                    AddressFamily::Inet6
                },
                match self.protocol {
                    Protocol::Tcp => SockType::Stream,
                    Protocol::Udp => SockType::Datagram,
                },
            );
            let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
            if address.is_ipv6() {
                setsockopt(&fd, sockopt::Ipv6V6Only, &true).unwrap();
            }
            if self.protocol == Protocol::Tcp {
                setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
            }
            let at = SockaddrStorage::from(SocketAddr::new(address, self.port));
            if bind(fd.as_raw_fd(), &at).is_err() {
                return false;
            }
            if self.protocol == Protocol::Tcp && listen(&fd, Backlog::MAXCONN).is_err() {
                return false;
            }
            at_once.push(fd);
        }
        true
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(address) => write!(f, "{}", SocketAddr::new(address, self.port))?,
            None => write!(f, "{}", self.port)?,
        }
        if self.protocol == Protocol::Udp {
            write!(f, "/udp")?;
        }
        Ok(())
    }
}

/// The signals that wait for this process.
fn pending(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let sets = status.lines().filter_map(|line| {
        line.strip_prefix("SigPnd:")
            .or(line.strip_prefix("ShdPnd:"))
    });
    sets.map(|set| u64::from_str_radix(set.trim(), 16).unwrap())
        .fold(0, |a, b| a | b)
}
