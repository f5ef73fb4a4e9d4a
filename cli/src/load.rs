//! Loads the driver that the options name: a simulated one, a library, or this machine's.

use clap::error::ErrorKind;
use igpu::Nvml;
use indicatif::ProgressBar;

use crate::{fail::Fail, options::Options, patience::Patience};

/// Loads it, and reports on stderr when it does not answer.
pub fn load(options: &Options) -> Result<Nvml, Fail> {
    let builder = match (&options.simulate, &options.library) {
        (Some(scenario), _) => {
            let scenario =
                nvml_sim::Scenario::load(scenario).map_err(|error| Fail::usage(ErrorKind::InvalidValue, error))?;
            nvml_sim::start(&scenario);
            // SAFETY: the simulator is linked into this program, and its functions have the signatures of nvml.h.
            unsafe { Nvml::builder().resolver(nvml_sim::resolve) }
        }
        (None, Some(path)) => Nvml::builder().library(path),
        (None, None) => Nvml::builder(),
    };
    let patience = Patience::start(ProgressBar::hidden());
    patience.waits_for("nvmlInit_v2", None);
    builder.load().map_err(Fail::Load)
}
