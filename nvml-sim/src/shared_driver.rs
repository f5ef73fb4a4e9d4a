//! Copies of the shared library for tests. Each copy has its own statics, and so is a separate driver.

use crate::install::{built_library, install};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use nvml_sim_core::control::Quantity;
use nvml_sim_core::{Scenario, ScenarioError};
use std::ffi::{CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A driver of a test's own: a copy of the shared library in a fresh directory, loaded, its scenario in force.
///
/// Many live side by side in one process and know nothing of each other. The client under test loads
/// [`SharedDriver::path`]: the same file, so the same driver. Its methods are those of [`crate::control`]. The library
/// stays loaded after this is dropped, as threads may be in calls that never return; the directory goes.
#[derive(Debug)]
pub struct SharedDriver {
    library: ManuallyDrop<Library>,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl SharedDriver {
    /// Loads a copy of [`built_library`] with this scenario.
    ///
    /// # Errors
    /// The library is not built, or cannot be copied or loaded.
    pub fn new(scenario: &Scenario) -> Result<Self, ScenarioError> {
        let directory = tempfile::tempdir()
            .map_err(|error| ScenarioError::new(format!("cannot make a temporary directory: {error}")))?;
        let path = install(directory.path(), scenario, &built_library()?)?;
        // SAFETY: the library is this package's own; what it does on loading is sound.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|error| ScenarioError::new(format!("cannot load {}: {error}", path.display())))?;
        let driver = Self { library: ManuallyDrop::new(library), path, _directory: directory };
        // Again and by hand: the environment of the test's caller may have named another.
        driver.start(scenario)?;
        Ok(driver)
    }

    /// As [`SharedDriver::new`] for a built-in scenario.
    ///
    /// # Errors
    /// As [`SharedDriver::new`] and [`Scenario::from_name`].
    pub fn from_name(name: &str) -> Result<Self, ScenarioError> {
        Self::new(&Scenario::from_name(name)?)
    }

    /// As [`SharedDriver::new`] for a scenario in TOML.
    ///
    /// # Errors
    /// As [`SharedDriver::new`] and [`Scenario::from_toml`].
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        Self::new(&Scenario::from_toml(text)?)
    }

    /// The library for the client under test.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// NVML's functions of this driver, straight.
    #[must_use]
    pub fn functions(&self) -> nvml_sys::Functions {
        let address = |name: &std::ffi::CStr| {
            // SAFETY: only the address is taken.
            unsafe { self.library.get::<*const std::ffi::c_void>(name.to_bytes_with_nul()) }
                .map_or(std::ptr::null(), |symbol: Symbol<_>| symbol.as_raw_ptr().cast_const())
        };
        // SAFETY: the library has these names with the types of nvml.h, and stays loaded for ever.
        unsafe { nvml_sys::Functions::from_resolver(address) }
    }

    /// See [`crate::start`].
    ///
    /// # Errors
    /// Never for a scenario that exists; it travels as text.
    pub fn start(&self, scenario: &Scenario) -> Result<(), ScenarioError> {
        // The line break tells the text from a name.
        self.call_fallible("nvml_sim_start", &format!("\n{}", scenario.text()))
    }

    /// See [`crate::control::step`].
    pub fn step(&self, by: Duration) {
        let step: extern "C" fn(u64) = self.function("nvml_sim_step");
        step(by.as_nanos() as u64);
    }

    /// See [`crate::control::set_time`].
    pub fn set_time(&self, since_start: Duration) {
        let set: extern "C" fn(u64) = self.function("nvml_sim_set_time");
        set(since_start.as_nanos() as u64);
    }

    /// See [`crate::control::use_real_clock`].
    pub fn use_real_clock(&self) {
        let real: extern "C" fn() = self.function("nvml_sim_use_real_clock");
        real();
    }

    /// See [`crate::control::now`].
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.call_for_u64("nvml_sim_now"))
    }

    /// See [`crate::control::wall_clock_us`].
    #[must_use]
    pub fn wall_clock_us(&self) -> u64 {
        self.call_for_u64("nvml_sim_wall_clock_us")
    }

    /// See [`crate::control::calls`].
    #[must_use]
    pub fn calls(&self, function: &str) -> u64 {
        let Ok(function) = CString::new(function) else { return 0 };
        let calls: unsafe extern "C" fn(*const c_char) -> u64 = self.function("nvml_sim_calls");
        // SAFETY: a C string.
        unsafe { calls(function.as_ptr()) }
    }

    /// See [`crate::control::total_calls`].
    #[must_use]
    pub fn total_calls(&self) -> u64 {
        self.call_for_u64("nvml_sim_total_calls")
    }

    /// See [`crate::control::max_in_flight`].
    #[must_use]
    pub fn max_in_flight(&self) -> u32 {
        let max: extern "C" fn() -> u32 = self.function("nvml_sim_max_in_flight");
        max()
    }

    /// See [`crate::control::calls_after_shutdown`].
    #[must_use]
    pub fn calls_after_shutdown(&self) -> u64 {
        self.call_for_u64("nvml_sim_calls_after_shutdown")
    }

    /// See [`crate::control::shutdowns_during_calls`].
    #[must_use]
    pub fn shutdowns_during_calls(&self) -> u64 {
        self.call_for_u64("nvml_sim_shutdowns_during_calls")
    }

    /// See [`crate::control::reset_counters`].
    pub fn reset_counters(&self) {
        let reset: extern "C" fn() = self.function("nvml_sim_reset_counters");
        reset();
    }

    /// See [`crate::control::add_faults`].
    ///
    /// # Errors
    /// The text is no TOML of faults.
    pub fn add_faults(&self, toml: &str) -> Result<(), ScenarioError> {
        self.call_fallible("nvml_sim_add_faults", toml)
    }

    /// See [`crate::control::clear_faults`].
    pub fn clear_faults(&self) {
        let clear: extern "C" fn() = self.function("nvml_sim_clear_faults");
        clear();
    }

    /// See [`crate::control::truth`].
    #[must_use]
    pub fn truth(&self, gpu: u32, quantity: Quantity, at: Duration) -> f64 {
        let truth: extern "C" fn(u32, u32, u64) -> f64 = self.function("nvml_sim_truth");
        truth(gpu, quantity as u32, at.as_nanos() as u64)
    }

    fn call_for_u64(&self, name: &str) -> u64 {
        let number: extern "C" fn() -> u64 = self.function(name);
        number()
    }

    /// Calls a function that takes a text and gives a sentence where it fails.
    fn call_fallible(&self, name: &str, text: &str) -> Result<(), ScenarioError> {
        let text = CString::new(text).map_err(|_| ScenarioError::new("the text has a NUL in it"))?;
        let function: unsafe extern "C" fn(*const c_char, *mut c_char, usize) -> c_int = self.function(name);
        let mut error = [0u8; 1024];
        // SAFETY: a C string, and a buffer with its length.
        if unsafe { function(text.as_ptr(), error.as_mut_ptr().cast(), error.len()) } == 0 {
            return Ok(());
        }
        let end = error.iter().position(|byte| *byte == 0).unwrap_or(error.len());
        Err(ScenarioError::new(String::from_utf8_lossy(&error[..end])))
    }

    /// A control function of the library.
    ///
    /// # Panics
    /// The library lacks it: it was built from other sources than this.
    fn function<F: Copy>(&self, name: &str) -> F {
        // SAFETY: the callers give each name the type that `c_control` declares it with.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        *symbol.unwrap_or_else(|error| panic!("{} is of another build: {error}", self.path.display()))
    }
}
