//! What people call a process: its whole name, its command line, its user.

use std::os::unix::ffi::OsStrExt as _;

use nix::unistd::{Uid, User};

use crate::table::{Proc, Stat};

/// The kernel keeps this many bytes of a name (`TASK_COMM_LEN` less the final NUL).
const COMM_LENGTH: usize = 15;

/// A process in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name, whole where the kernel's 15 bytes are the beginning of a longer one.
    pub name: Vec<u8>,
    /// Its command line with a space between arguments; empty where it has none or hides it.
    pub cmdline: Vec<u8>,
}

/// Describes a process. One that is dying meanwhile has lost its command line.
#[must_use]
pub fn describe(proc: &Proc, stat: &Stat) -> Description {
    let raw = read_memory_of(proc, stat, "cmdline");
    Description {
        name: whole_name(stat, &raw),
        cmdline: joined(&raw),
    }
}

/// The environment that a process was started with, as far as it still shows it; entries end in
/// NUL (proc_pid_environ(5)). Empty where it is not ours to see.
#[must_use]
pub fn environment(proc: &Proc, stat: &Stat) -> Vec<u8> {
    read_memory_of(proc, stat, "environ")
}

/// A file of `/proc/PID` that shows memory of the process. Where its first thread has ended, only
/// the others still show it.
fn read_memory_of(proc: &Proc, stat: &Stat, file: &str) -> Vec<u8> {
    let mut raw = Vec::new();
    let pid = stat.pid();
    let read = proc.read_into(&format!("{pid}/{file}"), &mut raw);
    if read.is_err() {
        raw.clear();
    }
    if stat.state == b'Z' && raw.is_empty() {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let thread = thread.file_name().into_string().unwrap_or_default();
            let path = format!("{pid}/task/{thread}/{file}");
            if proc.read_into(&path, &mut raw).is_ok() && !raw.is_empty() {
                return raw;
            }
        }
        raw.clear();
    }
    raw
}

/// The arguments of `/proc/PID/cmdline`, which end in NUL each, as one line.
pub(crate) fn joined(raw: &[u8]) -> Vec<u8> {
    let end = raw.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
    raw.iter()
        .take(end)
        .map(|&b| if b == 0 { b' ' } else { b })
        .collect()
}

/// The name beyond the kernel's 15 bytes, where the program, its first arguments (a script's
/// interpreter comes first) or its file tell how it goes on.
fn whole_name(stat: &Stat, raw: &[u8]) -> Vec<u8> {
    if stat.comm.len() < COMM_LENGTH {
        return stat.comm.clone();
    }
    let begins_alike = |path: &[u8]| {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        name.starts_with(&stat.comm).then(|| name.to_vec())
    };
    raw.split(|&b| b == 0)
        .take(3)
        .find_map(begins_alike)
        .or_else(|| {
            let file = std::fs::read_link(format!("/proc/{}/exe", stat.pid())).ok()?;
            begins_alike(file.as_os_str().as_bytes())
        })
        .unwrap_or_else(|| stat.comm.clone())
}

/// The effective user of a process (the second number of `Uid:` in proc_pid_status(5)).
#[must_use]
pub fn user_of(proc: &Proc, pid: i32) -> Option<u32> {
    effective_user(&proc.status_line(pid, "Uid:").ok()??)
}

/// The second number of `Uid:`.
pub(crate) fn effective_user(line: &[u8]) -> Option<u32> {
    let effective = std::str::from_utf8(line).ok()?.split_whitespace().nth(1)?;
    effective.parse().ok()
}

/// The name of a user, or its number where it has none.
#[must_use]
pub fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// The name that /etc/passwd (passwd(5)) gives to a user, or its number: for a small program that
/// does without the C library's other sources of users, which are most of its size.
#[must_use]
pub fn local_user_name(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd_name(&users, uid).map_or_else(|| uid.to_string(), str::to_owned)
}

pub(crate) fn passwd_name(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The user with this name or number; `None` where there is no such name.
#[must_use]
pub fn user_number(name: &str) -> Option<u32> {
    name.parse()
        .ok()
        .or_else(|| Some(User::from_name(name).ok()??.uid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_one_line() {
        assert_eq!(joined(b"a\0b c\0\0"), b"a b c");
        assert_eq!(joined(b"a\0\0b\0"), b"a  b");
        assert_eq!(joined(b""), b"");
    }

    #[test]
    fn users_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nnobody:x:65534:1:::\n";
        assert_eq!(passwd_name(users, 0), Some("root"));
        assert_eq!(passwd_name(users, 65534), Some("nobody"));
        assert_eq!(passwd_name(users, 1), None);
    }

    #[test]
    fn we_know_ourselves() {
        let proc = Proc::open().unwrap();
        let me = proc.stat(nix::unistd::getpid().as_raw()).unwrap();
        let first = std::env::args().next().unwrap();
        assert!(describe(&proc, &me).cmdline.starts_with(first.as_bytes()));
        assert!(first.ends_with(&String::from_utf8(describe(&proc, &me).name).unwrap()));
        assert_eq!(
            user_of(&proc, me.pid()),
            Some(nix::unistd::geteuid().as_raw())
        );
        assert_eq!(user_number(&user_name(0)), Some(0));
    }
}
