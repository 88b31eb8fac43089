//! The system fails portfree under way: what its exit code says of the processes is true.

use testkit::{faults, in_namespace, needs, process};

use crate::server::{serve, tool};

#[test]
fn what_fails_before_the_first_signal_is_125_and_what_fails_after_it_is_1() {
    needs!("python3", "strace");
    in_namespace!();
    for (call, error, first) in [
        ("getdents64", "ENOMEM", 125),
        ("pidfd_open", "ENOSYS", 125),
        ("socket", "EMFILE", 1),
        // Without netlink /proc/net answers.
        ("sendto", "EPERM", 0),
        ("recvfrom", "ENOBUFS", 0),
    ] {
        for nth in 1.. {
            let server = serve("ignore(signal.SIGTERM)\ns = listener()");
            let deaf = tool(&["-g", "0.1", "--settle", "0", "8000"]);
            let faulty = faults::run(deaf, call, error, nth);
            let what = format!("{call} {nth}: {faulty:?}");
            let is_signalled = faulty.calls.contains("SIG");
            let seen = process::look(server.pid());
            match faulty.ran.code() {
                Some(0) => assert!(process::gone(server.pid()), "{what}"),
                Some(1) => assert!(seen.is_none_or(|seen| seen.state != 'T'), "{what}"),
                Some(125) => assert!(!is_signalled, "{what}"),
                _ => panic!("{what}"),
            }
            if !faulty.is_struck() {
                break;
            }
            for line in faulty.ran.stderr.lines() {
                assert!(
                    line.starts_with("portfree: ") && line.matches(": ").count() > 1,
                    "{what}"
                );
            }
            assert!(nth > 1 || faulty.ran.code() == Some(first), "{what}");
        }
    }
}
