//! The command as its user has it: the built binary, what it prints, and how it ends.

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

/// A pid that no Linux gives out by default.
const UNUSED_PID: u32 = 4_199_998;

/// Returns the built-in scenarios and how many GPUs each has.
fn scenarios() -> impl Iterator<Item = (&'static str, usize)> {
    Scenario::names().iter().map(|name| (*name, Scenario::from_name(name).expect("built in").gpu_count()))
}

fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    for name in ["IGPU_NVML_LIBRARY", "CUDA_VISIBLE_DEVICES", "NVML_SIM_SCENARIO", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    command.args(args.into_iter().map(|arg| arg.as_ref().to_owned())).stdin(Stdio::null());
    command
}

/// How a command ended.
#[derive(Debug, PartialEq)]
struct CommandResult {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(mut command: Command) -> CommandResult {
    let output = command.output().expect("the command");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
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

/// What was printed by a command that had nothing to complain of.
fn stdout_of(args: &[&str]) -> String {
    let result = igpu(args);
    assert_eq!((result.code, result.stderr.as_str()), (Some(0), ""), "{args:?}");
    result.stdout
}

fn json(text: &str) -> Vec<Value> {
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items,
        other => panic!("no array: {other:?} in {text}"),
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// What a failure says: one line for each, after the command's name.
fn errors(stderr: &str) -> Vec<&str> {
    let message: Vec<_> = stderr.lines().map(|line| line.strip_prefix("igpu: ").expect(stderr)).collect();
    assert!(!stderr.contains("panicked"), "{stderr}");
    message
}

/// A scenario in a file, as an argument.
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

/// A driver as a shared library in a directory of its own.
fn installed(toml: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario::from_toml(toml).unwrap();
    let path = install(directory.path(), &scenario, &built_library().unwrap()).unwrap();
    (directory, path)
}

/// The indices that are shown.
fn shown(result: &CommandResult) -> Vec<&str> {
    result.stdout.lines().filter_map(|line| line.strip_prefix("INDEX        : ")).collect()
}

/// Copies a program by a process of its own: a descriptor of this one that is open for writing would be inherited by
/// the children of tests beside this one, and nobody may run a file that is being written.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}
