//! Loads the driver that the options select: a simulated one, a library, or this machine's.

use igpu::{Nvml, NvmlBuilder};

use crate::{error::CliError, notifier::Notifier, options::Options, watchdog::CallWatchdog};

/// Loads the driver, and reports on stderr if it does not answer.
pub(crate) fn load(options: &Options) -> Result<Nvml, CliError> {
    let builder = match (&options.simulate, &options.library) {
        (Some(scenario), _) => simulated(scenario)?,
        // SAFETY: the user of the command vouches for the library, as with LD_LIBRARY_PATH for any library a program
        // loads.
        (None, Some(path)) => unsafe { Nvml::builder().library(path) },
        (None, None) => Nvml::builder(),
    };
    let watchdog = CallWatchdog::start(Notifier::without_bar());
    watchdog.begin("nvmlInit_v2", None);
    builder.load().map_err(CliError::Load)
}

#[cfg(feature = "simulator")]
fn simulated(scenario: &str) -> Result<NvmlBuilder, CliError> {
    let scenario = nvml_sim_core::Scenario::load(scenario)
        .map_err(|error| CliError::usage(clap::error::ErrorKind::InvalidValue, error))?;
    nvml_sim_core::start(&scenario);
    // SAFETY: the simulator is linked into this program, and its functions have the signatures of nvml.h.
    Ok(unsafe { Nvml::builder().resolver(nvml_sim_core::resolve) })
}

/// Without the feature, no option names a scenario.
#[cfg(not(feature = "simulator"))]
fn simulated(_scenario: &str) -> Result<NvmlBuilder, CliError> {
    Err(CliError::usage(clap::error::ErrorKind::UnknownArgument, "igpu was built without the simulator"))
}
