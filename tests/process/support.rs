//! Fake `/proc` trees, child processes with unusual names, and an independent implementation of psutil's rules for
//! names.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use igpu::process::ProcReader;

/// A temporary directory in the format of `/proc`, which is removed on drop.
pub(crate) struct FakeProc(PathBuf);

impl FakeProc {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, data: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, data).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn reader(&self) -> ProcReader {
        ProcReader::with_root(&self.0)
    }
}

impl Drop for FakeProc {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The text with which a child overwrites its command line.
#[derive(Clone, Copy)]
pub(crate) struct Title<'a> {
    pub text: &'a [u8],
    /// Whether the last byte of the old arguments is overwritten with a byte other than NUL. If `true`, the kernel
    /// returns only `text`. If `false`, it returns `text` followed by NULs, in the length of the old arguments.
    pub filled: bool,
}

/// A child process that runs the test `child` of this binary under given names. The child is killed on drop.
pub(crate) struct Child(std::process::Child);

const COMM: &str = "IGPU_TEST_COMM";
const TITLE: &str = "IGPU_TEST_TITLE";
const FILLED: &str = "IGPU_TEST_FILLED";
const TIME: &str = "IGPU_TEST_TIME";

fn command(program: PathBuf) -> Command {
    Command::new(program)
}

impl Child {
    /// Starts a child with a kernel name and an `argv[0]`, which then overwrites its command line with `title`.
    pub(crate) fn spawn(argv0: &[u8], comm: &[u8], title: Option<Title>) -> Self {
        let mut command = command(std::env::current_exe().unwrap());
        // The test harness requires arguments in UTF-8. Other arguments are written later.
        let utf8 = std::str::from_utf8(argv0).is_ok();
        command.arg0(OsStr::from_bytes(if utf8 { argv0 } else { b"child" }));
        Self::start(command, Some(comm), title.or((!utf8).then_some(Title { text: argv0, filled: false })))
    }

    pub(crate) fn start(mut command: Command, comm: Option<&[u8]>, title: Option<Title>) -> Self {
        command.args(["--exact", "child", "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env(COMM, OsStr::from_bytes(comm.unwrap_or_default()));
        if let Some(Title { text, filled }) = title {
            command.env(TITLE, OsStr::from_bytes(text)).env(FILLED, filled.to_string());
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line.ends_with("ready"));
        assert!(ready, "the child did not start");
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Kills the child without waiting for it, which leaves a zombie.
    pub(crate) fn kill_and_leave(&mut self) {
        self.0.kill().unwrap();
        let stat = format!("/proc/{}/stat", self.pid());
        while !String::from_utf8_lossy(&std::fs::read(&stat).unwrap()).contains(") Z ") {
            std::thread::yield_now();
        }
    }

    /// Returns the result of `format_local_time` in a time zone.
    pub(crate) fn local_time(zone: &str, seconds: &str) -> String {
        let mut command = command(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).env("TZ", zone).env(TIME, seconds);
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let (_, text) = output.split_once("time: ").unwrap();
        text.lines().next().unwrap().to_string()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the code of the child process. Does nothing in the parent.
pub(crate) fn run_child() {
    if let Ok(seconds) = std::env::var(TIME) {
        let text = igpu::process::format_local_time(seconds.parse().unwrap());
        println!("time: {}", text.map_or("None".to_string(), |text| text.to_string()));
    }
    let Some(comm) = std::env::var_os(COMM) else { return };
    if !comm.is_empty() {
        // The name is that of the process rather than that of the thread that runs this test.
        std::fs::write("/proc/self/comm", comm.as_bytes()).unwrap();
    }
    if let Some(title) = std::env::var_os(TITLE) {
        write_over_command_line(title.as_bytes(), std::env::var(FILLED).unwrap() == "true");
    }
    println!("ready");
    // Waits until the child is killed or the parent exits.
    let _ = std::io::stdin().read(&mut [0]);
}

/// Overwrites the command line as setproctitle does: the title, and NULs to the end of the arguments. If `filled` is
/// `true`, the last byte is not a NUL.
fn write_over_command_line(title: &[u8], filled: bool) {
    let stat = String::from_utf8_lossy(&std::fs::read("/proc/self/stat").unwrap()).into_owned();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    // Fields 48 and 49 are the start and the end of the arguments.
    let [start, end] = [45, 46].map(|index: usize| fields[index].trim().parse::<usize>().unwrap());
    let title = [title, &vec![0; end - start - title.len() - 1], &[u8::from(filled)]].concat();
    // SAFETY: the kernel reports the addresses of this process's arguments, which are writable. The test harness has
    // copied the arguments and no longer reads them.
    unsafe { std::ptr::copy_nonoverlapping(title.as_ptr(), start as *mut u8, title.len()) };
}

/// Decodes bytes as Python does with `surrogateescape`. An invalid byte becomes 0xdc00 plus the byte.
pub(crate) fn chars(mut bytes: &[u8]) -> Vec<u32> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        // The longest prefix of up to four bytes that is one character.
        let character = (1..=bytes.len().min(4)).find_map(|length| {
            let text = std::str::from_utf8(&bytes[..length]).ok()?;
            Some((length, text.chars().next()? as u32))
        });
        let (length, unit) = character.unwrap_or((1, 0xdc00 + u32::from(bytes[0])));
        out.push(unit);
        bytes = &bytes[length..];
    }
    out
}

/// Returns `basename(cmdline()[0])` as in psutil, or `None` for an empty command line.
pub(crate) fn psutil_argv0(data: &[u8]) -> Option<Vec<u8>> {
    if data.is_empty() {
        return None;
    }
    let separator = if data.ends_with(b"\0") { 0 } else { b' ' };
    let data = data.strip_suffix(&[separator]).unwrap_or(data);
    let mut arguments: Vec<&[u8]> = data.split(|&byte| byte == separator).collect();
    if separator == 0 && arguments.len() == 1 && data.contains(&b' ') {
        arguments = data.split(|&byte| byte == b' ').collect();
    }
    arguments[0].split(|&byte| byte == b'/').next_back().map(<[u8]>::to_vec)
}

/// Returns the result of psutil's `name()`, with U+FFFD for invalid bytes, truncated to complete characters in `limit`
/// bytes.
pub(crate) fn psutil_name(comm: &[u8], cmdline: &[u8], limit: usize) -> String {
    let mut name = chars(comm);
    if name.len() >= 15
        && let Some(argv0) = psutil_argv0(cmdline)
        && chars(&argv0).starts_with(&name)
    {
        name = chars(&argv0);
    }
    let mut text = String::new();
    for unit in name {
        let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
        if text.len() + character.len_utf8() > limit {
            break;
        }
        text.push(character);
    }
    text
}
