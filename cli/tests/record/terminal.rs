//! Tests of recordings on a terminal: Ctrl-C, Ctrl-Z, hangup, and the status line.

use std::{io::Write as _, os::unix::process::CommandExt as _, sync::mpsc};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    libc,
    pty::openpty,
};

use super::*;

/// A pseudoterminal with a command in its foreground.
pub(crate) struct Terminal {
    keys: File,
    child: Child,
    pieces: mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    pub(crate) fn new(mut command: Command) -> Self {
        let pty = openpty(None, None).unwrap();
        // The terminal hangs up when the last descriptor of the master is closed, so no child may inherit a descriptor.
        fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        let mut screen = File::from(pty.master.try_clone().unwrap());
        let [a, b, c] = [(); 3].map(|()| pty.slave.try_clone().unwrap());
        command.stdin(a).stdout(b).stderr(c);
        // SAFETY: both calls are async-signal-safe, as required between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop((command, pty.slave));
        let (sender, pieces) = mpsc::channel();
        // The thread ends when the last process has closed the terminal.
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keys: pty.master.into(), child, pieces, text: String::new() }
    }

    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let begin = Instant::now();
        while !self.text.contains(text) {
            assert!(begin.elapsed() < Duration::from_secs(120), "{text:?} did not appear: {:?}", self.text);
            if let Ok(piece) = self.pieces.recv_timeout(Duration::from_millis(100)) {
                self.text += &String::from_utf8_lossy(&piece);
            }
        }
    }

    fn press(&mut self, key: u8) {
        self.keys.write_all(&[key]).unwrap();
    }

    /// Waits for the command. Returns its exit status and everything that was written to the terminal.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        drop(self.keys);
        self.pieces.iter().for_each(|piece| self.text += &String::from_utf8_lossy(&piece));
        (status, self.text)
    }
}

const CTRL_C_BYTE: u8 = 3;
const CTRL_Z_BYTE: u8 = 26;

#[test]
fn ctrl_c_reaches_command_once() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let script =
        "n=0; trap 'n=1; echo heard' INT; echo ready; while [ $n = 0 ]; do sleep 0.05; done; sleep 0.7; exit 0";
    let mut terminal = Terminal::new(workdir.record_script("-o x.csv", script));
    terminal.wait_for("ready");
    terminal.press(CTRL_C_BYTE);
    let (status, text) = terminal.wait();
    assert_eq!((status.code(), text.matches("heard\r\n").count()), (Some(0), 1), "{text:?}");
    let items = workdir.items("x.csv");
    assert!(has_end(&items));
    let [start, end] = [event::COMMAND_START, event::COMMAND_END].map(|name| single_event(&items, name));
    // The last sleep of the script was not interrupted.
    let seconds = (end.time_unix_nano - start.time_unix_nano) as f64 / 1e9;
    assert!(seconds >= 0.7 && end.value == Some(0.0), "{seconds} {end:?}");
}

#[test]
fn terminal_hangup_reaches_command() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    // The kernel sends SIGHUP only to igpu, which is the session leader.
    let script = "trap 'echo hup >> heard' HUP; echo ready; until [ -e heard ]; do sleep 0.05; done; sleep 0.3; exit 4";
    let mut terminal = Terminal::new(workdir.record_script("-o x.csv", script));
    terminal.wait_for("ready");
    let Terminal { keys, mut child, pieces, .. } = terminal;
    drop((keys, pieces));
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert_eq!(fs::read_to_string(workdir.path("heard")).unwrap(), "hup\n");
    assert!(has_end(&workdir.items("x.csv")));
}

#[test]
fn ctrl_c_ends_recording_with_status_line() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let mut terminal = Terminal::new(workdir.record("-o x.csv --duration 600"));
    terminal.wait_for("200 W, 40 % busy, ");
    terminal.press(CTRL_C_BYTE);
    let (status, text) = terminal.wait();
    assert_eq!(status.code(), Some(0), "{text:?}");
    assert!(text.contains("recording 0:00:0") && text.contains(" records, "), "{text:?}");
    // The line is erased before the location of the recording is printed.
    let after = text.rsplit("recording 0:00:0").next().unwrap();
    assert!(after.contains("\u{1b}[2K") && after.contains("x.csv: "), "{text:?}");
    assert!(has_end(&workdir.items("x.csv")));
}

#[test]
fn job_control_suspends_and_resumes() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let igpu = env!("CARGO_BIN_EXE_igpu");
    // A shell with job control suspends and resumes igpu together with its command.
    let command = format!("sh -c 'echo started; {WAIT_SCRIPT}; echo slept; exit 6'");
    let script = format!(
        "set -m; {igpu} record --simulate=./scenario.toml -o x.csv -- {command}; echo first $?; fg; echo then $?"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(workdir.directory.path());
    let mut terminal = Terminal::new(shell);
    terminal.wait_for("started");
    terminal.press(CTRL_Z_BYTE);
    // 148 is 128 plus the number of SIGTSTP.
    terminal.wait_for("first 148");
    workdir.release_script();
    let (_, text) = terminal.wait();
    let [first, slept, then] = ["first 148", "slept", "then 6"].map(|word| text.find(word));
    assert!(first.is_some() && first < slept && slept < then, "{text:?}");
    assert!(has_end(&workdir.items("x.csv")));
}
