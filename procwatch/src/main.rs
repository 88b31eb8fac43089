//! procwatch runs a command, starts it again when it ends, and leaves nothing behind.
//!
//! # Theory of operation
//!
//! Options become a plan. One process, one thread, one place where it waits: `wait` sleeps
//! in ppoll(2) on a signalfd in which every signal arrives (all are blocked), on the pipe of the
//! log if there is one, and on the earliest deadline, if there is one. A stable COMMAND without
//! health check or limit costs no system call.
//!
//! procwatch is the subreaper of all it starts (PR_SET_CHILD_SUBREAPER), so a descendant that
//! leaves its session, its group or its parent comes back as a child, and waitpid(2) saying
//! ECHILD is the proof that nothing is left. `leftovers` ends what still is, before the next start
//! and at the end. Where children could be there that are none of COMMAND's, as PID 1 or after
//! `helper & exec procwatch`, `front` puts a process of its own between them and COMMAND.
//!
//! `supervise` is the life of COMMAND in the order in which it happens: before, start, watch,
//! clear, after, and then `restart` decides from counts alone. COMMAND dies with procwatch
//! (PR_SET_PDEATHSIG), shares its process group and so its terminal.

mod backoff;
mod child;
mod cli;
mod events;
mod exit;
mod front;
mod health;
mod leftovers;
mod log;
mod memory;
mod oom;
#[cfg(test)]
mod packaging;
mod plan;
mod report;
mod restart;
mod rotate;
mod signals;
mod size;
mod stop;
mod supervise;
mod sys;
mod wait;
mod watch;

fn main() {
    let options: cli::Options = match treekill::common::parse("procwatch") {
        Ok(options) => options,
        Err(code) => std::process::exit(code.into()),
    };
    let common = options.common;
    front::stand_before(plan::Plan::new(options), common).now()
}
