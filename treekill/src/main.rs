//! `treekill`: ends a process tree, all of it and nothing else.
//!
//! # Theory of operation
//!
//! The options become a [`cli::Plan`]. The roots it names ([`roots`]) or looks for ([`select`])
//! are found in one pass over `/proc`, and so is the tree below them; the library ends it, and
//! what became of each process is written as a record and summed up in one exit code. Everything
//! that can be wrong with the words of the command line is found before anybody is signalled.

mod cli;
mod drawing;
mod exit;
#[cfg(test)]
mod packaging;
mod report;
mod roots;
mod run;
mod select;

use std::process::ExitCode;

use treekill::common;

const TOOL: &str = "treekill";

fn main() -> ExitCode {
    let cli: cli::Cli = match common::parse(TOOL) {
        Ok(cli) => cli,
        Err(code) => return code.into(),
    };
    let (out, words) = cli.common.streams(TOOL);
    let plan = match cli.plan() {
        Ok(plan) => plan,
        Err(why) => return common::usage_error(TOOL, &why).into(),
    };
    let mut report = report::Report { out, words };
    match run::run(&plan, &mut report) {
        Ok(exit) => exit.into(),
        Err(refused) => {
            report.words.fail(&refused.0);
            (&refused).into()
        }
    }
}
