//! Startup of the shared library: starts the scenario when the library is loaded.

use crate::install::SCENARIO_FILE_NAME;
use crate::symbol_hiding::{self, own_library};
use nvml_sim_core::{Scenario, ScenarioError, start};
use std::panic::catch_unwind;
use std::path::Path;

/// Selects the scenario: the name of a built-in one, or the path of a TOML file.
const SCENARIO_VARIABLE: &str = "NVML_SIM_SCENARIO";

/// Called by the dynamic linker (see `build.rs`) before a client can look up a symbol. Not called when linked into a
/// program, which starts a scenario itself.
#[unsafe(no_mangle)]
extern "C" fn nvml_sim_at_load() {
    // A panic must not cross into the linker. Its message is on stderr, and nvmlInit* will fail.
    let _ = catch_unwind(|| {
        // Before the program changes its directory.
        let _ = own_library();
        let started = choose_scenario().and_then(|scenario| {
            start(&scenario);
            symbol_hiding::apply()
        });
        if let Err(error) = started {
            eprintln!("nvml-sim: {error}.");
        }
    });
}

fn choose_scenario() -> Result<Scenario, ScenarioError> {
    if let Some(wanted) = std::env::var_os(SCENARIO_VARIABLE).filter(|wanted| !wanted.is_empty()) {
        let wanted = wanted.to_str().ok_or_else(|| ScenarioError::new(format!("{SCENARIO_VARIABLE} is not UTF-8")))?;
        return Scenario::load(wanted).map_err(|error| ScenarioError::new(format!("{SCENARIO_VARIABLE}: {error}")));
    }
    match own_library().map(|library| library.path.with_file_name(SCENARIO_FILE_NAME)).filter(|path| path.is_file()) {
        Some(path) => load_file(&path),
        None => Scenario::from_name("workstation"),
    }
}

fn load_file(path: &Path) -> Result<Scenario, ScenarioError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ScenarioError::new(format!("cannot read {}: {error}", path.display())))?;
    Scenario::from_toml(&text).map_err(|error| ScenarioError::new(format!("{}: {error}", path.display())))
}
