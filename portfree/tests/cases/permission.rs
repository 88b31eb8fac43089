//! What this user may not see, signal or bind; sandboxes.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use testkit::{Ran, Running, in_namespace, needs, needs_root, process, scratch, wait_until};

use crate::server::{await_ready, can_start, pid, portfree, script, serve};

/// A copy of the binary that every user can run; where cargo builds may be closed to them.
fn for_everybody() -> (TempDir, String) {
    let folder = scratch();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let program = folder.path().join("portfree");
    std::fs::copy(env!("CARGO_BIN_EXE_portfree"), &program).unwrap();
    let program = program.to_str().unwrap().to_owned();
    (folder, program)
}

/// A server of the user nobody. It becomes a new program with its new user: the kernel keeps a
/// process that changed its user closed to that user.
fn serve_as_nobody(lines: &str) -> Running {
    let lines = script(&format!("{lines}\nready()\nforever()\n")).into_command();
    let words: Vec<&str> = std::iter::once(lines.get_program())
        .chain(lines.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    await_ready(Running::start(script(&format!(
        "os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.execvp({:?}, {words:?})",
        words[0]
    ))))
}

/// Runs portfree as the user nobody.
fn as_nobody(arguments: &[&str]) -> Ran {
    let (_folder, program) = for_everybody();
    script(&format!(
        "os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.execv({program:?}, ['portfree'] + {arguments:?})"
    ))
    .run()
}

#[test]
fn somebody_elses_port_is_never_free() {
    needs!("python3");
    needs_root!();
    in_namespace!();
    let server = serve("s = listener(8000)");
    for arguments in [&["8000"][..], &["-f", "-g0", "8000"]] {
        as_nobody(arguments)
            .expect_code(77)
            .expect_stdout("")
            .expect_words("8000/tcp: in use, holder not visible")
            .expect_words("of user root")
            .expect_words("root is needed");
    }
    as_nobody(&["--check", "8000"]).expect_code(1);
    as_nobody(&["--pids", "8000"])
        .expect_code(77)
        .expect_stdout("");
    let list = as_nobody(&["--list", "8000"]).expect_code(0);
    assert_eq!(
        list.records(),
        [["tcp", "0.0.0.0:8000", "LISTEN", "-", "root", "-", "-"]]
    );
    assert!(!process::gone(server.pid()));
}

#[test]
fn ones_own_server_among_processes_that_are_closed_to_us() {
    needs!("python3");
    needs_root!();
    in_namespace!();
    let other = serve("s = listener(9000)");
    let mine = serve_as_nobody("s = listener(8000)");
    as_nobody(&["8000"]).expect_code(0).expect_stderr("");
    assert!(process::gone(mine.pid()) && !process::gone(other.pid()));
    assert!(can_start(8000));
}

#[test]
fn one_of_two_holders_is_somebody_elses() {
    needs!("python3");
    needs_root!();
    in_namespace!();
    let mine = serve_as_nobody("s = listener(8000, '127.0.0.1')");
    let other = serve("s = listener(8000, '127.0.0.2')");
    let freed = as_nobody(&["8000"])
        .expect_code(77)
        .expect_words("of user root");
    assert_eq!(freed.records().len(), 1);
    assert!(process::gone(mine.pid()) && !process::gone(other.pid()));
}

#[test]
fn proc_mounted_with_hidepid() {
    needs!("python3");
    needs_root!();
    in_namespace!();
    let mine = serve_as_nobody("s = listener(8000, '127.0.0.1')");
    let other = serve("s = listener(8001)");
    let mount = testkit::Tool::named("mount");
    let mount = mount.args(["-o", "remount,hidepid=2", "/proc"]).run();
    if mount.code() != Some(0) {
        return testkit::needs::skip("needs to mount /proc with hidepid");
    }
    as_nobody(&["8001"])
        .expect_code(77)
        .expect_words("of user root");
    as_nobody(&["8000"]).expect_code(0);
    assert!(process::gone(mine.pid()) && !process::gone(other.pid()));
}

#[test]
fn ports_that_this_user_may_not_bind_are_judged_by_the_kernels_answer() {
    needs!("python3");
    needs_root!();
    in_namespace!();
    as_nobody(&["--check", "80"])
        .expect_code(0)
        .expect_stderr("");
    as_nobody(&["-v", "80"])
        .expect_code(0)
        .expect_words("80/tcp: this user may not bind it: judged by socket diagnostics alone");
    let _server = serve("s = listener(80)");
    as_nobody(&["--check", "80"]).expect_code(1);
    as_nobody(&["80"]).expect_code(77);
}

#[test]
fn next_gives_a_port_that_this_user_can_bind() {
    needs!("python3");
    needs_root!();
    in_namespace!();
    as_nobody(&["--next", "80"])
        .expect_code(0)
        .expect_stdout("1024\n")
        .expect_words("ports that this user may not bind passed over");
    as_nobody(&["--next", "80-90"])
        .expect_code(1)
        .expect_stdout("");
    portfree(&["--next", "80"])
        .expect_code(0)
        .expect_stdout("80\n");
}

#[test]
fn without_proc_a_free_port_is_proved_and_a_held_one_is_a_failure() {
    needs!("python3");
    needs_root!();
    in_namespace!();
    let mut server = serve("s = listener(8000)");
    let program = env!("CARGO_BIN_EXE_portfree");
    let without_proc = |port| {
        script(&format!(
            "libc = ctypes.CDLL(None)
CLONE_NEWNS = 0x20000
assert libc.unshare(CLONE_NEWNS) == 0
assert libc.mount(b'none', b'/', None, 1 << 18 | 1 << 14, None) == 0
assert libc.mount(b'none', b'/proc', b'tmpfs', 0, None) == 0
os.execv({program:?}, ['portfree', '{port}'])"
        ))
        .run()
    };
    without_proc(8001).expect_code(0).expect_stderr("");
    without_proc(8000)
        .expect_code(125)
        .expect_words("portfree: /proc: cannot look for processes: ");
    assert!(server.ended().is_none());
}

#[test]
fn a_proc_of_another_pid_namespace_is_not_believed() {
    needs!("python3", "unshare");
    in_namespace!();
    let mut server = serve("s = listener(8000)");
    let program = env!("CARGO_BIN_EXE_portfree");
    // Its numbers mean other processes than ours.
    testkit::Tool::named("unshare")
        .args(["--pid", "--fork", "--kill-child", program, "8000"])
        .run()
        .expect_code(125)
        .expect_words("it shows another PID namespace");
    assert!(server.ended().is_none());
}

/// Runs portfree where the kernel denies netlink sockets (seccomp(2)), as some sandboxes do.
fn without_netlink(arguments: &[&str]) -> Ran {
    let program = env!("CARGO_BIN_EXE_portfree");
    script(&format!(
        "import struct
SOCKET = {{'x86_64': 41, 'aarch64': 198}}[os.uname().machine]
def op(code, yes, no, k):
    return struct.pack('HBBI', code, yes, no, k)
program = b''.join([
    op(0x20, 0, 0, 0), op(0x15, 0, 3, SOCKET),            # not socket(2): allow
    op(0x20, 0, 0, 16), op(0x15, 0, 1, socket.AF_NETLINK), # another family: allow
    op(0x06, 0, 0, 0x00050000 | 13), op(0x06, 0, 0, 0x7fff0000)])
code = ctypes.create_string_buffer(program)
filter = struct.pack('HxxxxxxP', len(program) // 8, ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.c_char_p(filter), 0, 0) == 0, ctypes.get_errno()
os.execv({program:?}, ['portfree'] + {arguments:?})"
    ))
    .run()
}

#[test]
fn netlink_denied_falls_back_to_proc_net() {
    needs!("python3");
    in_namespace!();
    let servers =
        serve("s = [listener(8000), listener(8001, '::1'), bound(8002, kind=socket.SOCK_DGRAM)]");
    let ports = ["8000", "8001", "8002/udp"];
    without_netlink(&["-v", "--check", "7000"])
        .expect_code(0)
        .expect_words("socket diagnostics: Permission denied; /proc/net is read instead");
    for port in ports {
        without_netlink(&["--check", port]).expect_code(1);
    }
    let list = without_netlink(&["--list", "8000", "8001", "8002/udp"]).expect_code(0);
    assert_eq!(list.records().len(), 3);
    without_netlink(&["8000", "8001", "8002/udp"]).expect_code(0);
    assert!(process::gone(servers.pid()));
}

#[test]
fn a_holder_that_the_kernel_does_not_show_is_never_free() {
    needs!("python3");
    in_namespace!();
    // /proc/net shows no socket that is bound without listening: as kernels before 6.8.
    let server = serve("s = bound(8000, reuse=False)");
    for arguments in [&["8000"][..], &["--list", "8000"]] {
        let ran = without_netlink(arguments);
        let ran = ran.expect_words("8000/tcp: in use, holder not visible");
        assert_eq!(ran.code(), Some(i32::from(arguments.len() == 1)), "{ran:?}");
    }
    without_netlink(&["--check", "8000"]).expect_code(1);
    assert!(!process::gone(server.pid()));
}

#[test]
fn a_descendant_that_is_not_ours_to_signal_is_denied_and_the_port_is_free_all_the_same() {
    needs!("python3", "setpriv");
    needs_root!();
    in_namespace!();
    let folder = scratch();
    let setpriv = folder.path().join("setpriv");
    std::fs::copy(testkit::needs::on_path("setpriv").unwrap(), &setpriv).unwrap();
    for (path, mode) in [(folder.path(), 0o755), (&setpriv, 0o4755)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mine = serve_as_nobody(&format!(
        "s = listener(8000)\nsubprocess.Popen([{setpriv:?}, '--reuid', '0', 'sleep', '1234'])"
    ));
    let theirs = || {
        process::others()
            .into_iter()
            .find(|seen| seen.cmdline == "sleep 1234")
    };
    wait_until("the descendant is root's", || theirs().is_some());
    let ran = as_nobody(&["8000"]).expect_code(0);
    let theirs = theirs().expect("it lives").pid.to_string();
    let outcome = |pid: &str| {
        let records = ran.records();
        let record = records.into_iter().find(|record| record[0] == pid);
        record.map(|record| record[1].to_owned())
    };
    assert_eq!(outcome(&theirs).as_deref(), Some("denied"), "{ran:?}");
    assert_eq!(outcome(&pid(&mine)).as_deref(), Some("term"), "{ran:?}");
    let _ = ran.expect_words("not ours to signal: root is needed");
}
