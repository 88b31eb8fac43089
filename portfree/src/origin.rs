//! Where a process comes from: its systemd unit and its container, as its control groups name
//! them (cgroups(7), systemd.slice(5)).

use treekill::table::Proc;

/// The service unit and the container that a process belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Its service unit.
    pub(crate) unit: Option<Unit>,
    /// Its container.
    pub(crate) container: Option<Container>,
}

/// A service unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its name, as in `nginx.service`.
    pub(crate) name: String,
    /// The user whose manager runs it; `None` for the system's.
    pub(crate) user: Option<u32>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// Its name, or the beginning of its ID.
    pub(crate) name: String,
    /// The command that stops it, without the name: `docker stop`.
    pub(crate) stop: &'static str,
}

impl Origin {
    /// Reads `/proc/PID/cgroup`; empty where that is closed to us or names nothing known.
    pub(crate) fn of(proc: &Proc, pid: i32) -> Self {
        let mut text = Vec::new();
        match proc.read_into(&format!("{pid}/cgroup"), &mut text) {
            Ok(()) => Self::parse(&String::from_utf8_lossy(&text)),
            Err(_) => Self::default(),
        }
    }

    /// Reads lines of `hierarchy:controllers:path`; the first that names a thing counts.
    pub(crate) fn parse(text: &str) -> Self {
        let mut origin = Self::default();
        for line in text.lines() {
            let Some(path) = line.splitn(3, ':').nth(2) else {
                continue;
            };
            origin.unit = origin.unit.or_else(|| unit(path));
            origin.container = origin.container.or_else(|| container(path));
        }
        origin
    }
}

/// The innermost service of the path; a user's manager is the frame of that user's services and
/// none itself.
fn unit(path: &str) -> Option<Unit> {
    let mut found = None;
    let mut user = None;
    for part in path.split('/').filter(|part| part.ends_with(".service")) {
        let manager = part
            .strip_prefix("user@")
            .and_then(|rest| rest.strip_suffix(".service"))
            .and_then(|uid| uid.parse().ok());
        if manager.is_some() {
            (user, found) = (manager, None);
        } else {
            found = Some(part.to_owned());
        }
    }
    found.map(|name| Unit { name, user })
}

/// How the engines name the group of a container: what stands before and after its ID.
const GROUPS: [(&str, &str, &str); 6] = [
    ("docker-", ".scope", "docker stop"),
    ("libpod-", ".scope", "podman stop"),
    ("libpod-", "", "podman stop"),
    ("nerdctl-", ".scope", "nerdctl stop"),
    ("cri-containerd-", ".scope", "crictl stop"),
    ("crio-", ".scope", "crictl stop"),
];

/// The innermost container of the path.
fn container(path: &str) -> Option<Container> {
    let parts: Vec<&str> = path.split('/').collect();
    parts.iter().enumerate().rev().find_map(|(at, part)| {
        let above = parts.get(..at).unwrap_or_default();
        if let Some(name) = part.strip_prefix("lxc.payload.") {
            return Some(Container {
                name: name.to_owned(),
                stop: "lxc-stop -n",
            });
        }
        let (id, stop) = GROUPS
            .iter()
            .find_map(|(before, after, stop)| {
                let id = part.strip_prefix(before)?.strip_suffix(after)?;
                Some((id, *stop))
            })
            .or_else(|| {
                let kubernetes = above.iter().any(|part| part.starts_with("kubepods"));
                let stop = if kubernetes {
                    "crictl stop"
                } else {
                    "docker stop"
                };
                Some((*part, stop))
            })?;
        let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        is_id.then(|| Container {
            name: id.chars().take(12).collect(),
            stop,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(random: String, near in "0::(/(user@|docker-|libpod-|[0-9a-f]{64}|\\.scope|\\.service|kubepods))*") {
            for text in [random, near] {
                let unit = Origin::parse(&text).unit;
                prop_assert!(unit.is_none_or(|unit| unit.name.ends_with(".service")));
            }
        }
    }

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn services_of_the_system_and_of_users() {
        for (line, unit) in [
            (
                "0::/system.slice/nginx.service",
                Some(("nginx.service", None)),
            ),
            (
                "0::/system.slice/app@1.service/worker",
                Some(("app@1.service", None)),
            ),
            (
                "12:cpu:/\n1:name=systemd:/system.slice/a.service\n0::/",
                Some(("a.service", None)),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/dev.service",
                Some(("dev.service", Some(1000))),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/init.scope",
                None,
            ),
            ("0::/user.slice/user-1000.slice/session-3.scope", None),
            ("0::/", None),
            ("nonsense", None),
        ] {
            let found = Origin::parse(line).unit;
            let found = found.as_ref().map(|unit| (unit.name.as_str(), unit.user));
            assert_eq!(found, unit, "{line}");
        }
    }

    #[test]
    fn containers_of_the_engines() {
        for (path, stop) in [
            ("/system.slice/docker-ID.scope", Some("docker stop")),
            ("/docker/ID", Some("docker stop")),
            (
                "/machine.slice/libpod-ID.scope/container",
                Some("podman stop"),
            ),
            (
                "/kubepods.slice/kubepods-pod1.slice/cri-containerd-ID.scope",
                Some("crictl stop"),
            ),
            ("/kubepods/besteffort/pod1/ID", Some("crictl stop")),
            ("/system.slice/docker.service", None),
            ("/docker/short", None),
        ] {
            let line = format!("0::{}", path.replace("ID", ID));
            let found = Origin::parse(&line).container;
            assert_eq!(found.as_ref().map(|c| c.stop), stop, "{path}");
            assert!(found.is_none_or(|c| c.name == "0123456789ab"));
        }
        let found = Origin::parse("0::/lxc.payload.web/init.scope").container;
        assert_eq!(found.map(|c| c.name), Some("web".to_owned()));
    }
}
