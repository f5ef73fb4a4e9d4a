//! Tests of `igpu record` with real processes, signals, and failing disks.
//!
//! The tests wait for events with long timeouts. They check which events occurred, in which order, and that sums are
//! correct, but not how soon an event occurred.

mod children;
mod disks;
mod gpus;
mod signals;
mod summary;
mod terminal;
mod usage;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use igpu_recording::{Header, Item, event, read};
use nix::{
    sys::signal::{SigHandler, Signal, kill, signal},
    unistd::Pid,
};

/// A GPU that draws 200 W. Its energy counter refreshes every 100 ms, and its calls have no latency.
const CONSTANT_SCENARIO: &str = r#"
[[gpu]]
name = "Steady"
memory = { total_mib = 8192, used_mib = 1000 }
power = { draw_w = 200, energy_refresh_ms = 100, limits_w = { current = 250, min = 100, max = 300, default = 250 } }
utilization = { gpu_percent = 40, memory_percent = 10 }
process = []
"#;

/// A script that waits until [`Workdir::release_script`] is called.
const WAIT_SCRIPT: &str = "until [ -e go ]; do sleep 0.05; done";

/// A temporary directory with a scenario, for one test.
struct Workdir {
    directory: tempfile::TempDir,
}

/// Resets ignored signals to their default actions. Tests that run under `nohup` or in the background of a script
/// inherit ignored signals, and would pass them on to the programs that they start.
fn reset_signal_handlers() {
    use Signal::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    for ignored in [SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
        // SAFETY: the default disposition is set, and no handler function that would have to be async-signal-safe.
        unsafe { signal(ignored, SigHandler::SigDfl) }.unwrap();
    }
}

impl Workdir {
    fn new(scenario: &str) -> Self {
        reset_signal_handlers();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("scenario.toml"), scenario).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the command `igpu record` in this directory. `args` has its arguments, separated by spaces.
    fn record(&self, args: &str) -> Command {
        self.record_and(args, [] as [&str; 0])
    }

    /// Returns the command `igpu record` that records this shell script.
    fn record_script(&self, args: &str, script: &str) -> Command {
        self.record_and(args, ["--", "sh", "-c", script])
    }

    fn record_and<S: AsRef<OsStr>>(&self, args: &str, more: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_igpu"));
        for name in ["IGPU_NVML_LIBRARY", "CUDA_VISIBLE_DEVICES", "NVML_SIM_SCENARIO"] {
            command.env_remove(name);
        }
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command.args(["record", "--simulate=./scenario.toml"]).args(args.split_whitespace()).args(more);
        command
    }

    /// Ends the wait of [`WAIT_SCRIPT`].
    fn release_script(&self) {
        fs::write(self.path("go"), "").unwrap();
    }

    /// Returns the items that a recording in progress has at this time.
    fn items_so_far(&self, name: &str) -> Vec<Item> {
        read(&self.path(name)).map_or(Vec::new(), |items| items.map_while(Result::ok).collect())
    }

    /// Waits until the items of a recording in progress meet a condition.
    #[track_caller]
    fn wait_for(&self, name: &str, what: &str, condition: impl Fn(&[Item]) -> bool) {
        wait_until(what, || condition(&self.items_so_far(name)));
    }

    /// Starts a command whose output is written to files, which [`Self::output`] and [`Self::wait`] read.
    fn start(&self, mut command: Command) -> Child {
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| File::create(self.path(name)).unwrap());
        command.stdout(stdout).stderr(stderr).spawn().expect("igpu")
    }

    /// Returns the output that a command started with [`Self::start`] has written to this stream.
    fn output(&self, stream: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(stream)).unwrap()).into_owned()
    }

    /// Waits until this text appears on stderr.
    #[track_caller]
    fn wait_for_stderr(&self, what: &str) {
        wait_until(what, || self.output("stderr").contains(what));
    }

    /// Waits for a command that [`Self::start`] has started.
    #[track_caller]
    fn wait(&self, mut child: Child) -> RecordResult {
        let status = child.wait().unwrap();
        let result = RecordResult { status, stdout: self.output("stdout"), stderr: self.output("stderr") };
        assert!(!result.stderr.contains("panicked"), "{}", result.stderr);
        result
    }

    /// Returns the items of a recording. The recording must be valid, but need not have an end.
    #[track_caller]
    fn items(&self, name: &str) -> Vec<Item> {
        let items: Result<Vec<Item>, _> = read(&self.path(name)).expect("a recording").collect();
        items.expect("a valid recording")
    }
}

/// The exit status and the output of a command.
#[derive(Debug)]
struct RecordResult {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl RecordResult {
    fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

#[track_caller]
fn run(mut command: Command) -> RecordResult {
    finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("igpu"))
}

#[track_caller]
fn finished(child: Child) -> RecordResult {
    let output = child.wait_with_output().expect("igpu");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let result = RecordResult { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!result.stderr.contains("panicked"), "{}", result.stderr);
    result
}

/// Starts a command whose output is piped, and waits until it prints the line `ready`.
fn started(mut command: Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("igpu");
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, stdout)
}

fn send(signal: Signal, to: &Child) {
    kill(Pid::from_raw(to.id() as i32), signal).unwrap();
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        // The timeout is long enough for a busy machine.
        assert!(begin.elapsed() < Duration::from_secs(120), "timeout while waiting: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn header(items: &[Item]) -> Header {
    items[0].header().expect("the first item has the header")
}

fn events_named<'a>(items: &'a [Item], name: &'a str) -> impl Iterator<Item = &'a Item> {
    items.iter().filter(move |item| item.event_name() == Some(name))
}

#[track_caller]
fn single_event<'a>(items: &'a [Item], name: &'a str) -> &'a Item {
    let found: Vec<&Item> = events_named(items, name).collect();
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0]
}

/// Returns the times and values of a series.
fn values(items: &[Item], key: &str) -> Vec<(u64, f64)> {
    let of_series = items.iter().filter(|item| item.event_name().is_none() && item.series().unwrap().key() == key);
    of_series.map(|item| (item.time_unix_nano, item.value.unwrap())).collect()
}

fn has_end(items: &[Item]) -> bool {
    items.last().and_then(Item::event_name) == Some(event::END)
}

/// Returns the number of dropped records in the last heartbeat.
fn dropped_count(items: &[Item]) -> f64 {
    events_named(items, event::HEARTBEAT).last().expect("a heartbeat").value.unwrap()
}
