//! Man pages and completions, made from the options a tool declares and kept beside it.
//!
//! They are files of the repository, so that installing needs no generator; a test of each crate
//! makes them again and compares. `UPDATE_PACKAGING=1 cargo test packaging` writes them.

use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

/// The lines of a help text under `Options:` that define an option.
pub fn option_lines(help: &str) -> impl Iterator<Item = &str> {
    help.lines()
        .skip_while(|line| *line != "Options:")
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .filter(|line| line.trim_start().starts_with('-'))
}

/// The options that a help text defines, as a clap command from which completions can be made:
/// for tools that print a help of their own. An option stands at the start of an indented line,
/// `-w, --wait DUR`, two blanks before what it does.
#[must_use]
pub fn command_of_help(tool: &'static str, help: &str) -> Command {
    let arguments = option_lines(help).map(|line| {
        let (definition, help) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
        argument(definition, help.trim())
    });
    Command::new(tool)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(arguments.collect::<Vec<_>>())
}

fn argument(definition: &str, help: &str) -> Arg {
    let mut made = Arg::new(leaked(definition))
        .help(help.to_owned())
        .action(ArgAction::SetTrue);
    for word in definition.split([' ', ',']).filter(|word| !word.is_empty()) {
        if let Some(long) = word.strip_prefix("--") {
            made = made.long(leaked(long));
        } else if let Some(short) = word.strip_prefix('-').and_then(|s| s.chars().next()) {
            made = made.short(short);
        } else {
            made = made.action(ArgAction::Set).value_name(leaked(word));
        }
    }
    made
}

/// clap keeps names for the length of the program, and so does a test.
fn leaked(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// The completions of a tool under the file names that bash, zsh and fish look for.
#[must_use]
pub fn completions(mut command: Command) -> Vec<(String, String)> {
    let tool = command.get_name().to_owned();
    [
        (Shell::Bash, format!("completions/{tool}.bash")),
        (Shell::Zsh, format!("completions/_{tool}")),
        (Shell::Fish, format!("completions/{tool}.fish")),
    ]
    .into_iter()
    .map(|(shell, file)| {
        let mut script = Vec::new();
        generate(shell, &mut command, &tool, &mut script);
        (file, String::from_utf8(script).expect("UTF-8"))
    })
    .collect()
}

/// The man page of a clap tool. Its long help's `Heading:` paragraphs become sections.
#[must_use]
pub fn man_page(command: Command) -> (String, String) {
    let tool = command.get_name().to_owned();
    let after = command
        .get_after_long_help()
        .or(command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let version = command.get_version().unwrap_or_default().to_owned();
    let man = Man::new(command)
        .title(tool.to_uppercase())
        .date("2026-11-21")
        .source(format!("{tool} {version}"))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page))
        .expect("a buffer takes everything");
    let mut page = String::from_utf8(page).expect("UTF-8");
    page.push_str(&sections(&after));
    (format!("{tool}.1"), page)
}

/// Paragraphs under `Heading:` lines as roff(7): indented lines keep their form.
fn sections(text: &str) -> String {
    let mut roff = String::new();
    let mut verbatim = false;
    for line in text.lines() {
        let heading = line
            .strip_suffix(':')
            .filter(|_| !line.starts_with(char::is_whitespace));
        let indented = line.starts_with(char::is_whitespace) && !line.trim().is_empty();
        if verbatim && !indented {
            roff.push_str(".fi\n");
            verbatim = false;
        }
        if let Some(heading) = heading {
            roff.push_str(&format!(".SH {}\n", heading_name(heading)));
        } else if indented {
            if !verbatim {
                roff.push_str(".nf\n");
                verbatim = true;
            }
            roff.push_str(&escaped(line.strip_prefix("  ").unwrap_or(line)));
        } else if line.is_empty() {
            roff.push_str(".PP\n");
        } else {
            roff.push_str(&escaped(line));
        }
    }
    if verbatim {
        roff.push_str(".fi\n");
    }
    roff
}

/// A heading as man pages name it.
fn heading_name(heading: &str) -> String {
    match heading.to_uppercase().as_str() {
        "EXIT CODES" | "EXIT CODE" => "EXIT STATUS".to_owned(),
        other => other.to_owned(),
    }
}

/// A line of text that roff takes literally.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    match line.chars().next() {
        Some('.' | '\'') => format!("\\&{line}\n"),
        _ => format!("{line}\n"),
    }
}

/// Compares the man page and the completions of a clap tool with those kept in its folder.
///
/// # Panics
/// As [`keep`].
pub fn keep_all(folder: impl AsRef<Path>, command: Command) {
    let mut files = completions(command.clone());
    files.push(man_page(command));
    keep(folder, &files);
}

/// Compares files beside a crate with what they should be, or writes them where
/// `UPDATE_PACKAGING` is set.
///
/// # Panics
/// When one differs: the options changed and the files were not made again.
pub fn keep(folder: impl AsRef<Path>, files: &[(String, String)]) {
    let update = std::env::var_os("UPDATE_PACKAGING").is_some();
    for (name, content) in files {
        let file = folder.as_ref().join(name);
        if update {
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).expect("the folder of packaging files");
            }
            fs::write(&file, content).expect("a packaging file");
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == *content,
            "{} is not what the options say; make it again with UPDATE_PACKAGING=1 cargo test packaging",
            file.display()
        );
    }
}
