//! Tests of the built command: its output, and its exit status.

mod conventions;
mod failures;
mod output;
#[cfg(feature = "plot")]
mod plot;
mod probe;
mod report;

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, fs::symlink, process::parent_id},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nvml_sim::{Scenario, built_library, install};
use serde_json::Value;

/// A process ID above the default maximum of Linux.
const UNUSED_PID: u32 = 4_199_998;

/// Returns the names of the built-in scenarios, each with its number of GPUs.
fn scenarios() -> impl Iterator<Item = (&'static str, usize)> {
    Scenario::names().iter().map(|name| (*name, Scenario::from_name(name).expect("a built-in scenario").gpu_count()))
}

fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    for name in ["IGPU_NVML_LIBRARY", "CUDA_VISIBLE_DEVICES", "NVML_SIM_SCENARIO", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    command.args(args.into_iter().map(|arg| arg.as_ref().to_owned())).stdin(Stdio::null());
    command
}

/// The exit status and the output of a command.
#[derive(Debug, PartialEq)]
struct CommandResult {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(mut command: Command) -> CommandResult {
    let output = command.output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    CommandResult { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn igpu(args: &[&str]) -> CommandResult {
    run(command(env!("CARGO_BIN_EXE_igpu"), args))
}

fn igpu_visible(value: &str, args: &[&str]) -> CommandResult {
    let mut command = command(env!("CARGO_BIN_EXE_igpu"), args);
    command.env("CUDA_VISIBLE_DEVICES", value);
    run(command)
}

/// Runs a command that must succeed without messages, and returns its stdout.
fn stdout_of(args: &[&str]) -> String {
    let result = igpu(args);
    assert_eq!((result.code, result.stderr.as_str()), (Some(0), ""), "{args:?}");
    result.stdout
}

fn json(text: &str) -> Vec<Value> {
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items,
        other => panic!("not a JSON array: {other:?} in {text}"),
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("a JSON object").keys().map(String::as_str).collect()
}

/// Returns the error messages without their prefixes and without the lines of advice.
fn errors(stderr: &str) -> Vec<&str> {
    assert!(!stderr.contains("panicked"), "{stderr}");
    let errors = stderr.lines().filter(|line| !line.starts_with("help: "));
    errors.map(|line| line.strip_prefix("igpu: ").expect(stderr)).collect()
}

/// An argument that selects a scenario in a temporary file.
struct ScenarioArg {
    _directory: tempfile::TempDir,
    argument: String,
}

fn simulated(toml: &str) -> ScenarioArg {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scenario.toml");
    fs::write(&path, toml).unwrap();
    let argument = format!("--simulate={}", path.display());
    ScenarioArg { _directory: directory, argument }
}

fn workstation(more: &str) -> ScenarioArg {
    simulated(&format!("{}\n{more}", Scenario::from_name("workstation").unwrap().text()))
}

/// Installs a simulated driver as a shared library in a temporary directory.
fn installed(toml: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario::from_toml(toml).unwrap();
    let path = install(directory.path(), &scenario, &built_library().unwrap()).unwrap();
    (directory, path)
}

/// Returns the indices of the GPUs that `igpu show` printed.
fn shown(result: &CommandResult) -> Vec<&str> {
    result.stdout.lines().filter_map(|line| line.strip_prefix("INDEX        : ")).collect()
}

/// Copies a program in another process. If this process wrote the copy, children of concurrent tests could inherit the
/// writable descriptor, and a file that is open for writing cannot be executed.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}
