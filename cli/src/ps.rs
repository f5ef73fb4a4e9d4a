//! `igpu ps`: the processes on all GPUs in one table.

use igpu::{GpuInfo, GpuProcessInfo, Nvml, Reading, ReturnCode, process::format_local_time};
use serde::Serialize;

use crate::{
    error::{CliError, Diagnostic},
    gpu_selection,
    options::Options,
    output::CommandOutput,
    table::{NOT_AVAILABLE, or_na, with_header},
};

#[derive(Serialize)]
struct PsRow<'a> {
    /// The index of the GPU.
    gpu: u32,
    #[serde(flatten)]
    process: &'a GpuProcessInfo,
}

const COLUMNS: [&str; 9] = ["GPU", "PID", "TYPE", "NAME", "USER", "PARENT", "PARENT NAME", "CREATION TIME", "GPU MEM"];

pub(crate) fn run(nvml: &Nvml, options: &Options) -> Result<CommandOutput, CliError> {
    let indices = gpu_selection::indices(nvml, options, &[])?;
    if indices.is_empty() {
        return Ok(CommandOutput::no_gpus(options, nvml.device_count()?));
    }
    let gpus = nvml.gpu_infos_at(&indices)?;
    let rows: Vec<PsRow<'_>> =
        gpus.iter().flat_map(|gpu| gpu.processes.iter().map(|process| PsRow { gpu: gpu.index, process })).collect();
    let mut output = if options.json {
        CommandOutput::json(&rows)?
    } else {
        CommandOutput::text(with_header(&COLUMNS, rows.iter().map(PsRow::cells)))
    };
    output.problems = gpu_selection::problems(&gpus);
    output.problems.extend(gpus.iter().filter_map(unavailable_message));
    Ok(output)
}

/// Returns a diagnostic if the driver did not return the processes of a GPU. Without the diagnostic, the GPU would seem
/// to have no processes.
fn unavailable_message(gpu: &GpuInfo) -> Option<Diagnostic> {
    let reason = gpu.reason(Reading::ComputeProcesses).filter(|_| gpu.error().is_none())?;
    let is_failure = reason.code() != Some(ReturnCode::NOT_SUPPORTED);
    let message = || format!("the processes of GPU {} are unknown: {reason}", gpu.index);
    is_failure.then(|| Diagnostic::from_library(message(), reason))
}

impl PsRow<'_> {
    fn cells(&self) -> Vec<String> {
        let process = self.process;
        let created = process.create_time.and_then(format_local_time);
        vec![
            self.gpu_cell(),
            process.pid.to_string(),
            process.kind.to_string(),
            or_na(process.name.as_deref()),
            or_na(process.user.as_deref()),
            process.parent_pid.map_or(NOT_AVAILABLE.to_owned(), |pid| pid.to_string()),
            or_na(process.parent_name.as_deref()),
            or_na(created.as_deref()),
            process.gpu_memory.map_or(NOT_AVAILABLE.to_owned(), |mib| format!("{mib} MiB")),
        ]
    }

    /// Returns the index of the GPU; with MIG, also those of the GPU instance and the compute instance: `0/3/0`.
    fn gpu_cell(&self) -> String {
        match (self.process.gpu_instance_id, self.process.compute_instance_id) {
            (Some(gpu_instance), Some(compute_instance)) => format!("{}/{gpu_instance}/{compute_instance}", self.gpu),
            _ => self.gpu.to_string(),
        }
    }
}
