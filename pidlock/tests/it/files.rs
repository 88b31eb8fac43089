//! FILE in hard places: other file systems, no room, no permission, other people's traps.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use testkit::{Tool, in_namespace, needs, needs_root, process, scratch, wait_until};

use crate::world::World;

/// Mounts a file system there; says `skipped` where that is not allowed.
fn mounted(kind: &str, at: &Path, options: &str) -> bool {
    let done = mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options));
    if let Err(error) = &done {
        testkit::needs::skip(&format!("needs to mount {kind} ({error})"));
    }
    done.is_ok()
}

fn pidlock(folder: &Path) -> Tool {
    Tool::at(env!("CARGO_BIN_EXE_pidlock")).current_dir(folder)
}

/// The whole life of a lock in this folder.
fn lives_in(folder: &Path) {
    let state = || {
        let ran = pidlock(folder).args(["--status", "x.pid"]).run();
        ran.records()[0][0].to_owned()
    };
    for turn in 0..2 {
        let ran = pidlock(folder).args(["-d", "x.pid", "sleep", "1000"]).run();
        let ran = ran.expect_code(0);
        let pid = ran.stdout.trim().to_owned();
        assert_eq!(state(), "running");
        pidlock(folder)
            .args(["--holder", "x.pid"])
            .run()
            .expect_stdout(&ran.stdout);
        pidlock(folder)
            .args(["x.pid", "true"])
            .run()
            .expect_code(75);
        let flock = Tool::named("flock").args(["-n", "-E", "33", "x.pid", "true"]);
        flock.current_dir(folder).run().expect_code(33);
        let command: i32 = pid.parse().unwrap();
        let keeper = process::look(command).unwrap().ppid;
        if turn == 1 {
            crate::world::send(keeper, Signal::SIGKILL);
            wait_until("its keeper is dead", || process::gone(keeper));
            pidlock(folder)
                .args(["x.pid", "true"])
                .run()
                .expect_code(75);
        }
        crate::world::send(command, Signal::SIGTERM);
        wait_until("it is dead", || process::gone(command));
        pidlock(folder).args(["x.pid", "true"]).run().expect_code(0);
        assert_eq!(state(), "free");
    }
    // A lock of flock(1) is seen too.
    let flock = Tool::named("flock").args(["-F", "x.pid", "sleep", "1000"]);
    let flock = testkit::Running::start(flock.current_dir(folder));
    wait_until("it is seen", || state() == "unknown");
    drop(flock);
}

#[test]
fn it_works_on_tmpfs() {
    in_namespace!();
    let folder = scratch();
    if mounted("tmpfs", folder.path(), "") {
        lives_in(folder.path());
    }
}

#[test]
fn it_works_on_overlayfs() {
    in_namespace!();
    let folder = scratch();
    // An overlay cannot always stand on another one: it gets a tmpfs of its own.
    if !mounted("tmpfs", folder.path(), "") {
        return;
    }
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("lower/old.pid"), "42\n").unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    let merged = folder.path().join("merged");
    if !mounted(
        "overlay",
        &merged,
        "lowerdir=lower,upperdir=upper,workdir=work",
    ) {
        return;
    }
    lives_in(&merged);
    // A stale FILE of the layer below.
    let ran = pidlock(&merged).args(["old.pid", "cat", "old.pid"]).run();
    assert!(ran.expect_code(0).stdout.trim().parse::<u32>().is_ok());
    assert!(!merged.join("old.pid").exists());
}

#[test]
fn it_works_on_the_disk_of_the_build() {
    needs!("flock");
    // The scratch folder may be a tmpfs; the build's own folder is a disk.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    lives_in(folder.path());
}

#[test]
fn on_a_full_disk_the_old_content_stays_whole() {
    in_namespace!();
    let folder = scratch();
    if !mounted("tmpfs", folder.path(), "size=64k,nr_inodes=8") {
        return;
    }
    let at = |name: &str| folder.path().join(name);
    fs::write(at("empty.pid"), "").unwrap();
    fs::write(at("old.pid"), "123\n").unwrap();
    let _ = fs::write(at("filler"), [0; 1 << 17]);
    for option in ["-v", "-F", "-d"] {
        let ran = pidlock(folder.path())
            .args([option, "new.pid", "touch", "/ran"])
            .run();
        let ran = ran.expect_code(125);
        assert!(ran.stderr.contains("No space left on device"), "{ran:?}");
        assert!(!at("new.pid").exists(), "{option}");
    }
    // No room for a new file's content, but for the old one's there is.
    let ran = pidlock(folder.path())
        .args(["old.pid", "cat", "old.pid"])
        .run();
    assert!(ran.expect_code(0).stdout.trim().parse::<u32>().is_ok());
}

#[test]
fn where_content_cannot_be_written_the_old_one_stays_whole() {
    let world = World::new();
    // A limit on the size of files stands in for a disk without room: both refuse the write.
    let script = |option: &str| {
        let pidlock = env!("CARGO_BIN_EXE_pidlock");
        // Its words go through a pipe: a file could not take them either.
        let line = format!("ulimit -f 0; exec '{pidlock}' {option} run.pid true 2>&1");
        format!("trap '' XFSZ; ({line}) | cat >&2; exit ${{PIPESTATUS[0]}}")
    };
    for option in ["-v", "-F", "-d"] {
        world.write(b"123\n");
        let tool = Tool::named("bash").args(["-c", &script(option)]);
        let ran = tool.current_dir(world.path("")).run().expect_code(125);
        let _ = ran.expect_words("cannot write the PID");
        assert_eq!(world.content(), "123\n", "{option}");
        fs::remove_file(world.file()).unwrap();
        let tool = Tool::named("bash").args(["-c", &script(option)]);
        tool.current_dir(world.path("")).run().expect_code(125);
        assert!(
            !world.file().exists(),
            "{option}: it leaves none that it made"
        );
    }
}

#[test]
fn a_file_in_a_folder_that_cannot_be_written_is_used_and_emptied() {
    needs_root!();
    needs!("setpriv");
    let world = World::new();
    let copy = world.path("pidlock");
    fs::copy(env!("CARGO_BIN_EXE_pidlock"), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        Tool::named("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&copy)
            .args(arguments)
            .current_dir(world.path(""))
            .run()
    };
    // No permission to make one there.
    let ran = as_nobody(&["run.pid", "true"]).expect_code(125);
    ran.expect_stderr("pidlock: run.pid: Permission denied\n");
    // One that is there and somebody else's.
    world.write(b"123\n");
    as_nobody(&["run.pid", "true"])
        .expect_code(125)
        .expect_words("Permission denied");
    assert_eq!(world.content(), "123\n");
    // One that was made for this user.
    chown(world.file(), Some(65534), None).unwrap();
    as_nobody(&["run.pid", "true"])
        .expect_code(0)
        .expect_stderr("");
    assert_eq!(
        world.content(),
        "",
        "it cannot be removed: no number stays in it"
    );
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let world = World::new();
    for option in ["-v", "-F", "-d"] {
        let ran = world.pidlock([option, "no/run.pid", "true"]).run();
        ran.expect_code(125)
            .expect_stderr("pidlock: no/run.pid: its folder is not there\n");
    }
    let ran = world.pidlock(["/dev/null/run.pid", "true"]).run();
    ran.expect_code(125).expect_words("Not a directory");
}

/// `/tmp/x.pid` as another user may have prepared it.
#[test]
fn a_trap_in_a_folder_of_everybody_is_refused() {
    needs_root!();
    let world = World::new();
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(world.path("victim"), "").unwrap();
    let refused = |name: &str, why: &str| {
        for option in ["-v", "-F", "-d", "--wait=inf"] {
            let ran = world.pidlock([option, name, "true"]).run();
            ran.expect_code(125).expect_words(why);
        }
    };
    symlink("victim", world.path("link.pid")).unwrap();
    fs::hard_link(world.path("victim"), world.path("hard.pid")).unwrap();
    refused("link.pid", "a symbolic link");
    refused("hard.pid", "a second name");
    assert_eq!(fs::read(world.path("victim")).unwrap(), b"");
    // A file of somebody else's, who may have locked it, and may write any number into it.
    world.write(b"1\n");
    chown(world.file(), Some(12345), Some(12345)).unwrap();
    refused("run.pid", "belongs to user 12345");
    assert_eq!(world.content(), "1\n");
    // In a folder that only its owner can write to, it is his to arrange.
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    world.pidlock(["run.pid", "true"]).run().expect_code(0);
}

#[test]
fn a_file_that_was_replaced_while_waiting_is_followed() {
    let world = World::new();
    let holder = world.hold([]);
    let mut waiting =
        testkit::Running::start(world.pidlock(["-w", "60", "run.pid", "cat", "run.pid"]));
    wait_until("it waits", || {
        process::look(waiting.pid()).is_some_and(|seen| seen.state == 'S')
    });
    let before = fs::metadata(world.file()).unwrap().ino();
    // Keeps its number from being given to the next file.
    let old = fs::File::open(world.file()).unwrap();
    holder.end_command(Signal::SIGTERM);
    assert_eq!(waiting.wait(), 0);
    assert_eq!(old.metadata().unwrap().ino(), before);
    let number: u32 = waiting.output().trim().parse().unwrap();
    assert_ne!(number, waiting.pid());
    assert!(!world.file().exists());
}
