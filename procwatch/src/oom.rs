//! Whether the kernel killed for want of memory.

use std::fs;
use std::path::PathBuf;

/// The count of out-of-memory kills in our memory cgroup: `oom_kill` of `memory.events`
/// (cgroups(7), the kernel's cgroup-v2) or of `memory.oom_control` (cgroup-v1).
#[derive(Debug)]
pub(crate) struct OomKills {
    file: Option<PathBuf>,
    seen: u64,
}

impl OomKills {
    /// Counts from here on.
    pub(crate) fn new() -> Self {
        let mut kills = Self {
            file: find(),
            seen: 0,
        };
        kills.seen = kills.read().unwrap_or(0);
        kills
    }

    /// How many there were since the last call; `None` where no cgroup counts them.
    pub(crate) fn new_kills(&mut self) -> Option<u64> {
        let now = self.read()?;
        let new = now.saturating_sub(self.seen);
        self.seen = now;
        Some(new)
    }

    fn read(&self) -> Option<u64> {
        count(&fs::read_to_string(self.file.as_ref()?).ok()?)
    }
}

pub(crate) fn count(text: &str) -> Option<u64> {
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    number.trim().parse().ok()
}

/// The file that counts for us. Inside a container the path that `/proc/self/cgroup` names may
/// not be there, and the top of the mount is our own cgroup.
fn find() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    candidates(&groups).find(|file| file.is_file())
}

/// Where it may be, the likeliest first.
pub(crate) fn candidates(groups: &str) -> impl Iterator<Item = PathBuf> {
    let files = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (mount, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.events"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.oom_control")
            }
            _ => return None,
        };
        Some([format!("{mount}{path}/{file}"), format!("{mount}/{file}")])
    });
    files.flatten().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_the_file() {
        assert_eq!(count("low 0\nhigh 0\nmax 4\noom 2\noom_kill 3\n"), Some(3));
        assert_eq!(
            count("oom_kill_disable 0\nunder_oom 0\noom_kill 12\n"),
            Some(12)
        );
        assert_eq!(count("oom_kill_disable 0\n"), None);
    }
}
