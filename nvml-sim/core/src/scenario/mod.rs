//! Scenarios, which are built in or read from TOML.

mod deserialize;
mod driver_symbols;
pub(crate) mod fault;
pub(crate) mod model;
mod spanned_toml;

use fault::{Fault, FaultFile};
use model::ScenarioFile;
use std::fmt;

/// The built-in scenarios: names and TOML texts.
const BUILT_IN: [(&str, &str); 7] = [
    ("workstation", include_str!("../../scenarios/workstation.toml")),
    ("hgx-h100", include_str!("../../scenarios/hgx-h100.toml")),
    ("mig", include_str!("../../scenarios/mig.toml")),
    ("laptop", include_str!("../../scenarios/laptop.toml")),
    ("rtx-4090-laptop", include_str!("../../scenarios/rtx-4090-laptop.toml")),
    ("old-driver", include_str!("../../scenarios/old-driver.toml")),
    ("empty", include_str!("../../scenarios/empty.toml")),
];

/// A description of a simulated driver, its GPUs, and their faults.
#[derive(Clone, Debug)]
pub struct Scenario {
    file: ScenarioFile,
    text: String,
}

impl Scenario {
    /// Returns a built-in scenario.
    ///
    /// # Errors
    /// Fails if `name` is not one of [`Scenario::names`].
    pub fn from_name(name: &str) -> Result<Self, ScenarioError> {
        match BUILT_IN.iter().find(|scenario| scenario.0 == name) {
            Some(scenario) => Self::from_toml(scenario.1),
            None => Err(ScenarioError(format!("there is no built-in scenario {name:?}"))),
        }
    }

    /// Returns the names of the built-in scenarios.
    #[must_use]
    pub fn names() -> &'static [&'static str] {
        const NAMES: [&str; BUILT_IN.len()] = {
            let mut names = [""; BUILT_IN.len()];
            let mut index = 0;
            while index < names.len() {
                names[index] = BUILT_IN[index].0;
                index += 1;
            }
            names
        };
        &NAMES
    }

    /// Parses a scenario from TOML.
    ///
    /// # Errors
    /// Fails if the text is not valid TOML or not a valid scenario. The message of a syntax error or an unknown key
    /// contains the line number.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let file: ScenarioFile = spanned_toml::from_str(text).map_err(|error| ScenarioError::parse(text, &error))?;
        let scenario = Self { file, text: text.to_owned() };
        scenario.check()?;
        Ok(scenario)
    }

    /// Returns a built-in scenario, or reads a scenario from a TOML file.
    ///
    /// The argument is a path if it contains a slash or ends in `.toml`.
    ///
    /// # Errors
    /// Fails under the conditions of [`Scenario::from_name`] and [`Scenario::from_toml`], or if the file cannot be
    /// read.
    pub fn load(name_or_path: &str) -> Result<Self, ScenarioError> {
        if !name_or_path.contains('/') && !name_or_path.ends_with(".toml") {
            return Self::from_name(name_or_path);
        }
        let text = std::fs::read_to_string(name_or_path)
            .map_err(|error| ScenarioError(format!("cannot read the scenario file {name_or_path}: {error}")))?;
        Self::from_toml(&text).map_err(|error| ScenarioError(format!("{name_or_path}: {error}")))
    }

    /// Returns the TOML text from which the scenario was parsed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the number of GPUs.
    #[must_use]
    pub fn gpu_count(&self) -> usize {
        self.file.gpu.iter().map(|gpu| gpu.count as usize).sum()
    }

    /// Returns the scenario with more TOML appended: further `[[gpu]]`, `[[fault]]`, or `[[gpu_lost]]` tables.
    ///
    /// # Errors
    /// Fails if the concatenated text is not a valid scenario.
    pub fn with_toml(&self, more: &str) -> Result<Self, ScenarioError> {
        Self::from_toml(&format!("{}\n{more}", self.text))
    }

    pub(crate) fn file(&self) -> &ScenarioFile {
        &self.file
    }

    /// Returns `true` if a driver of this scenario lacks the symbol.
    pub(crate) fn is_missing(&self, name: &str) -> bool {
        self.file.driver.branch.is_some_and(|branch| !driver_symbols::exports(branch, name))
            || self.file.driver.missing_functions.iter().any(|pattern| fault::matches_pattern(pattern, name))
            || self.file.fault.iter().any(|fault| fault.missing && fault.applies_to(name))
    }

    /// Returns the processor time in nanoseconds that each function takes, by function number, or `None` if the
    /// scenario sets no times.
    pub(crate) fn cpu_time_ns(&self) -> Option<Vec<u64>> {
        let costs = &self.file.driver.cpu_time_us;
        let cost = |name: &str| {
            let matching = costs.iter().filter(|(pattern, _)| fault::matches_pattern(pattern, name));
            matching.max_by_key(|(pattern, _)| pattern.len()).map_or(0, |(_, us)| (us * 1e3) as u64)
        };
        (!costs.is_empty()).then(|| nvml_sys::NAMES.iter().map(|name| cost(&name.to_string_lossy())).collect())
    }

    /// Returns the number of the line at which the table `[[gpu_lost]]` with this position begins. If `gpu_lost` is
    /// written as one value, returns the line of the key.
    fn gpu_lost_line(&self, position: usize) -> Option<usize> {
        let lines_with = |start: &'static str| {
            let lines = self.text.lines().enumerate();
            lines.filter(move |(_, line)| line.trim_start().starts_with(start)).map(|(index, _)| index + 1)
        };
        lines_with("[[gpu_lost]]").nth(position).or_else(|| lines_with("gpu_lost").next())
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let driver = &self.file.driver;
        let is_known = |branch: u32| driver_symbols::BRANCHES.contains(&branch.to_string().as_str());
        if driver.branch.is_some_and(|branch| !is_known(branch)) {
            let known = driver_symbols::BRANCHES.join(", ");
            return Err(ScenarioError(format!("driver.branch must be one of {known}")));
        }
        if ![16, 24, 32].contains(&driver.process_info_bytes) {
            return Err(ScenarioError("driver.process_info_bytes must be 16, 24, or 32".into()));
        }
        if let model::ClockMode::Frozen(at) | model::ClockMode::AutoAdvance(at) = driver.clock
            && !(0.0..1e9).contains(&at)
        {
            return Err(ScenarioError("driver.clock: the start time must be between 0 and 1e9 seconds".into()));
        }
        for (pattern, us) in &driver.cpu_time_us {
            fault::check_function("driver.cpu_time_us", pattern).map_err(ScenarioError)?;
            if !(0.0..=1e6).contains(us) {
                return Err(ScenarioError(format!("driver.cpu_time_us: {pattern} must be between 0 and 1000000 µs")));
            }
        }
        check_faults(&self.file.fault)?;
        let gpu_count = self.gpu_count();
        for (position, lost) in self.file.gpu_lost.iter().enumerate() {
            if lost.gpu as usize >= gpu_count {
                let line = self.gpu_lost_line(position).map_or(String::new(), |line| format!(" at line {line}"));
                return Err(ScenarioError(format!(
                    "invalid scenario{line}: gpu_lost: no GPU has index {}; the number of GPUs is {gpu_count}",
                    lost.gpu
                )));
            }
        }
        for gpu in &self.file.gpu {
            let buffers = [gpu.sample_buffers.power, gpu.sample_buffers.utilization, gpu.sample_buffers.clocks];
            if buffers.iter().any(|buffer| buffer.period_ms == 0) {
                return Err(ScenarioError(
                    "sample_buffers: period_ms must be greater than 0; use capacity = 0 to remove a buffer".into(),
                ));
            }
            let power = &gpu.power;
            if power.refresh_ms == 0 {
                return Err(ScenarioError(
                    "power: refresh_ms must be greater than 0; use supported = false to remove power".into(),
                ));
            }
            if gpu.count > 1 && gpu.uuid.is_some() {
                return Err(ScenarioError("gpu: uuid cannot be set if count is greater than 1".into()));
            }
        }
        if self.gpu_count() > 255 {
            return Err(ScenarioError("at most 255 GPUs can be simulated".into()));
        }
        Ok(())
    }
}

/// Parses `[[fault]]` and `[[gpu_lost]]` tables.
pub(crate) fn faults(text: &str) -> Result<Vec<Fault>, ScenarioError> {
    let FaultFile { mut fault, gpu_lost } =
        spanned_toml::from_str(text).map_err(|error| ScenarioError::parse(text, &error))?;
    fault.extend(gpu_lost.into_iter().map(Fault::from));
    check_faults(&fault)?;
    Ok(fault)
}

fn check_faults(faults: &[Fault]) -> Result<(), ScenarioError> {
    for fault in faults {
        if fault.process_info_bytes.is_some_and(|bytes| ![16, 24, 32].contains(&bytes)) {
            return Err(ScenarioError("fault: process_info_bytes must be 16, 24, or 32".into()));
        }
        if fault.every_nth_call == Some(0) || fault.nth_call == Some(0) || fault.from_call == Some(0) {
            return Err(ScenarioError("fault: nth_call, from_call, and every_nth_call must be at least 1".into()));
        }
    }
    Ok(())
}

/// An error in a scenario, or from loading or installing one.
#[derive(Clone, Debug)]
pub struct ScenarioError(String);

impl ScenarioError {
    fn parse(text: &str, error: &spanned_toml::SpannedError) -> Self {
        let line = error.span.as_ref().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let message = error.message.trim_end().replace('\n', "; ");
        Self(match line {
            Some(line) => format!("invalid scenario at line {line}: {message}"),
            None => format!("invalid scenario: {message}"),
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
