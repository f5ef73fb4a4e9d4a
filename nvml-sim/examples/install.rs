//! Installs the simulated driver in a directory: `cargo run -p nvml-sim --example install -- DIR [SCENARIO]`.
//!
//! Any NVML client can then use the driver: `LD_LIBRARY_PATH=DIR nvitop`.

use nvml_sim::{Scenario, ScenarioError};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next() else {
        eprintln!("usage: install DIR [SCENARIO]");
        eprintln!("SCENARIO is the path of a TOML file, or one of {}", Scenario::names().join(", "));
        return ExitCode::from(2);
    };
    match install(&directory, arguments.next().as_deref().unwrap_or("workstation")) {
        Ok(()) => {
            println!("installed; run a client with LD_LIBRARY_PATH={directory}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn install(directory: &str, scenario: &str) -> Result<(), ScenarioError> {
    let scenario = Scenario::load(scenario)?;
    nvml_sim::install(Path::new(directory), &scenario, &nvml_sim::built_library()?)?;
    Ok(())
}
