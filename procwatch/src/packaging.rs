//! The man page and the completions, kept beside the crate.

use clap::CommandFactory as _;

use crate::cli::Options;

#[test]
fn man_page_and_completions_are_those_of_the_options() {
    testkit::packaging::keep_all(env!("CARGO_MANIFEST_DIR"), Options::command());
}
