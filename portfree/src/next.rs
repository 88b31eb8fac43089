//! The first free port at or above one, or within a range.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::RangeInclusive;

use crate::exit::Exit;
use crate::plan::Plan;
use crate::ports::{Port, Target};
use crate::prove::Proof;
use crate::report::Report;
use crate::sockets::{Protocol, Socket, Sockets};

/// Prints a free port for each PORT; where one is given twice, two.
pub(crate) fn next(plan: &Plan, sockets: &mut Sockets, report: &mut Report) -> io::Result<Exit> {
    let kernel = Kernel::read();
    let mut given = HashSet::new();
    let mut exit = Exit::Holds;
    for target in &plan.targets {
        let target = upwards(target);
        match first_free(&target, &kernel, &given, sockets, report)? {
            Some(port) => {
                given.insert((port.protocol, port.number));
                report.next(port);
            }
            None => {
                report.words.say(format_args!("{target}: no port is free"));
                exit = Exit::DoesNotHold;
            }
        }
    }
    Ok(exit)
}

/// A single port means all from there on.
fn upwards(target: &Target) -> Target {
    let first = *target.ports.start();
    let last = if target.count() == 1 {
        u16::MAX
    } else {
        *target.ports.end()
    };
    Target {
        ports: first..=last,
        ..target.clone()
    }
}

fn first_free(
    target: &Target,
    kernel: &Kernel,
    given: &HashSet<(Protocol, u16)>,
    sockets: &mut Sockets,
    report: &mut Report,
) -> io::Result<Option<Port>> {
    let held = sockets.holding(std::slice::from_ref(target))?;
    let is_held = |port: Port| held.iter().any(|socket: &Socket| port.is_met_by(socket));
    let mut not_allowed = 0;
    let mut found = None;
    for port in target.each() {
        let taken = given.contains(&(port.protocol, port.number));
        if taken || kernel.reserves(port.number) || is_held(port) {
            continue;
        }
        match crate::assess::prove(port)? {
            Proof::Free | Proof::NoSuchAddress => {
                found = Some(port);
                break;
            }
            Proof::NotAllowed => not_allowed += 1,
            Proof::InUse => {}
        }
    }
    if not_allowed > 0 {
        let many = if not_allowed == 1 { "a port" } else { "ports" };
        report.words.say(format_args!(
            "{target}: {many} that this user may not bind passed over"
        ));
    }
    let entered = |port: &Port| kernel.ephemeral.contains(&port.number);
    if let (Some(port), false) = (
        found.filter(entered),
        kernel.ephemeral.contains(target.ports.start()),
    ) {
        let (first, last) = (kernel.ephemeral.start(), kernel.ephemeral.end());
        report.words.say(format_args!(
            "{port}: among the kernel's ephemeral ports ({first}-{last}), any client may take it"
        ));
    }
    Ok(found)
}

/// What the kernel keeps for itself and for clients (ip_sysctl of the kernel's documentation).
#[derive(Debug)]
struct Kernel {
    reserved: Vec<RangeInclusive<u16>>,
    ephemeral: RangeInclusive<u16>,
}

impl Kernel {
    fn read() -> Self {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default()
        };
        Self::parse(
            &read("ip_local_reserved_ports"),
            &read("ip_local_port_range"),
        )
    }

    /// Reads `8080,9000-9010` and `32768 60999`.
    fn parse(reserved: &str, ephemeral: &str) -> Self {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        };
        let mut ends = ephemeral.split_ascii_whitespace().map(str::parse);
        let ephemeral = match (ends.next(), ends.next()) {
            (Some(Ok(first)), Some(Ok(last))) => first..=last,
            _ => 32_768..=60_999,
        };
        Self {
            reserved: reserved.split(',').filter_map(range).collect(),
            ephemeral,
        }
    }

    fn reserves(&self, port: u16) -> bool {
        self.reserved.iter().any(|range| range.contains(&port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_are_read() {
        let kernel = Kernel::parse("8080,9000-9010\n", "40000\t50000\n");
        assert!(kernel.reserves(8080) && kernel.reserves(9005));
        assert!(!kernel.reserves(8081) && !kernel.reserves(9011));
        assert_eq!(kernel.ephemeral, 40_000..=50_000);
        let silent = Kernel::parse("\n", "");
        assert!(silent.reserved.is_empty());
        assert_eq!(silent.ephemeral, 32_768..=60_999);
    }
}
