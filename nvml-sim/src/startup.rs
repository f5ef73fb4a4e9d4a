//! The startup function of the shared library, which starts a scenario when the library is loaded.

use crate::install::SCENARIO_FILE_NAME;
use crate::symbol_hiding::{self, own_library};
use nvml_sim_core::{Scenario, ScenarioError, start};
use std::panic::catch_unwind;
use std::path::Path;

/// The environment variable that contains the name of a built-in scenario or the path of a TOML file.
const SCENARIO_VARIABLE: &str = "NVML_SIM_SCENARIO";

/// Starts the scenario. The dynamic linker calls this function (see `build.rs`) before a client can look up a symbol.
/// The function is not called in a program that links the package and starts a scenario itself.
#[unsafe(no_mangle)]
extern "C" fn nvml_sim_at_load() {
    // A panic must not unwind into the linker. After a panic, whose message is on stderr, nvmlInit* fails.
    let _ = catch_unwind(|| {
        // Resolves the path of the library before the program changes its working directory.
        let _ = own_library();
        let started = choose_scenario().and_then(|scenario| {
            start(&scenario);
            symbol_hiding::apply()
        });
        if let Err(error) = started {
            eprintln!("nvml-sim: {error}");
        }
    });
}

fn choose_scenario() -> Result<Scenario, ScenarioError> {
    if let Some(value) = std::env::var_os(SCENARIO_VARIABLE).filter(|value| !value.is_empty()) {
        let value = value.to_str().ok_or_else(|| ScenarioError::new(format!("{SCENARIO_VARIABLE} is not UTF-8")))?;
        return Scenario::load(value).map_err(|error| {
            let is_path = value.contains('/') || value.ends_with(".toml");
            let names = Scenario::names().join(", ");
            let help =
                if is_path { String::new() } else { format!("\nhelp: use one of {names}, or the path of a TOML file") };
            ScenarioError::new(format!("{SCENARIO_VARIABLE}: {error}{help}"))
        });
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
