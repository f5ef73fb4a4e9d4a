//! Tools that the tests share: the built and the installed library, the simulated driver, and compilers.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// Returns the folder of this package.
pub(crate) fn package_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    package_root().parent().expect("a folder above")
}

/// Returns a folder for the files of these tests, in Cargo's target folder.
pub(crate) fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs a command, and returns its standard output. Panics if it fails.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, all_output(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns everything that a command printed.
pub(crate) fn all_output(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns `true` if the tool is installed. Otherwise, prints a note.
pub(crate) fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("{tool} is not installed; skipping the checks that need it");
    }
    found
}

/// The library that a program is linked with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Library {
    /// The library that cargo built for these tests.
    Built,
    /// The library that `scripts/install-capi` installed.
    Installed,
}

impl Library {
    /// Returns the folder of `libigpu.so`.
    pub(crate) fn folder(self) -> PathBuf {
        match self {
            Self::Built => built().to_owned(),
            Self::Installed => prefix().join("lib"),
        }
    }
}

/// Returns a folder with links to the library that cargo built. The links have the names that programs look for.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = std::env::current_exe().expect("this program");
        let library = program.with_file_name("libigpu_capi.so");
        let folder = scratch().join("built");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        for name in ["libigpu.so", "libigpu.so.0"] {
            std::os::unix::fs::symlink(&library, folder.join(name)).expect("a link");
        }
        folder
    })
}

/// Returns the prefix under which the library is installed. The first call installs the library.
pub(crate) fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = scratch().join("prefix");
        let _ = fs::remove_dir_all(&prefix);
        let mut script = Command::new(workspace().join("scripts/install-capi"));
        run(script.arg(&prefix).env("CARGO_TARGET_DIR", target()));
        prefix
    })
}

/// Returns Cargo's target folder, which contains the folder of these tests.
pub(crate) fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder above")
}

/// Returns the folder of a simulated driver. NVML_SIM_SCENARIO selects its scenario.
pub(crate) fn driver() -> &'static Path {
    static DRIVER: OnceLock<PathBuf> = OnceLock::new();
    DRIVER.get_or_init(|| {
        let folder = scratch().join("driver");
        let scenario = nvml_sim::Scenario::from_name("workstation").expect("the scenario");
        nvml_sim::install(&folder, &scenario, &nvml_sim::built_library().expect("the simulator")).expect("the driver");
        folder
    })
}

/// The tool that a program runs with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RunWith {
    Nothing,
    Valgrind,
    AddressSanitizer,
}

/// Compiles a program of this package, and links it with the library. Also links the simulated driver, so that the
/// program can control it, and so that it remains loaded until the leak check. Returns `None` if the compiler lacks the
/// sanitizer.
pub(crate) fn compile(source: &str, library: Library, run_with: RunWith) -> Option<PathBuf> {
    let sanitized = run_with == RunWith::AddressSanitizer;
    let source = package_root().join(source);
    let folder = scratch().join(format!("{library:?}{}", if sanitized { "-asan" } else { "" }));
    fs::create_dir_all(&folder).expect("a folder");
    let program = folder.join(source.file_stem().expect("a name"));
    let mut command = compiler(source.extension().is_some_and(|extension| extension == "cpp"));
    if sanitized {
        command.arg("-fsanitize=address");
        if !has_address_sanitizer() {
            return None;
        }
    }
    let rpath = |folder: &Path| format!("-Wl,-rpath,{}", folder.display());
    command.args(WARNINGS).args(["-O1", "-g", "-rdynamic", "-pthread"]).arg(&source);
    // A program that opens the library with dlopen is not linked with it.
    command.arg("-Wl,--as-needed");
    match library {
        Library::Built => {
            command.arg("-I").arg(include()).arg("-L").arg(library.folder()).arg("-ligpu");
        }
        Library::Installed => {
            command.args(pkg_config(&["--cflags", "--libs"]).split_whitespace());
        }
    }
    command.arg("-Wl,--no-as-needed").arg(nvml_sim::built_library().expect("the simulator"));
    run(command.args([rpath(&library.folder()), rpath(driver())]).args(["-ldl", "-lm", "-o"]).arg(&program));
    Some(program)
}

/// Returns the folder of the header.
pub(crate) fn include() -> PathBuf {
    package_root().join("include")
}

pub(crate) const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

pub(crate) fn compiler(cpp: bool) -> Command {
    let (variable, default, standard) = if cpp { ("CXX", "c++", "-std=c++17") } else { ("CC", "cc", "-std=c11") };
    let mut command = Command::new(std::env::var_os(variable).unwrap_or(default.into()));
    command.arg(standard);
    command
}

/// Returns `true` if the compiler supports AddressSanitizer. Otherwise, prints a note.
fn has_address_sanitizer() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let source = scratch().join("empty.c");
        fs::write(&source, "int main(void) { return 0; }\n").expect("a file");
        let output =
            compiler(false).arg("-fsanitize=address").arg(&source).arg("-o").arg(scratch().join("empty")).output();
        let has = output.is_ok_and(|output| output.status.success());
        if !has {
            eprintln!("the compiler does not support AddressSanitizer; skipping the checks that need it");
        }
        has
    })
}

/// Returns the output of pkg-config for the installed library.
pub(crate) fn pkg_config(arguments: &[&str]) -> String {
    run(Command::new("pkg-config").args(arguments).arg("igpu").env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig")))
}

/// Runs a program with the simulated driver, and returns its output.
#[track_caller]
pub(crate) fn execute(program: &Path, run_with: RunWith, arguments: &[&str], variables: &[(&str, &OsStr)]) -> String {
    let suppressions = |file: &str| workspace().join(file).display().to_string();
    let mut command = match run_with {
        RunWith::Valgrind => {
            let mut valgrind = Command::new("valgrind");
            // The child process does not free the memory of its parent.
            let leaks = if program.ends_with("forked") { "no" } else { "full" };
            valgrind.arg(format!("--leak-check={leaks}"));
            valgrind.args(["--quiet", "--error-exitcode=99", "--show-leak-kinds=definite"]);
            valgrind.args(["--errors-for-leak-kinds=definite", "--child-silent-after-fork=yes"]);
            // Valgrind alternates between threads, so that a busy loop does not starve the sampler's thread.
            valgrind.arg("--fair-sched=try");
            valgrind.arg(format!("--suppressions={}", suppressions("scripts/valgrind.supp"))).arg(program);
            valgrind
        }
        RunWith::Nothing | RunWith::AddressSanitizer => Command::new(program),
    };
    for name in ["CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    let leaks = format!("suppressions={}:print_suppressions=0", suppressions("capi/tests/programs/leaks.supp"));
    command.env("IGPU_NVML_LIBRARY", driver().join("libnvidia-ml.so.1")).env("NVML_SIM_SCENARIO", "workstation");
    command.env("LSAN_OPTIONS", leaks);
    run(command.args(arguments).envs(variables.iter().copied()))
}

/// Builds and runs a program with the library that cargo built. Returns its output.
#[track_caller]
pub(crate) fn on_built(source: &str, arguments: &[&str]) -> String {
    let program = compile(source, Library::Built, RunWith::Nothing).expect("the program");
    execute(&program, RunWith::Nothing, arguments, &[])
}

/// Builds and runs a program with the installed library, with each tool that is available. Passes its output to
/// `check`.
#[track_caller]
pub(crate) fn on_installed(source: &str, arguments: &[&str], check: impl Fn(&str)) {
    for run_with in [RunWith::Nothing, RunWith::Valgrind, RunWith::AddressSanitizer] {
        if run_with == RunWith::Valgrind && !has("valgrind") {
            continue;
        }
        // If a thread allocates during a fork, the locks of gcc's AddressSanitizer remain held in the child.
        if run_with == RunWith::AddressSanitizer && source.ends_with("forked.c") {
            continue;
        }
        if let Some(program) = compile(source, Library::Installed, run_with) {
            check(&execute(&program, run_with, arguments, &[]));
        }
    }
}
