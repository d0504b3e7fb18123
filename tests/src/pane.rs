//! A terminal that somebody looks at and types into, in tmux: with a size, an alternate screen and a cursor.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::command::{lasting, run};
use crate::{DEADLINE, eventually};

/// A shell in a pane of a tmux of its own. Dropped, all of it ends.
pub struct Pane {
    server: Child,
    socket: PathBuf,
    _folder: TempDir,
}

/// Each look is a process.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

impl Pane {
    #[track_caller]
    pub fn open(columns: u16, lines: u16) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let socket = folder.path().join("tmux.sock");
        // Not as a daemon: it ends with the test.
        let server = tmux(&socket)
            .args(["-f", "/dev/null", "-D"])
            .spawn()
            .expect("scripts/apt-packages installs tmux");
        let pane = Self {
            server,
            socket,
            _folder: folder,
        };
        let size = ["-x", &columns.to_string(), "-y", &lines.to_string()].map(str::to_owned);
        let shell = "env PS1='$ ' bash --norc --noprofile -i";
        eventually("tmux serves", || {
            let begin = ["new-session", "-d"].map(str::to_owned).into_iter().chain(size.clone());
            let said = run(tmux(&pane.socket).args(begin).arg(shell), DEADLINE);
            said.status.success().then_some(())
        });
        pane.wait_for("$");
        pane
    }

    /// A line, and Enter.
    #[track_caller]
    pub fn type_line(&self, line: &str) {
        self.tell(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    /// As tmux names it: `q`, `Tab`, `PageDown`, `C-c`.
    #[track_caller]
    pub fn press(&self, key: &str) {
        self.tell(&["send-keys", key]);
    }

    #[track_caller]
    pub fn resize(&self, columns: u16, lines: u16) {
        self.tell(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// What is seen.
    #[track_caller]
    pub fn screen(&self) -> String {
        self.tell(&["capture-pane", "-p"])
    }

    /// With the escapes that make colours.
    #[track_caller]
    pub fn coloured_screen(&self) -> String {
        self.tell(&["capture-pane", "-p", "-e"])
    }

    /// Looks until this is seen.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    #[track_caller]
    pub fn wait_until(&self, what: &str, accepts: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            if accepts(&screen) {
                return screen;
            }
            assert!(started.elapsed() < DEADLINE, "not to be seen: {what}\n{screen}");
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Whether lines of before are hidden behind a screen that a program has taken, and whether the cursor is seen.
    #[track_caller]
    pub fn state(&self) -> (bool, bool) {
        let said = self.tell(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        let [hidden, cursor] = ["1 ", " 1"];
        (said.starts_with(hidden), said.trim_end().ends_with(cursor))
    }

    /// The process that the shell waits for.
    pub fn foreground(&self) -> Option<u32> {
        let shell = self.tell(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    #[track_caller]
    fn tell(&self, arguments: &[&str]) -> String {
        run(tmux(&self.socket).args(arguments), DEADLINE).success()
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        let ended = run(tmux(&self.socket).arg("kill-server"), DEADLINE);
        if !ended.status.success() {
            self.server.kill().ok();
        }
        self.server.wait().ok();
    }
}

fn tmux(socket: &Path) -> Command {
    let mut command = lasting("tmux");
    command
        .env_remove("TMUX")
        .env_remove("NO_COLOR")
        .env("LC_ALL", "C.UTF-8")
        .arg("-u")
        .arg("-S")
        .arg(socket);
    command
}
