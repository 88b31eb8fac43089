//! The command that would really stop what holds a port: ending the process alone would not,
//! because somebody starts it again.

use treekill::describe::{describe, user_name};
use treekill::guard::Guard;
use treekill::record::escape;
use treekill::table::{Proc, Stat, Table};

use crate::origin::{Origin, Unit};
use crate::restart::may_restart;

/// The command that stops this process for good; `None` where ending it is enough.
pub(crate) fn command(proc: &Proc, table: &Table, stat: &Stat, origin: &Origin) -> Option<String> {
    // A container that we are in ourselves cannot be stopped from here.
    let ours = Origin::of(proc, nix::unistd::getpid().as_raw()).container;
    if let Some(container) = origin
        .container
        .as_ref()
        .filter(|c| ours.as_ref() != Some(c))
    {
        return Some(format!(
            "{} {}",
            container.stop,
            escape(container.name.as_bytes())
        ));
    }
    let above: Vec<&Stat> = table
        .ancestors(stat.pid())
        .iter()
        .filter_map(|&pid| table.get(pid))
        .collect();
    if let Some(command) = above.iter().find_map(|above| supervisor(proc, above)) {
        return Some(command);
    }
    if let Some(unit) = &origin.unit {
        return Some(systemctl_stop(unit));
    }
    let guard = Guard::new(table);
    let parent = above
        .first()
        .filter(|parent| may_restart(proc, &guard, parent))?;
    Some(format!("treekill {}", parent.pid()))
}

/// How a known supervisor is told to stop its program.
fn supervisor(proc: &Proc, stat: &Stat) -> Option<String> {
    let folder = || {
        let link = std::fs::read_link(format!("/proc/{}/cwd", stat.pid())).ok()?;
        Some(escape(std::os::unix::ffi::OsStrExt::as_bytes(
            link.as_os_str(),
        )))
    };
    match stat.comm.as_slice() {
        // Its grace is 8 s unless it was told another one.
        b"procwatch" => Some(format!("treekill --leader-first -g 15 {}", stat.pid())),
        b"runsv" => Some(format!("sv down {}", folder()?)),
        b"s6-supervise" => Some(format!("s6-svc -d {}", folder()?)),
        b"supervise" => Some(format!("svc -d {}", folder()?)),
        b"supervisord" => Some("supervisorctl stop NAME".to_owned()),
        _ => {
            let cmdline = describe(proc, stat).cmdline;
            cmdline
                .starts_with(b"PM2 ")
                .then(|| "pm2 stop NAME".to_owned())
        }
    }
}

fn systemctl_stop(unit: &Unit) -> String {
    let name = escape(unit.name.as_bytes());
    match unit.user {
        None => format!("systemctl stop {name}"),
        Some(uid) if uid == nix::unistd::geteuid().as_raw() => {
            format!("systemctl --user stop {name}")
        }
        Some(uid) => format!("systemctl --user -M {}@ stop {name}", user_name(uid)),
    }
}
