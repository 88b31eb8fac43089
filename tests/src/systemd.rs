//! A machine in miniature whose PID 1 is systemd(1): namespaces of its own, an overlay of this
//! machine's files, and a control group that goes with it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Ran, Running, Tool, bin, needs, process, scratch, wait_until};

/// Makes the machine in the folder that is its argument and becomes systemd there. `files/` is
/// laid over the root; control groups are those of cgroups(7)'s version 2, whatever the machine
/// around uses.
const BOOT: &str = r#"
set -e
cd "$1"
mkdir groups memory root
mount -t cgroup2 groups groups
mkdir "groups/$2"
echo 0 >"groups/$2/cgroup.procs"
exec unshare --cgroup sh -c '
    set -e
    mount -t tmpfs memory memory
    mkdir memory/upper memory/work
    mount -t overlay overlay -o lowerdir=/,upperdir=memory/upper,workdir=memory/work root
    rm -rf root/etc/systemd/system
    cp -a files/. root
    mount -t proc proc root/proc
    mount -t sysfs -o ro sysfs root/sys
    mount -t cgroup2 groups root/sys/fs/cgroup
    for folder in dev run tmp; do mount -t tmpfs "$folder" "root/$folder"; done
    mkdir root/dev/shm root/dev/pts
    mount -t devpts -o newinstance,ptmxmode=666 devpts root/dev/pts
    ln -s pts/ptmx root/dev/ptmx
    ln -s /proc/self/fd root/dev/fd
    for name in null zero full random urandom tty; do
        : >"root/dev/$name"
        mount --bind "/dev/$name" "root/dev/$name"
    done
    exec env -i container=test PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        chroot root /lib/systemd/systemd --system --unit=basic.target --show-status=no
'
"#;

/// What is installed in it.
const OURS: [&str; 6] = [
    "portfree",
    "pidlock",
    "treekill",
    "waithealth",
    "procwatch",
    "demo-server",
];

/// A running machine; it ends with its guard.
#[derive(Debug)]
pub struct Systemd {
    machine: Option<Running>,
    folder: TempDir,
    init: u32,
    group: String,
}

/// Removes the control groups of a machine that has ended: where they are mounted, and their name.
const CLEAN_UP: &str = r#"
mount -t cgroup2 groups "$1/groups"
find "$1/groups/$2" -depth -type d -exec rmdir {} + 2>/dev/null
test ! -e "$1/groups/$2" || code=1
umount "$1/groups"
exit "${code:-0}"
"#;

impl Systemd {
    /// Boots it with our tools in `/usr/local/bin`, and with these files: their paths below its
    /// root and their texts; one that begins with `#!` can be executed. Only inside
    /// [`in_namespace!`](crate::in_namespace). `None`, said as skipped, where systemd or real
    /// root is absent.
    ///
    /// # Panics
    /// When it does not come up, and where `CI=true` when it cannot be started.
    #[must_use]
    pub fn boot(texts: &[(&str, String)]) -> Option<Self> {
        if !(needs::program("systemctl") && needs::program("nsenter") && needs::real_root()) {
            return None;
        }
        let folder = scratch();
        let files = folder.path().join("files");
        for tool in OURS {
            let copied = fs::copy(bin(tool), place(&files, &format!("usr/local/bin/{tool}")));
            copied.expect("the tool is built");
        }
        for (path, text) in texts {
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            let path = place(&files, path);
            fs::write(&path, text).expect("our own folder");
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own file");
        }
        let name = folder.path().file_name().expect("a folder has a name");
        let group = name.to_string_lossy().replace(' ', "-");
        let machine = Tool::named("unshare")
            .args([
                "--mount",
                "--pid",
                "--uts",
                "--ipc",
                "--fork",
                "--kill-child",
            ])
            .args(["sh", "-c", BOOT, "sh"])
            .arg(folder.path())
            .arg(&group);
        let machine = Running::start(machine);
        let mut init = 0;
        wait_until("PID 1 of the machine is there", || {
            let children = process::children(machine.pid());
            init = children.first().map_or(0, |child| child.pid.unsigned_abs());
            init > 0
        });
        let machine = Self {
            machine: Some(machine),
            folder,
            init,
            group,
        };
        wait_until("systemd answers", || {
            machine
                .run(&["systemctl", "is-active", "basic.target"])
                .code()
                == Some(0)
        });
        Some(machine)
    }

    /// Runs a program in it.
    pub fn run(&self, command: &[&str]) -> Ran {
        Tool::named("nsenter")
            .args(["--target", &self.init.to_string()])
            .args([
                "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--root", "--wd",
            ])
            .arg("--")
            .args(command)
            .run()
    }
}

/// The file below this root, in a folder that exists.
fn place(root: &Path, path: &str) -> PathBuf {
    let path = root.join(path);
    let folder = path.parent().expect("it is below the root");
    fs::create_dir_all(folder).expect("our own folder");
    path
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // Groups can be removed once the last process in them has died.
        self.machine = None;
        wait_until("its control groups are empty", || {
            let clean_up = Tool::named("sh").args(["-c", CLEAN_UP, "sh"]);
            clean_up
                .arg(self.folder.path())
                .arg(&self.group)
                .run()
                .code()
                == Some(0)
        });
    }
}
