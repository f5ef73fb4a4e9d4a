//! Loading of the selected driver: the simulator, a given library, or the driver of this machine.

use igpu::{Nvml, NvmlBuilder};
#[cfg(feature = "simulator")]
use nvml_sim_core::Scenario;

use crate::{error::CliError, notifier::Notifier, options::Options, watchdog::CallWatchdog};

/// Loads the driver. Prints a message on stderr if `nvmlInit_v2` has not returned after 5 s.
pub(crate) fn load(options: &Options) -> Result<Nvml, CliError> {
    let builder = match (&options.simulate, &options.library) {
        (Some(scenario), _) => simulated(scenario)?,
        // SAFETY: the user of the command guarantees that the library is an NVML library whose initializers are sound,
        // as with LD_LIBRARY_PATH.
        (None, Some(path)) => unsafe { Nvml::builder().library(path) },
        (None, None) => Nvml::builder(),
    };
    let watchdog = CallWatchdog::start(Notifier::without_bar());
    watchdog.begin("nvmlInit_v2", None);
    builder.load().map_err(match options.simulate {
        // A user of the simulator needs no advice to use it.
        Some(_) => CliError::Driver,
        None => CliError::Load,
    })
}

#[cfg(feature = "simulator")]
fn simulated(scenario: &str) -> Result<NvmlBuilder, CliError> {
    let usage_error = |message: &dyn std::fmt::Display| CliError::usage(clap::error::ErrorKind::InvalidValue, message);
    let names = Scenario::names();
    // `Scenario::load` distinguishes paths from names in the same way.
    let is_path = scenario.contains('/') || scenario.ends_with(".toml");
    if !is_path && !names.contains(&scenario) {
        let help = format!("use one of {}, or the path of a TOML file", names.join(", "));
        return Err(usage_error(&format!("there is no scenario {scenario:?}\nhelp: {help}")));
    }
    let scenario = Scenario::load(scenario).map_err(|error| usage_error(&error))?;
    nvml_sim_core::start(&scenario);
    // SAFETY: the simulator is linked into this program, and its functions have the signatures of nvml.h.
    Ok(unsafe { Nvml::builder().resolver(nvml_sim_core::resolve) })
}

/// Returns a usage error. Without the feature `simulator`, no option selects a scenario.
#[cfg(not(feature = "simulator"))]
fn simulated(_scenario: &str) -> Result<NvmlBuilder, CliError> {
    Err(CliError::usage(clap::error::ErrorKind::UnknownArgument, "igpu was built without the simulator"))
}
