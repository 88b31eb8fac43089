//! A tree as people draw it, for a terminal.

use std::collections::{HashMap, HashSet};

use treekill::describe::Description;
use treekill::record::escape;
use treekill::table::Stat;
use treekill::tree::Member;

type Described<'a> = (&'a Member, Description);

/// One line per process, each below the one through which it belongs to the tree, cut to the
/// columns there are.
pub(crate) fn drawn(members: &[Described<'_>], columns: usize) -> Vec<String> {
    let pids: HashSet<i32> = members.iter().map(|(m, _)| m.stat.pid()).collect();
    let mut below: HashMap<Option<i32>, Vec<&Described<'_>>> = HashMap::new();
    for described in members {
        let above = above(&described.0.stat, &pids);
        below.entry(above).or_default().push(described);
    }
    let mut lines = Vec::new();
    for (member, description) in below.get(&None).into_iter().flatten() {
        lines.push(line("", member, description));
        draw_below(member.stat.pid(), "", &below, &mut lines);
    }
    for line in &mut lines {
        // As a whole, so that no line is broken in two.
        if line.chars().count() > columns {
            *line = line.chars().take(columns.saturating_sub(1)).collect();
            line.push('…');
        }
    }
    lines
}

/// Its parent, or the leader of its session or group, whichever is in the tree. A number of the
/// tree that is not its own is older: there are no circles.
fn above(stat: &Stat, pids: &HashSet<i32>) -> Option<i32> {
    [stat.ppid, stat.session, stat.pgrp]
        .into_iter()
        .find(|pid| *pid != stat.pid() && pids.contains(pid))
}

fn draw_below(
    pid: i32,
    indent: &str,
    below: &HashMap<Option<i32>, Vec<&Described<'_>>>,
    lines: &mut Vec<String>,
) {
    let Some(children) = below.get(&Some(pid)) else {
        return;
    };
    for (number, (member, description)) in children.iter().enumerate() {
        let is_last = number + 1 == children.len();
        let (branch, trunk) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        lines.push(line(&format!("{indent}{branch}"), member, description));
        draw_below(member.stat.pid(), &format!("{indent}{trunk}"), below, lines);
    }
}

fn line(indent: &str, member: &Member, description: &Description) -> String {
    let text = if description.cmdline.is_empty() {
        format!("[{}]", escape(&description.name))
    } else {
        escape(&description.cmdline)
    };
    format!("{indent}{} {text}", member.stat.pid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use treekill::identity::Identity;

    fn member(pid: i32, ppid: i32, session: i32, depth: usize) -> Member {
        let stat = Stat {
            identity: Identity { pid, start: 1 },
            comm: b"x".to_vec(),
            state: b'S',
            ppid,
            pgrp: session,
            session,
            has_terminal: false,
            is_kernel_thread: false,
        };
        Member { stat, depth }
    }

    #[test]
    fn branches_orphans_and_the_edge_of_the_screen() {
        let members = [
            member(7, 1, 7, 0),
            member(8, 7, 7, 1),
            member(9, 8, 9, 2),
            member(10, 1, 7, 1),
        ];
        let text = |cmdline: &str| Description {
            name: b"x\n".to_vec(),
            cmdline: cmdline.into(),
        };
        let described: Vec<Described<'_>> = members
            .iter()
            .zip(["server", "worker\t1", "", "a line that is too long"])
            .map(|(member, cmdline)| (member, text(cmdline)))
            .collect();
        let expected = [
            "7 server",
            "├─ 8 worker\\t1",
            "│  └─ 9 [x\\n]",
            "└─ 10 a line that i…",
        ];
        assert_eq!(drawn(&described, 20), expected);
    }
}
