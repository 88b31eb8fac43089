//! A service as its owner runs it: with `scripts/start.sh`, `stop.sh` and their siblings.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{self, Seen};
use crate::{Ran, Tool, bin, free_port, repository, scratch, wait_until};

/// One service on a free port, its PID file and logs in a scratch folder.
#[derive(Debug)]
pub struct Service {
    /// Where it runs and keeps everything.
    pub folder: TempDir,
    /// Its port.
    pub port: u16,
    command: Vec<OsString>,
    environment: Vec<(String, OsString)>,
}

impl Service {
    /// A service that runs this command; `{port}` in a word of it stands for its port.
    #[must_use]
    pub fn new(command: &[&str]) -> Self {
        let port = free_port();
        let word = |word: &&str| OsString::from(word.replace("{port}", &port.to_string()));
        let service = Self {
            folder: scratch(),
            port,
            command: command.iter().map(word).collect(),
            environment: Vec::new(),
        };
        let folder = service.folder.path().to_owned();
        service
            .set("NAME", "api")
            .set("PORT", port.to_string())
            .set("PID_DIR", folder.join("run"))
            .set("LOG_DIR", folder.join("log"))
            .set("WORK_DIR", folder)
            .set("GRACEFUL_TIMEOUT", "10")
            .set("WATCH_OPTIONS", "--stable 1s --backoff 100ms")
    }

    /// Sets a variable of its configuration.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(other, _)| other != key);
        self.environment
            .push((key.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// One of the scripts, run in its folder with its configuration in the environment.
    ///
    /// # Panics
    /// When the tools are not built.
    #[must_use]
    pub fn script(&self, name: &str) -> Tool {
        let mut tool = script(name).current_dir(self.folder.path());
        for (key, value) in &self.environment {
            tool = tool.env(key, value);
        }
        tool
    }

    /// The script with the command behind `--`.
    #[must_use]
    pub fn with_command(&self, name: &str) -> Tool {
        self.script(name).arg("--").args(&self.command)
    }

    /// Starts it.
    #[must_use]
    pub fn start(&self) -> Ran {
        self.with_command("start.sh").run()
    }

    /// Stops it.
    #[must_use]
    pub fn stop(&self) -> Ran {
        self.script("stop.sh").run()
    }

    /// A file of the service: `run/api.pid`, `log/api.log`, …
    #[must_use]
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of such a file; empty where there is none.
    #[must_use]
    pub fn text(&self, name: impl AsRef<Path>) -> String {
        let bytes = std::fs::read(self.file(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The PIDs with which procwatch has started the server, in order.
    #[must_use]
    pub fn starts(&self) -> Vec<i64> {
        let events = self.text("log/api.events");
        let parsed = events
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        parsed
            .filter(|event: &Value| event["event"] == "start")
            .filter_map(|event| event["pid"].as_i64())
            .collect()
    }

    /// The server's PID: that of its last start.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn server(&self) -> i64 {
        *self.starts().last().expect("a start among the events")
    }

    /// The server's worker processes.
    #[must_use]
    pub fn workers(&self) -> Vec<Seen> {
        let mut workers = process::children(self.server());
        // Python's multiprocessing keeps one that serves nobody.
        workers.retain(|worker| !worker.cmdline.contains("resource_tracker"));
        workers
    }

    /// Whether this URL path answers well right now.
    #[must_use]
    pub fn healthy(&self, path: &str) -> bool {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let ran = Tool::named("waithealth").args(["--once", "-q", &url]).run();
        ran.code() == Some(0)
    }

    /// Waits until a start other than the `before` first ones has been answered well.
    ///
    /// # Panics
    /// When that does not come.
    pub fn wait_started_again(&self, before: usize, path: &str) {
        wait_until("the server is started again", || {
            self.starts().len() > before
        });
        wait_until("it is healthy again", || self.healthy(path));
    }
}

/// What the scripts are configured by.
const SETTINGS: [&str; 17] = [
    "NAME",
    "PORT",
    "HOST",
    "HEALTH_URL",
    "HEALTH_OPTIONS",
    "HEALTH_CHECK_TIMEOUT",
    "START_TIMEOUT",
    "GRACEFUL_TIMEOUT",
    "KILL_EXISTING",
    "PRE_START",
    "WATCH_OPTIONS",
    "WORK_DIR",
    "PID_DIR",
    "LOG_DIR",
    "MATCH",
    "COMMAND",
    "XDG_STATE_HOME",
];

/// One of the scripts, with the tools on PATH and none of the settings of whoever runs the tests.
///
/// # Panics
/// When the tools are not built.
#[must_use]
pub fn script(name: &str) -> Tool {
    let tools = bin("portfree");
    let tools = tools.parent().expect("the folder of the tools").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(tools).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).expect("a PATH");
    let script = Tool::at(repository().join("scripts").join(name)).env("PATH", path);
    SETTINGS
        .iter()
        .fold(script, |script, key| script.env_remove(key))
}
