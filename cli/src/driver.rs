//! `igpu driver`: the versions of the driver, NVML, and CUDA.

use igpu::{Error, Nvml};
use serde::Serialize;

use crate::{
    error::{CliError, Diagnostic},
    options::Options,
    output::CommandOutput,
    table::or_na,
};

#[derive(Serialize)]
struct DriverVersions {
    driver_version: Option<String>,
    nvml_version: Option<String>,
    cuda_version: Option<String>,
    library: String,
}

pub(crate) fn run(nvml: &Nvml, options: &Options) -> Result<CommandOutput, CliError> {
    let mut problems = Vec::new();
    let mut version_or_problem = |result: Result<String, Error>| {
        result.map_err(|error| problems.push(Diagnostic::from_library(error.to_string(), &error))).ok()
    };
    let versions = DriverVersions {
        driver_version: version_or_problem(nvml.driver_version().map(|version| version.to_string())),
        nvml_version: version_or_problem(nvml.nvml_version().map(|version| version.to_string())),
        cuda_version: version_or_problem(nvml.cuda_version().map(|(major, minor)| format!("{major}.{minor}"))),
        library: if options.simulate.is_some() { "simulated".to_owned() } else { nvml.library().to_owned() },
    };
    let mut output =
        if options.json { CommandOutput::json(&[versions])? } else { CommandOutput::text(versions.text()) };
    output.problems = problems;
    Ok(output)
}

impl DriverVersions {
    fn text(&self) -> String {
        format!(
            "DRIVER VERSION : {}\nNVML VERSION   : {}\nCUDA VERSION   : {}\nLIBRARY        : {}\n",
            or_na(self.driver_version.as_deref()),
            or_na(self.nvml_version.as_deref()),
            or_na(self.cuda_version.as_deref()),
            igpu::Escaped(&self.library)
        )
    }
}
