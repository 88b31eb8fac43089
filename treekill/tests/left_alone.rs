//! Nothing else is touched.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::{bystander, count, expect_alone, outcome, pid, run, shell, treekill, wait_for};
use testkit::{Running, Tool, in_namespace, needs, needs_root, process, scratch};
use treekill::guard::Guard;
use treekill::identity::Pinned;
use treekill::signal::Signal;
use treekill::table::Proc;
use treekill::terminate::{Ending, Policy, terminate};
use treekill::tree::{Scope, Tree};

#[test]
fn pid_1_and_our_own_ancestors_are_said_and_left_alone() {
    in_namespace!();
    let script = r#""$0" 1 $$ $1; echo "code $?""#;
    let victim = bystander();
    let ran = Tool::named("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_treekill"), &pid(&victim)])
        .run();
    let ran = ran.expect_code(0).expect_words("1 (");
    assert!(ran.stderr.contains("it is PID 1"), "{ran:?}");
    assert!(ran.stderr.contains("it is an ancestor"), "{ran:?}");
    assert!(ran.stdout.ends_with("code 1\n"), "{ran:?}");
    assert_eq!(
        outcome_of_first(&ran.stdout),
        [pid(&victim).as_str(), "term"]
    );
    expect_alone(&[]);
}

fn outcome_of_first(records: &str) -> [&str; 2] {
    let mut fields = records.lines().next().unwrap().split('\t');
    [fields.next().unwrap(), fields.next().unwrap()]
}

#[test]
fn a_kernel_thread_is_left_alone() {
    let threads = Proc::open().unwrap().table().unwrap();
    let Some(thread) = threads.iter().find(|stat| stat.is_kernel_thread) else {
        // A container shows none; `Guard` is told of one in its own test.
        return;
    };
    let ran = run(&["-n", &thread.pid().to_string()]).expect_code(1);
    assert!(ran.stdout.is_empty());
    let _ = ran.expect_words("it is a kernel thread");
}

#[test]
fn a_shell_whose_own_command_line_matches() {
    in_namespace!();
    let victim = Running::start(Tool::named("sleep").arg("4321"));
    let script = r#""$0" --match 'sleep 4321'; echo "code $?""#;
    let ran = Tool::named("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_treekill")])
        .run();
    let ran = ran.expect_code(0).expect_stderr("");
    assert!(ran.stdout.ends_with("code 0\n"), "{ran:?}");
    assert!(process::gone(victim.pid()));
}

#[test]
fn itself_and_what_started_it_are_named_and_left_alone() {
    in_namespace!();
    let of_shell = |script: &str| {
        let tool = Tool::named("sh").args(["-c", script, env!("CARGO_BIN_EXE_treekill")]);
        tool.run()
    };
    of_shell(r#"exec "$0" $$"#)
        .expect_code(1)
        .expect_stdout("")
        .expect_words("left alone: it is this very process");
    let ran = of_shell(r#"sleep 1001 & "$0" -v --children $$"#).expect_code(0);
    assert_eq!(count(&ran, "term"), 1, "{ran:?}");
    ran.expect_words("left alone: it is this very process");
}

#[test]
fn another_treekill_is_not_what_is_looked_for() {
    in_namespace!();
    let deaf = shell("trap '' TERM; echo up; while :; do sleep 1; done");
    let busy = Running::start(treekill().args(["-v", "-g", "600", &pid(&deaf)]));
    testkit::wait_until("it is busy", || busy.output().contains("TERM"));
    run(&["--match", "treekill", "--name", "treekill"]).expect_code(0);
    assert!(!process::gone(busy.pid()));
}

#[test]
fn a_process_of_another_user_is_denied() {
    in_namespace!();
    needs_root!();
    needs!("setpriv");
    // Where the binary stands, that user may not be able to go.
    let folder = scratch();
    let ours = folder.path().join("treekill");
    std::fs::copy(env!("CARGO_BIN_EXE_treekill"), &ours).unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let as_nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let theirs = bystander();
    let own = Running::start(
        Tool::named("setpriv")
            .args(as_nobody)
            .args(["sleep", "8888"]),
    );
    wait_for(1, "sleep 8888");
    let tool = Tool::named("setpriv").args(as_nobody).arg(&ours);
    // Nor may they see whom a PID file of ours names.
    let file = folder.path().join("run.pid");
    std::fs::write(&file, pid(&theirs)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let blind = Tool::named("setpriv").args(as_nobody).arg(&ours).arg("-p");
    let ran = blind.arg(&file).run().expect_code(77);
    let _ = ran.expect_words("Permission denied");
    let ran = tool.args([pid(&theirs), pid(&own)]).run().expect_code(77);
    assert_eq!(outcome(&ran, &pid(&theirs)), "denied");
    assert_eq!(outcome(&ran, &pid(&own)), "term");
    let _ = ran.expect_words("it belongs to root");
    expect_alone(&[&theirs]);
}

#[test]
fn a_member_that_changes_its_user_is_still_a_member() {
    in_namespace!();
    needs_root!();
    needs!("setpriv");
    let script = "trap 'exec setpriv --reuid 65534 --clear-groups sh -c \"trap : TERM; while :; do sleep 1001; done\"' TERM; echo up; while :; do sleep 0.02; done";
    let root = shell(script);
    let ran = run(&["-g", "500ms", &pid(&root)]).expect_code(0);
    assert_eq!(outcome(&ran, &pid(&root)), "kill");
    expect_alone(&[]);
}

#[test]
fn a_number_that_went_to_another_process_reaches_nobody() {
    in_namespace!();
    let proc = Proc::open().unwrap();
    let victim = bystander();
    let number = i32::try_from(victim.pid()).unwrap();
    let table = proc.table().unwrap();
    let old = table.get(number).unwrap().clone();
    let mut tree = Tree::new(Scope::Tree);
    let member = tree.add_root(&old, &Guard::new(&table)).unwrap().unwrap();
    drop(victim);
    let Some(stranger) = next_process_with(number, old.identity.start) else {
        testkit::needs::skip("needs /proc/sys/kernel/ns_last_pid");
        return;
    };
    assert!(Pinned::open(&proc, old.identity).unwrap().is_none());
    let policy = Policy {
        signal: Signal::TERM,
        grace: Duration::from_millis(100),
        escalate: true,
        leader_first: false,
    };
    let outcomes = terminate(&proc, &mut tree, (table, vec![member]), policy, &mut |_| {}).unwrap();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].ending, Ending::Gone);
    expect_alone(&[&stranger]);
}

/// Starts processes until one has this number, at a later clock tick than the one before it.
fn next_process_with(number: i32, later_than: u64) -> Option<Running> {
    let last = "/proc/sys/kernel/ns_last_pid";
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(last, (number - 1).to_string()).ok()?;
        let started = bystander();
        let stat = Proc::open().unwrap().stat(number)?;
        if started.pid() == number.unsigned_abs() && stat.identity.start > later_than {
            return Some(started);
        }
    }
    None
}
