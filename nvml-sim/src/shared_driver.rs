//! Copies of the shared library for tests. Each copy has its own statics and is therefore a separate driver.

use crate::install::{built_library, install};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use nvml_sim_core::control::Quantity;
use nvml_sim_core::{Scenario, ScenarioError};
use std::ffi::{CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A simulated driver for one test: a loaded copy of the shared library in a temporary directory.
///
/// A process can use several drivers, which are independent of each other. The client under test loads the file at
/// [`SharedDriver::path`], and thereby uses the same driver. The methods correspond to the functions in
/// [`crate::control`].
///
/// Dropping the value removes the directory. The library stays loaded, because threads may be in calls that never
/// return.
#[derive(Debug)]
pub struct SharedDriver {
    library: ManuallyDrop<Library>,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl SharedDriver {
    /// Loads a copy of [`built_library`] and starts a scenario in it.
    ///
    /// # Errors
    /// Fails if the library has not been built, or cannot be copied or loaded.
    pub fn new(scenario: &Scenario) -> Result<Self, ScenarioError> {
        let directory = tempfile::tempdir()
            .map_err(|error| ScenarioError::new(format!("cannot make a temporary directory: {error}")))?;
        let path = install(directory.path(), scenario, &built_library()?)?;
        // SAFETY: the library is that of this package, whose startup function is sound.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|error| ScenarioError::new(format!("cannot load {}: {error}", path.display())))?;
        let driver = Self { library: ManuallyDrop::new(library), path, _directory: directory };
        // When the library was loaded, NVML_SIM_SCENARIO may have selected another scenario.
        driver.start(scenario)?;
        Ok(driver)
    }

    /// Loads a driver with a built-in scenario.
    ///
    /// # Errors
    /// Fails under the conditions of [`SharedDriver::new`] and [`Scenario::from_name`].
    pub fn from_name(name: &str) -> Result<Self, ScenarioError> {
        Self::new(&Scenario::from_name(name)?)
    }

    /// Loads a driver with a scenario in TOML.
    ///
    /// # Errors
    /// Fails under the conditions of [`SharedDriver::new`] and [`Scenario::from_toml`].
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        Self::new(&Scenario::from_toml(text)?)
    }

    /// Returns the path of the library, which the client under test loads.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns this driver's NVML functions.
    #[must_use]
    pub fn functions(&self) -> nvml_sys::Functions {
        let address = |name: &std::ffi::CStr| {
            // SAFETY: only the address of the symbol is read.
            unsafe { self.library.get::<*const std::ffi::c_void>(name.to_bytes_with_nul()) }
                .map_or(std::ptr::null(), |symbol: Symbol<_>| symbol.as_raw_ptr().cast_const())
        };
        // SAFETY: the functions of the library have the signatures in nvml.h, and the library is never unloaded.
        unsafe { nvml_sys::Functions::from_resolver(address) }
    }

    /// Starts another scenario in this driver, as [`crate::start`] does.
    ///
    /// # Errors
    /// Fails if symbols of the library cannot be hidden.
    pub fn start(&self, scenario: &Scenario) -> Result<(), ScenarioError> {
        // A line break distinguishes TOML from a name.
        self.call_fallible("nvml_sim_start", &format!("\n{}", scenario.text()))
    }

    /// Advances the clock by `by` and stops it there. See [`crate::control::step`].
    pub fn step(&self, by: Duration) {
        let step: extern "C" fn(u64) = self.function("nvml_sim_step");
        step(by.as_nanos() as u64);
    }

    /// Stops the clock at a time since the start of the scenario. See [`crate::control::set_time`].
    pub fn set_time(&self, since_start: Duration) {
        let set: extern "C" fn(u64) = self.function("nvml_sim_set_time");
        set(since_start.as_nanos() as u64);
    }

    /// Lets the clock follow the real clock. See [`crate::control::use_real_clock`].
    pub fn use_real_clock(&self) {
        let real: extern "C" fn() = self.function("nvml_sim_use_real_clock");
        real();
    }

    /// Returns the simulated time since the start of the scenario. See [`crate::control::now`].
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.call_for_u64("nvml_sim_now"))
    }

    /// Returns the simulated wall clock in microseconds since 1970. See [`crate::control::wall_clock_us`].
    #[must_use]
    pub fn wall_clock_us(&self) -> u64 {
        self.call_for_u64("nvml_sim_wall_clock_us")
    }

    /// Returns the number of calls of an NVML function. See [`crate::control::calls`].
    #[must_use]
    pub fn calls(&self, function: &str) -> u64 {
        let Ok(function) = CString::new(function) else { return 0 };
        let calls: unsafe extern "C" fn(*const c_char) -> u64 = self.function("nvml_sim_calls");
        // SAFETY: the argument is a C string.
        unsafe { calls(function.as_ptr()) }
    }

    /// Returns the number of calls of all NVML functions. See [`crate::control::total_calls`].
    #[must_use]
    pub fn total_calls(&self) -> u64 {
        self.call_for_u64("nvml_sim_total_calls")
    }

    /// Returns the largest number of calls that were in flight at the same time. See [`crate::control::max_in_flight`].
    #[must_use]
    pub fn max_in_flight(&self) -> u32 {
        let max: extern "C" fn() -> u32 = self.function("nvml_sim_max_in_flight");
        max()
    }

    /// Returns the number of calls made after the final shutdown. See [`crate::control::calls_after_shutdown`].
    #[must_use]
    pub fn calls_after_shutdown(&self) -> u64 {
        self.call_for_u64("nvml_sim_calls_after_shutdown")
    }

    /// Returns the number of shutdowns during other calls. See [`crate::control::shutdowns_during_calls`].
    #[must_use]
    pub fn shutdowns_during_calls(&self) -> u64 {
        self.call_for_u64("nvml_sim_shutdowns_during_calls")
    }

    /// Sets all call counters to zero. See [`crate::control::reset_counters`].
    pub fn reset_counters(&self) {
        let reset: extern "C" fn() = self.function("nvml_sim_reset_counters");
        reset();
    }

    /// Adds faults to the active faults. See [`crate::control::add_faults`].
    ///
    /// # Errors
    /// Fails under the conditions of [`crate::control::add_faults`], or if symbols of the library cannot be hidden.
    pub fn add_faults(&self, toml: &str) -> Result<(), ScenarioError> {
        self.call_fallible("nvml_sim_add_faults", toml)
    }

    /// Removes all faults. See [`crate::control::clear_faults`].
    pub fn clear_faults(&self) {
        let clear: extern "C" fn() = self.function("nvml_sim_clear_faults");
        clear();
    }

    /// Returns the true value of a quantity. See [`crate::control::truth`].
    #[must_use]
    pub fn truth(&self, gpu: u32, quantity: Quantity, at: Duration) -> f64 {
        let truth: extern "C" fn(u32, u32, u64) -> f64 = self.function("nvml_sim_truth");
        truth(gpu, quantity as u32, at.as_nanos() as u64)
    }

    fn call_for_u64(&self, name: &str) -> u64 {
        let number: extern "C" fn() -> u64 = self.function(name);
        number()
    }

    /// Calls a control function that takes a string and reports a message on failure.
    fn call_fallible(&self, name: &str, text: &str) -> Result<(), ScenarioError> {
        let text = CString::new(text).map_err(|_| ScenarioError::new("the text contains a NUL"))?;
        let function: unsafe extern "C" fn(*const c_char, *mut c_char, usize) -> c_int = self.function(name);
        let mut error = [0u8; 1024];
        // SAFETY: the arguments are a C string, and a buffer with its length.
        if unsafe { function(text.as_ptr(), error.as_mut_ptr().cast(), error.len()) } == 0 {
            return Ok(());
        }
        let end = error.iter().position(|byte| *byte == 0).unwrap_or(error.len());
        Err(ScenarioError::new(String::from_utf8_lossy(&error[..end])))
    }

    /// Returns a control function of the library.
    ///
    /// # Panics
    /// Panics if the library lacks the function, which means that it was built from other sources.
    fn function<F: Copy>(&self, name: &str) -> F {
        // SAFETY: the callers use the signature that `c_control` declares for the name.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        *symbol.unwrap_or_else(|error| panic!("{} is from another build: {error}", self.path.display()))
    }
}
