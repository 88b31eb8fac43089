//! The completions, kept beside the crate.

use crate::cli::{Invocation, parse};

#[test]
fn completions_are_those_of_the_help() {
    let Ok(Invocation::Show(help)) = parse(vec!["--help".into()]) else {
        panic!("no help");
    };
    let command = testkit::packaging::command_of_help("waithealth", &help);
    let files = testkit::packaging::completions(command);
    testkit::packaging::keep(env!("CARGO_MANIFEST_DIR"), &files);
}
