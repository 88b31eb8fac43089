//! The completions, kept beside the crate.

use crate::cli::{Plan, parse};

#[test]
fn completions_are_those_of_the_help() {
    let Ok((_, Plan::Print(help))) = parse(["pidlock".into(), "--help".into()]) else {
        panic!("no help");
    };
    let command = testkit::packaging::command_of_help("pidlock", &help);
    let files = testkit::packaging::completions(command);
    testkit::packaging::keep(env!("CARGO_MANIFEST_DIR"), &files);
}
