//! Installing, packaging and removing, as a person or a packager does it.

// The failure of a helper is the failure of its test.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{Tool, needs, needs_root, repository, scratch};

const TOOLS: [&str; 5] = ["portfree", "pidlock", "treekill", "waithealth", "procwatch"];

/// A build of all tools may have to come first.
const BUILD: Duration = Duration::from_secs(900);

fn script(name: &str) -> Tool {
    Tool::at(repository().join("scripts").join(name)).deadline(BUILD)
}

/// The files below a folder, relative to it.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).expect("below it").to_owned());
            }
        }
    }
    found
}

/// Every tool runs from there, and its man page and completions are beside it.
fn is_installed(prefix: &Path, zsh: &str) {
    for tool in TOOLS {
        let version = Tool::at(prefix.join("bin").join(tool))
            .arg("--version")
            .run();
        version.expect_stdout(&format!("{tool} {}\n", env!("CARGO_PKG_VERSION")));
        for file in [
            format!("share/man/man1/{tool}.1"),
            format!("share/bash-completion/completions/{tool}"),
            format!("share/zsh/{zsh}/_{tool}"),
            format!("share/fish/vendor_completions.d/{tool}.fish"),
        ] {
            let packed = prefix.join(format!("{file}.gz"));
            assert!(
                prefix.join(&file).exists() || packed.exists(),
                "{file} is missing"
            );
        }
    }
}

#[test]
fn install_and_uninstall_leave_what_was_there_before() {
    let root = scratch();
    let run = |arguments: &[&str]| {
        script("install.sh")
            .env("DESTDIR", root.path())
            .args(["--prefix", "/opt/of ours"])
            .args(arguments)
            .run()
            .expect_code(0)
    };
    let prefix = root.path().join("opt/of ours");
    fs::create_dir_all(prefix.join("bin")).expect("a folder");
    fs::write(prefix.join("bin/neighbour"), "").expect("a file");
    run(&[]);
    is_installed(&prefix, "site-functions");
    run(&["--uninstall"]);
    assert_eq!(
        files(root.path()),
        BTreeSet::from([PathBuf::from("opt/of ours/bin/neighbour")])
    );
}

#[test]
fn install_refuses_what_it_does_not_know() {
    for arguments in [
        vec!["--prefx", "/x"],
        vec!["--prefix"],
        vec!["--prefix", "relative"],
    ] {
        let ran = script("install.sh").args(&arguments).run().expect_code(125);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn the_archive_and_the_debian_package_install_run_and_go() {
    needs!("cargo-deb", "dpkg", "tar", "sha256sum");
    needs_root!();
    let out = scratch();
    script("release.sh")
        .arg("--out")
        .arg(out.path())
        .run()
        .expect_code(0);
    Tool::named("sha256sum")
        .args(["--check", "SHA256SUMS"])
        .current_dir(out.path())
        .run()
        .expect_code(0);
    let made = |ending: &str| {
        let names = files(out.path());
        let name = names
            .iter()
            .find(|name| name.to_string_lossy().ends_with(ending));
        out.path().join(name.expect(ending))
    };

    let unpacked = scratch();
    Tool::named("tar")
        .arg("-xzf")
        .arg(made(".tar.gz"))
        .arg("-C")
        .arg(unpacked.path())
        .arg("--strip-components=1")
        .run()
        .expect_code(0);
    is_installed(unpacked.path(), "site-functions");

    let root = scratch();
    let admin = root.path().join("var/lib/dpkg");
    fs::create_dir_all(admin.join("info")).expect("a folder");
    fs::create_dir_all(admin.join("updates")).expect("a folder");
    fs::write(admin.join("status"), "").expect("a file");
    let dpkg = |arguments: &[&str]| {
        let option = format!("--root={}", root.path().display());
        Tool::named("dpkg")
            .arg(option)
            .args(arguments)
            .run()
            .expect_code(0)
    };
    dpkg(&["--install", &made(".deb").to_string_lossy()]);
    is_installed(&root.path().join("usr"), "vendor-completions");
    dpkg(&["--remove", "server-tools"]);
    let left = root.path().join("usr");
    assert!(
        !left.exists() || files(&left).is_empty(),
        "{:?}",
        files(root.path())
    );
}
