//! The selection of GPUs: all GPUs, the GPUs in CUDA_VISIBLE_DEVICES, or the GPUs named on the command line.

use igpu::{Error, GpuInfo, Nvml};

use crate::{
    error::{CliError, Diagnostic},
    options::Options,
};

/// The advice on the selection of a GPU that does not exist.
const LIST_HELP: &str = "`igpu list` prints all GPUs";

/// Returns the indices of the selected GPUs, in the order in which to show them.
pub(crate) fn indices(nvml: &Nvml, options: &Options, names: &[String]) -> Result<Vec<u32>, CliError> {
    let all = if options.visible { nvml.visible_devices()? } else { nvml.devices()? }.indices().to_vec();
    if names.is_empty() {
        return Ok(all);
    }
    let mut selected = Vec::new();
    for name in names {
        let index = find_gpu(nvml, &all, name)?;
        if !selected.contains(&index) {
            selected.push(index);
        }
    }
    Ok(selected)
}

/// Returns the index of the GPU that this index or UUID prefix names. Fails if it names no candidate, or several.
fn find_gpu(nvml: &Nvml, candidates: &[u32], name: &str) -> Result<u32, CliError> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        let count = nvml.device_count()?;
        let Ok(index) = name.parse() else {
            let message = format!("no GPU has index {name}; this machine has {count} GPUs, with indices from 0");
            return Err(CliError::Selection(Diagnostic::new(message).with_help(LIST_HELP)));
        };
        return match candidates.contains(&index) {
            true => Ok(index),
            false if index < count => Err(hidden_gpu_error(index)),
            false => {
                let message = Error::InvalidIndex { index, count }.to_string();
                Err(CliError::Selection(Diagnostic::new(message).with_help(LIST_HELP)))
            }
        };
    }
    let uuid = |index: &u32| nvml.device(*index).and_then(|device| device.uuid()).unwrap_or_default();
    let matches = |index: &u32| !name.is_empty() && uuid_starts_with(&uuid(index), name);
    match candidates.iter().copied().filter(matches).collect::<Vec<_>>()[..] {
        [index] => Ok(index),
        [] => Err(match (0..nvml.device_count()?).find(matches) {
            Some(index) => hidden_gpu_error(index),
            None => {
                let message = format!("no GPU has a UUID that starts with {name:?}");
                CliError::Selection(Diagnostic::new(message).with_help(LIST_HELP))
            }
        }),
        ref matching => {
            let message = format!("{} GPUs have a UUID that starts with {name:?}", matching.len());
            let help = "pass a longer prefix; `igpu list` prints all UUIDs";
            Err(CliError::Selection(Diagnostic::new(message).with_help(help)))
        }
    }
}

/// Returns the error for a GPU that exists but is not visible.
fn hidden_gpu_error(index: u32) -> CliError {
    let message = format!("GPU {index} is hidden by CUDA_VISIBLE_DEVICES");
    CliError::Selection(Diagnostic::new(message).with_help("omit --visible to select from all GPUs"))
}

/// Returns `true` if the UUID starts with this prefix, which may omit `GPU-`. Ignores case.
pub(crate) fn uuid_starts_with(uuid: &str, prefix: &str) -> bool {
    let bare = uuid.strip_prefix("GPU-").unwrap_or(uuid);
    [uuid, bare].iter().any(|uuid| uuid.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)))
}

/// Returns a diagnostic for each GPU that could not be read, and for each truncated process list.
pub(crate) fn problems(gpus: &[GpuInfo]) -> Vec<Diagnostic> {
    let unreadable = gpus.iter().filter_map(|gpu| Some(read_error(gpu.index, gpu.uuid.as_deref(), gpu.error()?)));
    unreadable.chain(gpus.iter().filter(|gpu| gpu.processes.omitted_count() > 0).map(truncated_message)).collect()
}

fn truncated_message(gpu: &GpuInfo) -> Diagnostic {
    let (shown, total) = (gpu.processes.len(), gpu.processes.total());
    let message = format!("GPU {} has {total} processes, of which {shown} are shown", gpu.index);
    Diagnostic::new(message).with_help("run the command again; the list grew while it was read")
}

/// Returns the diagnostic for a GPU that could not be read.
pub(crate) fn read_error(index: u32, uuid: Option<&str>, error: &Error) -> Diagnostic {
    let uuid = uuid.filter(|uuid| !uuid.is_empty()).map(|uuid| format!(" ({})", igpu::Escaped(uuid)));
    let message = format!("GPU {index}{} could not be read: {error}", uuid.unwrap_or_default());
    Diagnostic::from_library(message, error)
}
