//! `igpu` and `igpu show`: all values of GPUs.

use igpu::Nvml;

use crate::{error::CliError, gpu_selection, options::Options, output::CommandOutput};

pub(crate) fn run(nvml: &Nvml, options: &Options, named: &[String]) -> Result<CommandOutput, CliError> {
    let indices = gpu_selection::indices(nvml, options, named)?;
    if indices.is_empty() {
        return Ok(CommandOutput::no_gpus(options, nvml.device_count()?));
    }
    let gpus = nvml.gpu_infos_at(&indices)?;
    let mut output = if options.json {
        CommandOutput::json(&gpus)?
    } else {
        // A GPU that could not be read is reported on stderr instead of as a table full of N/A.
        let shown = gpus.iter().filter(|gpu| gpu.error().is_none());
        CommandOutput::text(shown.map(|gpu| format!("{gpu}\n")).collect())
    };
    output.problems = gpu_selection::problems(&gpus);
    Ok(output)
}
