//! A program on a terminal: what it draws, and keys pressed.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::{Tool, sys, wait_until};

/// A program that leads a session on a pseudo-terminal of 24 lines and 80 columns (pty(7)).
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts the program with all three streams on the terminal, and `TERM=xterm`.
    ///
    /// # Panics
    /// When there is no pseudo-terminal, or the program cannot be started.
    #[must_use]
    pub fn start(tool: Tool) -> Self {
        let (near, far) = pair().expect("a pseudo-terminal");
        sys::set_terminal_size(&near, 24, 80);
        let other = || far.try_clone().expect("a second handle");
        let mut command = tool
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .into_command();
        command.stdin(other()).stdout(other()).stderr(other());
        sys::leads_a_terminal(&mut command);
        let child = command.spawn();
        // The last handle of the far side here must go, or its end would never be seen.
        drop(command);
        drop(far);
        let keyboard = File::from(std::os::fd::OwnedFd::from(near));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (keyboard.try_clone().expect("a handle"), screen.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: nobody has the far side open any more.
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                let mut screen = to.lock().unwrap_or_else(PoisonError::into_inner);
                screen.extend_from_slice(&buffer[..read]);
            }
        });
        Self {
            child: child.expect("the program starts"),
            keyboard,
            screen,
        }
    }

    /// Its PID, which is its session's and its first process group's too.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses keys: `"\x03"` is Ctrl-C, `"\r"` the Enter key.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("a terminal");
    }

    /// Everything drawn so far, control characters too.
    #[must_use]
    pub fn drawn(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Waits until `text` has been drawn.
    ///
    /// # Panics
    /// When it is not drawn in time.
    pub fn wait_for(&self, text: &str) {
        let what = format!("the terminal shows {text:?}");
        wait_until(&what, || self.drawn().contains(text));
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ending = None;
        wait_until("the program on the terminal ends", || {
            ending = self.child.try_wait().expect("our own child");
            ending.is_some()
        });
        ending.expect("it has ended")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both sides of a new pseudo-terminal. openpty(3) would leave them open in every program that
/// another test happens to start meanwhile.
fn pair() -> std::io::Result<(PtyMaster, File)> {
    let near = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&near)?;
    unlockpt(&near)?;
    let far = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&near)?)?;
    Ok((near, far))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_keys_and_sees_its_size() {
        // The shell itself waits for the key that ends it: a child could lose it before its exec.
        let script = "stty size; read line; echo got $line; read line";
        let mut terminal = Terminal::start(Tool::named("sh").args(["-c", script]));
        terminal.wait_for("24 80");
        terminal.press("hello\r");
        terminal.wait_for("got hello");
        terminal.press("\x03");
        assert!(!terminal.wait().success());
    }
}
