//! What the help of a tool says, its man page and its README say too, and the other way round.

// The failure of a helper is the failure of its test.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;

use testkit::packaging::option_lines;
use testkit::{Tool, repository};

/// Options by name, as in `-s` and `--signal`.
type Options = BTreeSet<String>;

/// The options in a piece of text: words that begin with one or two dashes.
fn options_in(text: &str) -> Options {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| {
            let name = word.trim_start_matches('-');
            let dashes = word.len() - name.len();
            !name.is_empty() && (dashes == 2 || (dashes == 1 && name.len() == 1))
        })
        .map(str::to_owned)
        .collect()
}

/// The options that the help defines under `Options:`, before what they do.
fn in_help(help: &str) -> Options {
    option_lines(help)
        .flat_map(|line| {
            let definition = line.trim_start();
            let end = definition.find("  ").unwrap_or(definition.len());
            options_in(&definition[..end])
        })
        .collect()
}

/// The options that the man page defines: the line after each `.TP` of its section OPTIONS.
fn in_man_page(page: &str) -> Options {
    let options = page
        .split("\n.SH ")
        .find(|section| section.trim_start_matches('"').starts_with("OPTIONS"))
        .unwrap_or_default();
    let plain = ["\\fB", "\\fI", "\\fR", "\\fP"]
        .iter()
        .fold(options.replace("\\-", "-"), |text, font| {
            text.replace(font, "")
        });
    let lines: Vec<&str> = plain.lines().collect();
    lines
        .windows(2)
        .filter(|pair| pair[0].starts_with(".TP"))
        .flat_map(|pair| options_in(pair[1]))
        .collect()
}

/// The options that the README's tables define: the first cell of a row that begins with one.
fn in_readme(readme: &str) -> Options {
    readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `-"))
        .flat_map(|row| options_in(&format!("-{}", row.split(" |").next().unwrap_or_default())))
        .collect()
}

fn same_everywhere(tool: &str) {
    let folder = repository().join(tool);
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect(name);
    let help = in_help(&Tool::named(tool).arg("--help").run().expect_code(0).stdout);
    assert!(
        help.contains("--help") && help.len() > 6,
        "{tool}: {help:?}"
    );
    assert_eq!(
        help,
        in_man_page(&read(&format!("{tool}.1"))),
        "{tool}: help and man page differ"
    );
    assert_eq!(
        help,
        in_readme(&read("README.md")),
        "{tool}: help and README differ"
    );
}

#[test]
fn portfree_is_documented_as_it_is() {
    same_everywhere("portfree");
}

#[test]
fn pidlock_is_documented_as_it_is() {
    same_everywhere("pidlock");
}

#[test]
fn treekill_is_documented_as_it_is() {
    same_everywhere("treekill");
}

#[test]
fn waithealth_is_documented_as_it_is() {
    same_everywhere("waithealth");
}

#[test]
fn procwatch_is_documented_as_it_is() {
    same_everywhere("procwatch");
}
