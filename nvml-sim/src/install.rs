//! Finding and installing the shared library.

use nvml_sim_core::{Scenario, ScenarioError};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What clients look for.
const LIBRARY_FILE_NAME: &str = "libnvidia-ml.so.1";

/// The scenario beside the library.
pub(crate) const SCENARIO_FILE_NAME: &str = "nvml-sim.toml";

/// The shared library that Cargo built: the newest `libnvml_sim.so` beside the running program, above it (programs
/// under `deps/` and `examples/`) or in `deps/` there. Cargo builds it with every test, example or program that
/// depends on this package.
///
/// # Errors
/// There is none: the sentence says how to build it.
pub fn built_library() -> Result<PathBuf, ScenarioError> {
    let program =
        std::env::current_exe().map_err(|error| ScenarioError::new(format!("cannot find myself: {error}")))?;
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for directory in program.ancestors().skip(1).take(3) {
        for candidate in [directory.join("libnvml_sim.so"), directory.join("deps").join("libnvml_sim.so")] {
            let Ok(made) = candidate.metadata().and_then(|metadata| metadata.modified()) else { continue };
            if newest.as_ref().is_none_or(|(known, _)| made > *known) {
                newest = Some((made, candidate));
            }
        }
    }
    newest.map(|found| found.1).ok_or_else(|| {
        ScenarioError::new(format!(
            "there is no libnvml_sim.so near {}; build it with `cargo build -p nvml-sim`",
            program.display()
        ))
    })
}

/// Installs the driver in a directory: `library` (see [`built_library`]) as `libnvidia-ml.so.1`, with the scenario
/// beside it. NVML clients use it if `LD_LIBRARY_PATH` is set to the directory. Returns the library's path.
///
/// # Errors
/// The directory or a file in it cannot be written.
pub fn install(directory: &Path, scenario: &Scenario, library: &Path) -> Result<PathBuf, ScenarioError> {
    let failed = |error: std::io::Error| {
        ScenarioError::new(format!("cannot install the driver in {}: {error}", directory.display()))
    };
    let path = directory.join(LIBRARY_FILE_NAME);
    fs::create_dir_all(directory).map_err(failed)?;
    fs::write(directory.join(SCENARIO_FILE_NAME), scenario.text()).map_err(failed)?;
    // Under another name first: a program may have the old one open.
    let temporary = directory.join(".libnvidia-ml.so.1.new");
    fs::copy(library, &temporary).map_err(failed)?;
    fs::rename(&temporary, &path).map_err(failed)?;
    Ok(path)
}
