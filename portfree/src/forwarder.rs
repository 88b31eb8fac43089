//! Port forwarders of container engines: processes that hold a port on a container's behalf.
//! Ending one does not stop the container.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use treekill::table::Stat;

use crate::origin::Container;
use crate::sockets::Socket;

/// A container engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Docker, also without root.
    Docker,
    /// Podman.
    Podman,
}

/// Names of the processes that hold published ports, and whose they are.
const FORWARDERS: [(&[u8], Engine); 8] = [
    (b"docker-proxy", Engine::Docker),
    (b"rootlesskit", Engine::Docker),
    (b"rootlessport", Engine::Podman),
    (b"rootlessport-ch", Engine::Podman),
    (b"conmon", Engine::Podman),
    (b"slirp4netns", Engine::Podman),
    (b"pasta", Engine::Podman),
    (b"pasta.avx2", Engine::Podman),
];

/// How long the engine may take to say whose port it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// The engine's answer is read up to this many bytes.
const ANSWER: u64 = 4 << 20;

/// The engine whose forwarder this process is.
pub(crate) fn engine_of(stat: &Stat) -> Option<Engine> {
    FORWARDERS
        .iter()
        .find(|(name, _)| stat.comm == *name)
        .map(|(_, engine)| *engine)
}

impl Engine {
    /// The command that stops a container, without its name.
    pub(crate) fn stop(self) -> &'static str {
        match self {
            Self::Docker => "docker stop",
            Self::Podman => "podman stop",
        }
    }

    /// The command that lists containers with their ports.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::Docker => "docker ps",
            Self::Podman => "podman ps",
        }
    }

    /// The container that published the port, as the engine itself says; `None` where it does
    /// not answer, or not to this user.
    pub(crate) fn container_on(self, socket: &Socket) -> Option<Container> {
        let answer = self.sockets().iter().find_map(|path| ask(path))?;
        let name = published(&answer, socket)?;
        Some(Container {
            name,
            stop: self.stop(),
        })
    }

    /// Where the engine listens: Docker's and Podman's usual sockets.
    fn sockets(self) -> Vec<PathBuf> {
        let name = match self {
            Self::Docker => "docker.sock",
            Self::Podman => "podman/podman.sock",
        };
        let told = std::env::var("DOCKER_HOST").ok();
        let told = told.and_then(|host| host.strip_prefix("unix://").map(PathBuf::from));
        let user = std::env::var_os("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join(name));
        let system = Some(Path::new("/run").join(name));
        [told, user, system].into_iter().flatten().collect()
    }
}

/// Asks for the running containers (`GET /containers/json` of the Docker Engine API, which
/// Podman also speaks). HTTP/1.0, so that the answer comes in one piece and ends with the
/// connection.
fn ask(path: &Path) -> Option<Value> {
    let mut stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream
        .write_all(b"GET /containers/json HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).ok()?;
    containers(&answer)
}

/// The body of the engine's answer.
pub(crate) fn containers(answer: &[u8]) -> Option<Value> {
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    serde_json::from_slice(answer.get(at + 4..)?).ok()
}

/// The first name of the container that published the socket's port, or the beginning of its ID.
pub(crate) fn published(containers: &Value, socket: &Socket) -> Option<String> {
    let publishes = |container: &&Value| {
        let ports = container.get("Ports").and_then(Value::as_array);
        ports.into_iter().flatten().any(|port| {
            port.get("PublicPort").and_then(Value::as_u64) == Some(socket.port.into())
                && port.get("Type").and_then(Value::as_str) == Some(socket.protocol.name())
        })
    };
    let container = containers.as_array()?.iter().find(publishes)?;
    let name = container.pointer("/Names/0").and_then(Value::as_str);
    let id = container.get("Id").and_then(Value::as_str);
    name.map(|name| name.trim_start_matches('/').to_owned())
        .or_else(|| id.map(|id| id.chars().take(12).collect()))
}
