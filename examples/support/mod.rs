//! The command-line arguments of the examples: `[--simulate[=SCENARIO]] [SECONDS]`.

use std::fmt;

use igpu::Nvml;

/// An error that is printed as its message when `main` returns it.
pub(crate) struct ExampleError(String);

pub(crate) type Result<T = ()> = std::result::Result<T, ExampleError>;

impl<E: fmt::Display> From<E> for ExampleError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// `main` prints errors with `Debug`.
impl fmt::Debug for ExampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the driver and the duration in seconds that the arguments of the program select.
#[allow(dead_code, reason = "examples with further arguments call `parse`")]
pub(crate) fn arguments(default_seconds: f64) -> Result<(Nvml, f64)> {
    parse(std::env::args().skip(1), default_seconds)
}

/// Returns the driver and the duration in seconds that these arguments select.
///
/// With `--simulate`, the driver is the simulator with the scenario `workstation` or the given scenario. Otherwise it
/// is the driver of this host.
pub(crate) fn parse(arguments: impl Iterator<Item = String>, default_seconds: f64) -> Result<(Nvml, f64)> {
    let (mut scenario, mut seconds) = (None, default_seconds);
    for argument in arguments {
        match argument.strip_prefix("--simulate") {
            Some("") => scenario = Some("workstation".to_owned()),
            Some(name) if name.starts_with('=') => scenario = Some(name[1..].to_owned()),
            _ => match argument.parse() {
                Ok(number) if number > 0.0 => seconds = number,
                _ => return Err(format!("invalid argument {argument:?}: use [--simulate[=SCENARIO]] [SECONDS]").into()),
            },
        }
    }
    let builder = match scenario {
        Some(name) => {
            nvml_sim::start(&nvml_sim::Scenario::load(&name)?);
            // SAFETY: the simulator is linked into this program, and its functions have the signatures in nvml.h.
            unsafe { Nvml::builder().resolver(nvml_sim::resolve) }
        }
        None => Nvml::builder(),
    };
    let nvml = builder.load()?;
    if nvml.device_count()? == 0 {
        return Err("no GPU found".into());
    }
    Ok((nvml, seconds))
}
