//! What the examples share: their arguments.

use std::fmt;

use igpu::Nvml;

/// Any error, told by its sentence.
pub(crate) struct Failure(String);

/// What an example ends with.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What `main` shows of it.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The driver that was asked for, and for how many seconds to go on: `[--simulate[=SCENARIO]] [SECONDS]`.
#[allow(dead_code, reason = "an example with arguments of its own takes these out first")]
pub(crate) fn arguments(usual_seconds: f64) -> Result<(Nvml, f64)> {
    arguments_of(std::env::args().skip(1), usual_seconds)
}

/// As [`arguments`], from these.
pub(crate) fn arguments_of(given: impl Iterator<Item = String>, usual_seconds: f64) -> Result<(Nvml, f64)> {
    let (mut scenario, mut seconds) = (None, usual_seconds);
    for argument in given {
        match argument.strip_prefix("--simulate") {
            Some("") => scenario = Some("workstation".to_owned()),
            Some(name) if name.starts_with('=') => scenario = Some(name[1..].to_owned()),
            _ => match argument.parse() {
                Ok(number) if number > 0.0 => seconds = number,
                _ => return Err(format!("{argument}: use [--simulate[=SCENARIO]] [SECONDS]").into()),
            },
        }
    }
    let builder = match scenario {
        Some(name) => {
            nvml_sim::start(&nvml_sim::Scenario::load(&name)?);
            // SAFETY: the simulator is linked into this program, and its functions have the signatures of nvml.h.
            unsafe { Nvml::builder().resolver(nvml_sim::resolve) }
        }
        None => Nvml::builder(),
    };
    let nvml = builder.load()?;
    if nvml.device_count()? == 0 {
        return Err("there is no GPU".into());
    }
    Ok((nvml, seconds))
}
