//! Functions that find and install the shared library.

use nvml_sim_core::{Scenario, ScenarioError};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The file name for which NVML clients search.
const LIBRARY_FILE_NAME: &str = "libnvidia-ml.so.1";

/// The name of the scenario file next to the library.
pub(crate) const SCENARIO_FILE_NAME: &str = "nvml-sim.toml";

/// Returns the path of the shared library that Cargo built.
///
/// The function searches for the newest `libnvml_sim.so` in the folder of the running program, its two parent folders,
/// and the folder `deps` in each of these. Cargo builds the library with every test, example, or program that depends
/// on this package; `cargo build -p nvml-sim` builds it alone.
///
/// # Errors
/// Fails if there is no library in these folders.
pub fn built_library() -> Result<PathBuf, ScenarioError> {
    let program = std::env::current_exe()
        .map_err(|error| ScenarioError::new(format!("cannot find the running program: {error}")))?;
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for directory in program.ancestors().skip(1).take(3) {
        for candidate in [directory.join("libnvml_sim.so"), directory.join("deps").join("libnvml_sim.so")] {
            let Ok(modified) = candidate.metadata().and_then(|metadata| metadata.modified()) else { continue };
            if newest.as_ref().is_none_or(|(time, _)| modified > *time) {
                newest = Some((modified, candidate));
            }
        }
    }
    newest.map(|found| found.1).ok_or_else(|| {
        ScenarioError::new(format!("there is no libnvml_sim.so in the folders near {}", program.display()))
    })
}

/// Installs the simulated driver in a directory, and returns the path of the installed library.
///
/// `library`, as returned by [`built_library`], is installed as `libnvidia-ml.so.1`, and the scenario next to it as
/// `nvml-sim.toml`. NVML clients use the driver if `LD_LIBRARY_PATH` contains the directory.
///
/// # Errors
/// Fails if the directory or a file in it cannot be written.
pub fn install(directory: &Path, scenario: &Scenario, library: &Path) -> Result<PathBuf, ScenarioError> {
    let failed = |error: std::io::Error| {
        ScenarioError::new(format!("cannot install the driver in {}: {error}", directory.display()))
    };
    let path = directory.join(LIBRARY_FILE_NAME);
    fs::create_dir_all(directory).map_err(failed)?;
    fs::write(directory.join(SCENARIO_FILE_NAME), scenario.text()).map_err(failed)?;
    // A program may have loaded an earlier copy, whose file must not be overwritten.
    let temporary = directory.join(".libnvidia-ml.so.1.new");
    fs::copy(library, &temporary).map_err(failed)?;
    fs::rename(&temporary, &path).map_err(failed)?;
    Ok(path)
}
