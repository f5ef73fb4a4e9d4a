//! `igpu record` as its user has it: real processes, real signals, real disks that fail. What happens is waited for, and
//! then asserted: which things, in which order, and that sums are right; not how soon.

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

/// One GPU that draws 200 W, with an energy counter that refreshes each 100 ms, and calls that cost nothing.
const CONSTANT_SCENARIO: &str = r#"
[[gpu]]
name = "Steady"
memory = { total_mib = 8192, used_mib = 1000 }
power = { draw_w = 200, energy_refresh_ms = 100, limits_w = { current = 250, min = 100, max = 300, default = 250 } }
utilization = { gpu_percent = 40, memory_percent = 10 }
process = []
"#;

/// A script that waits for [`Workdir::release_script`].
const WAIT_SCRIPT: &str = "until [ -e go ]; do sleep 0.05; stdout_of";

/// A directory with a scenario, for one test.
struct Workdir {
    directory: tempfile::TempDir,
}

/// Whoever runs the tests may ignore some, under `nohup` or in the background of a script, and their programs inherit it.
fn reset_signal_handlers() {
    use Signal::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    for each in [SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
        // SAFETY: it is no handler that is set.
        unsafe { signal(each, SigHandler::SigDfl) }.unwrap();
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

    /// `igpu record` in this directory, with these arguments, by words.
    fn record(&self, args: &str) -> Command {
        self.record_and(args, [] as [&str; 0])
    }

    /// `igpu record` of a script.
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

    /// Lets a script that waits go on.
    fn release_script(&self) {
        fs::write(self.path("go"), "").unwrap();
    }

    /// What was written of a recording so far.
    fn items_so_far(&self, name: &str) -> Vec<Item> {
        read(&self.path(name)).map_or(Vec::new(), |items| items.map_while(Result::ok).collect())
    }

    /// Waits until this is so of what was written of a recording.
    #[track_caller]
    fn wait_for(&self, name: &str, what: &str, condition: impl Fn(&[Item]) -> bool) {
        wait_until(what, || condition(&self.items_so_far(name)));
    }

    /// Starts it with its output in files, for [`Self::output`] and [`Self::wait`].
    fn start(&self, mut command: Command) -> Child {
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| File::create(self.path(name)).unwrap());
        command.stdout(stdout).stderr(stderr).spawn().expect("igpu")
    }

    /// What was written into this stream so far.
    fn output(&self, stream: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(stream)).unwrap()).into_owned()
    }

    /// Waits until it has said this on stderr.
    #[track_caller]
    fn wait_for_stderr(&self, what: &str) {
        wait_until(what, || self.output("stderr").contains(what));
    }

    /// How what was started ended.
    #[track_caller]
    fn wait(&self, mut child: Child) -> CommandResult {
        let status = child.wait().unwrap();
        let result = CommandResult { status, stdout: self.output("stdout"), stderr: self.output("stderr") };
        assert!(!result.stderr.contains("panicked"), "{}", result.stderr);
        result
    }

    /// The items of a recording that is whole, though it may not have ended in order.
    #[track_caller]
    fn items(&self, name: &str) -> Vec<Item> {
        let items: Result<Vec<Item>, _> = read(&self.path(name)).expect("a recording").collect();
        items.expect("it is whole")
    }
}

/// How a command ended.
#[derive(Debug)]
struct CommandResult {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl CommandResult {
    fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

#[track_caller]
fn run(mut command: Command) -> CommandResult {
    finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("igpu"))
}

#[track_caller]
fn finished(child: Child) -> CommandResult {
    let output = child.wait_with_output().expect("igpu");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let result = CommandResult { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!result.stderr.contains("panicked"), "{}", result.stderr);
    result
}

/// Starts it with pipes, and waits for the line that its command prints when it is ready.
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
        // However busy the machine is.
        assert!(begin.elapsed() < Duration::from_secs(600), "it never was so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn header(items: &[Item]) -> Header {
    items[0].header().expect("the first item says what is recorded")
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

/// The values of a series, with when they were so.
fn values(items: &[Item], key: &str) -> Vec<(u64, f64)> {
    let of_series = items.iter().filter(|item| item.event_name().is_none() && item.series().unwrap().key() == key);
    of_series.map(|item| (item.at, item.value.unwrap())).collect()
}

fn has_end(items: &[Item]) -> bool {
    items.last().and_then(Item::event_name) == Some(event::END)
}

/// The last number of records lost that was told.
fn dropped_count(items: &[Item]) -> f64 {
    events_named(items, event::HEARTBEAT).last().expect("a heartbeat").value.unwrap()
}
