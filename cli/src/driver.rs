//! `igpu driver`: which driver this is.

use igpu::{Error, Nvml};
use serde::Serialize;

use crate::{fail::Fail, options::Options, output::Report, table::or_na};

#[derive(Serialize)]
struct Driver {
    driver_version: Option<String>,
    nvml_version: Option<String>,
    cuda_version: Option<String>,
    library: String,
}

pub(crate) fn report(nvml: &Nvml, options: &Options) -> Result<Report, Fail> {
    let mut problems = Vec::new();
    let mut told = |answer: Result<String, Error>| answer.map_err(|error| problems.push(error.to_string())).ok();
    let driver = Driver {
        driver_version: told(nvml.driver_version().map(|version| version.to_string())),
        nvml_version: told(nvml.nvml_version().map(|version| version.to_string())),
        cuda_version: told(nvml.cuda_version().map(|(major, minor)| format!("{major}.{minor}"))),
        library: if options.simulate.is_some() { "simulated".to_owned() } else { nvml.library().to_owned() },
    };
    let mut report = if options.json { Report::json(&[driver])? } else { Report::text(driver.text()) };
    report.problems = problems;
    Ok(report)
}

impl Driver {
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
