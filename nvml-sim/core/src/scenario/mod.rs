//! Scenarios: the built-in ones, and those read from TOML.

mod deserialize;
mod driver_390;
pub(crate) mod fault;
pub(crate) mod model;
mod spanned_toml;

use fault::{Fault, FaultFile};
use model::ScenarioFile;
use std::fmt;

/// The built-in scenarios and their text.
const BUILT_IN: [(&str, &str); 7] = [
    ("workstation", include_str!("../../scenarios/workstation.toml")),
    ("hgx-h100", include_str!("../../scenarios/hgx-h100.toml")),
    ("mig", include_str!("../../scenarios/mig.toml")),
    ("laptop", include_str!("../../scenarios/laptop.toml")),
    ("rtx-4090-laptop", include_str!("../../scenarios/rtx-4090-laptop.toml")),
    ("old-driver", include_str!("../../scenarios/old-driver.toml")),
    ("empty", include_str!("../../scenarios/empty.toml")),
];

/// What a simulated driver and its GPUs are, and what goes wrong with them.
#[derive(Clone, Debug)]
pub struct Scenario {
    file: ScenarioFile,
    text: String,
}

impl Scenario {
    /// A built-in scenario.
    ///
    /// # Errors
    /// There is none of that name; the error names those there are.
    pub fn from_name(name: &str) -> Result<Self, ScenarioError> {
        match BUILT_IN.iter().find(|scenario| scenario.0 == name) {
            Some(scenario) => Self::from_toml(scenario.1),
            None => Err(ScenarioError(format!(
                "there is no scenario {name:?}; use one of {}, or the path of a TOML file",
                Self::names().join(", ")
            ))),
        }
    }

    /// The names of the built-in scenarios.
    #[must_use]
    pub fn names() -> &'static [&'static str] {
        const NAMES: [&str; BUILT_IN.len()] = {
            let mut names = [""; BUILT_IN.len()];
            let mut place = 0;
            while place < names.len() {
                names[place] = BUILT_IN[place].0;
                place += 1;
            }
            names
        };
        &NAMES
    }

    /// A scenario from the text of a TOML file.
    ///
    /// # Errors
    /// The text is not TOML or not a scenario; the error names the line.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let file: ScenarioFile = spanned_toml::from_str(text).map_err(|error| ScenarioError::parse(text, &error))?;
        let scenario = Self { file, text: text.to_owned() };
        scenario.check()?;
        Ok(scenario)
    }

    /// A built-in scenario by name, or else the scenario in the TOML file at that path.
    ///
    /// # Errors
    /// As [`Scenario::from_name`] and [`Scenario::from_toml`], or the file cannot be read.
    pub fn load(name_or_path: &str) -> Result<Self, ScenarioError> {
        if Self::names().contains(&name_or_path) {
            return Self::from_name(name_or_path);
        }
        if !name_or_path.contains('/') && !name_or_path.ends_with(".toml") {
            return Self::from_name(name_or_path);
        }
        let text = std::fs::read_to_string(name_or_path).map_err(|error| {
            ScenarioError(format!(
                "cannot read the scenario file {name_or_path}: {error}; use a readable TOML file or one of {}",
                Self::names().join(", ")
            ))
        })?;
        Self::from_toml(&text).map_err(|error| ScenarioError(format!("{name_or_path}: {error}")))
    }

    /// The TOML that the scenario was made from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the number of GPUs.
    #[must_use]
    pub fn gpu_count(&self) -> usize {
        self.file.gpu.iter().map(|gpu| gpu.count as usize).sum()
    }

    /// The same scenario with more TOML after it: further `[[gpu]]`, `[[fault]]` or `[[gpu_lost]]` tables.
    ///
    /// # Errors
    /// The two together are not a scenario.
    pub fn with_toml(&self, more: &str) -> Result<Self, ScenarioError> {
        Self::from_toml(&format!("{}\n{more}", self.text))
    }

    pub(crate) fn file(&self) -> &ScenarioFile {
        &self.file
    }

    /// Whether a driver of this scenario lacks the symbol.
    pub(crate) fn is_missing(&self, name: &str) -> bool {
        self.file.driver.branch.is_some() && !driver_390::has(name)
            || self.file.driver.missing_functions.iter().any(|pattern| fault::matches_pattern(pattern, name))
            || self.file.fault.iter().any(|fault| fault.missing && fault.applies_to(name))
    }

    /// What each function of NVML costs its caller, by number; `None` where all are free.
    pub(crate) fn cpu_time_ns(&self) -> Option<Vec<u64>> {
        let costs = &self.file.driver.cpu_time_us;
        let cost = |name: &str| {
            let fitting = costs.iter().filter(|(pattern, _)| fault::matches_pattern(pattern, name));
            fitting.max_by_key(|(pattern, _)| pattern.len()).map_or(0, |(_, us)| (us * 1e3) as u64)
        };
        (!costs.is_empty()).then(|| nvml_sys::NAMES.iter().map(|name| cost(&name.to_string_lossy())).collect())
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let driver = &self.file.driver;
        if driver.branch.is_some_and(|branch| branch != 390) {
            return Err(ScenarioError(
                "driver.branch: 390 is the only branch known; leave it out or hide symbols".into(),
            ));
        }
        if ![16, 24, 32].contains(&driver.process_info_bytes) {
            return Err(ScenarioError("driver.process_info_bytes must be 16, 24 or 32".into()));
        }
        if let model::ClockMode::Frozen(at) | model::ClockMode::AutoAdvance(at) = driver.clock
            && !(0.0..1e9).contains(&at)
        {
            return Err(ScenarioError("driver.clock: the start time must be between 0 and 1e9 seconds".into()));
        }
        for (pattern, us) in &driver.cpu_time_us {
            check_function("driver.cpu_time_us", pattern)?;
            if !(0.0..=1e6).contains(us) {
                return Err(ScenarioError(format!("driver.cpu_time_us: {pattern} must be 0 to 1000000 µs")));
            }
        }
        check_faults(&self.file.fault)?;
        for gpu in &self.file.gpu {
            let buffers = [gpu.sample_buffers.power, gpu.sample_buffers.utilization, gpu.sample_buffers.clocks];
            if buffers.iter().any(|buffer| buffer.period_ms == 0) {
                return Err(ScenarioError(
                    "sample_buffers: period_ms must be above 0; capacity = 0 takes a buffer away".into(),
                ));
            }
            let power = &gpu.power;
            if power.refresh_ms == 0 {
                return Err(ScenarioError(
                    "power: refresh_ms must be above 0; supported = false takes power away".into(),
                ));
            }
            if gpu.count > 1 && gpu.uuid.is_some() {
                return Err(ScenarioError(
                    "a gpu with a count above 1 gets its UUIDs by itself: leave out uuid".into(),
                ));
            }
        }
        if self.gpu_count() > 255 {
            return Err(ScenarioError("at most 255 GPUs can be simulated".into()));
        }
        Ok(())
    }
}

/// The faults in a text of `[[fault]]` and `[[gpu_lost]]` tables.
pub(crate) fn faults(text: &str) -> Result<Vec<Fault>, ScenarioError> {
    let FaultFile { mut fault, gpu_lost } =
        spanned_toml::from_str(text).map_err(|error| ScenarioError::parse(text, &error))?;
    fault.extend(gpu_lost.into_iter().map(Fault::from));
    check_faults(&fault)?;
    Ok(fault)
}

fn check_faults(faults: &[Fault]) -> Result<(), ScenarioError> {
    for fault in faults {
        if let Some(function) = &fault.function {
            check_function("fault", function)?;
        }
        if fault.process_info_bytes.is_some_and(|bytes| ![16, 24, 32].contains(&bytes)) {
            return Err(ScenarioError("fault: process_info_bytes must be 16, 24 or 32".into()));
        }
        if fault.every_nth_call == Some(0) || fault.nth_call == Some(0) || fault.from_call == Some(0) {
            return Err(ScenarioError("fault: nth_call, from_call and every_nth_call count from 1".into()));
        }
    }
    Ok(())
}

/// Whether a name, or a prefix and `*`, is of any function.
fn check_function(place: &str, pattern: &str) -> Result<(), ScenarioError> {
    if nvml_sys::NAMES.iter().any(|name| fault::matches_pattern(pattern, &name.to_string_lossy())) {
        return Ok(());
    }
    Err(ScenarioError(format!(
        "{place}: no function of NVML is named {pattern:?}; use a name of nvml.h, or a prefix and *"
    )))
}

/// Why a scenario cannot be had: a sentence that says what to do.
#[derive(Clone, Debug)]
pub struct ScenarioError(String);

impl ScenarioError {
    fn parse(text: &str, error: &spanned_toml::SpannedError) -> Self {
        let line = error.span.as_ref().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let message = error.message.trim_end().replace('\n', "; ");
        Self(match line {
            Some(line) => format!("the scenario is wrong at line {line}: {message}"),
            None => format!("the scenario is wrong: {message}"),
        })
    }

    /// Returns an error with this message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}
