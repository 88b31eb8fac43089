//! A Docker daemon of the test's own: no bridge, no firewall rules, nothing outside its scratch
//! folder; it ends with the test's namespace.

use std::path::Path;

use tempfile::TempDir;

use crate::{Ran, Running, Tool, needs, scratch, wait_until};

/// A running daemon.
#[derive(Debug)]
pub struct Docker {
    daemon: Running,
    folder: TempDir,
}

impl Docker {
    /// Starts it. Only inside [`in_namespace!`](crate::in_namespace): what it starts must end with
    /// the test. `None`, said as skipped, where Docker or real root is absent.
    ///
    /// # Panics
    /// When it does not come up, and where `CI=true` when it cannot be started.
    #[must_use]
    pub fn start() -> Option<Self> {
        if !(needs::program("dockerd") && needs::program("docker") && needs::real_root()) {
            return None;
        }
        let folder = scratch();
        let under = |name: &str| folder.path().join(name).display().to_string();
        let daemon = Tool::named("dockerd")
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--data-root", &under("data")])
            .args(["--exec-root", &under("exec")])
            .args(["--pidfile", &under("pid")])
            .args(["--host", &format!("unix://{}", under("socket"))]);
        let docker = Self {
            daemon: Running::start(daemon),
            folder,
        };
        wait_until("the Docker daemon answers", || {
            docker.run(["version"]).code() == Some(0)
        });
        Some(docker)
    }

    /// Runs `docker ARGUMENTS` against it.
    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Ran {
        let socket = self.folder.path().join("socket");
        Tool::named("docker")
            .args(["--host", &format!("unix://{}", socket.display())])
            .args(arguments)
            // The plain builder: the other one is a plugin that Debian packages apart.
            .env("DOCKER_BUILDKIT", "0")
            .run()
    }

    /// Builds an image from a folder with a Dockerfile.
    ///
    /// # Panics
    /// When that fails.
    pub fn build(&self, image: &str, folder: impl AsRef<Path>) {
        let folder = folder.as_ref().display().to_string();
        self.run(["build", "--quiet", "--tag", image, &folder])
            .expect_code(0);
    }

    /// What `docker inspect --format` says of a container, without the line's end.
    #[must_use]
    pub fn inspect(&self, container: &str, format: &str) -> String {
        let ran = self.run(["inspect", "--format", format, container]);
        ran.stdout.trim_end().to_owned()
    }

    /// What the daemon has written, for a test that fails.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.output()
    }
}
