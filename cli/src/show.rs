//! `igpu` and `igpu show`: all readings of GPUs.

use igpu::Nvml;

use crate::{fail::Fail, options::Options, output::Report, select};

pub(crate) fn report(nvml: &Nvml, options: &Options, named: &[String]) -> Result<Report, Fail> {
    let indices = select::indices(nvml, options, named)?;
    if indices.is_empty() {
        return Ok(Report::nothing(options, nvml.device_count()?));
    }
    let gpus = nvml.get_devices(&indices)?;
    let mut report = if options.json {
        Report::json(&gpus)?
    } else {
        // A GPU that could not be read is named on stderr; a table of nothing but N/A would say less.
        let shown = gpus.iter().filter(|gpu| gpu.error().is_none());
        Report::text(shown.map(|gpu| format!("{gpu}\n")).collect())
    };
    report.problems = select::problems(&gpus);
    Ok(report)
}
