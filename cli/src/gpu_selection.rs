//! Which GPUs are meant: all, those that CUDA_VISIBLE_DEVICES leaves, those that were named.

use igpu::{Error, GpuInfo, Nvml};

use crate::{error::CliError, options::Options};

/// The indices of the GPUs to show, in the order to show them in.
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

/// The one GPU that a number or the start of a UUID stands for.
fn find_gpu(nvml: &Nvml, candidates: &[u32], name: &str) -> Result<u32, CliError> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        let count = nvml.device_count()?;
        let Ok(index) = name.parse() else {
            return Err(CliError::Selection(format!("no GPU has index {name}; there are {count}, counted from 0")));
        };
        return match candidates.contains(&index) {
            true => Ok(index),
            false if index < count => Err(hidden_gpu_error(index)),
            false => Err(CliError::Driver(Error::InvalidIndex { index, count })),
        };
    }
    let uuid = |index: &u32| nvml.device(*index).and_then(|device| device.uuid()).unwrap_or_default();
    let matches = |index: &u32| !name.is_empty() && uuid_starts_with(&uuid(index), name);
    match candidates.iter().copied().filter(matches).collect::<Vec<_>>()[..] {
        [index] => Ok(index),
        [] => Err(match (0..nvml.device_count()?).find(matches) {
            Some(index) => hidden_gpu_error(index),
            None => CliError::Selection(format!("no GPU has a UUID that starts with {name:?}; `igpu list` shows them")),
        }),
        ref matching => Err(CliError::Selection(format!(
            "{} GPUs have a UUID that starts with {name:?}; give more of it (`igpu list` shows them)",
            matching.len()
        ))),
    }
}

/// A GPU that is there, but not among those to choose from.
fn hidden_gpu_error(index: u32) -> CliError {
    CliError::Selection(format!("GPU {index} is hidden by CUDA_VISIBLE_DEVICES; leave --visible out"))
}

/// Whether the UUID starts so, with its `GPU-` or without.
fn uuid_starts_with(uuid: &str, prefix: &str) -> bool {
    let bare = uuid.strip_prefix("GPU-").unwrap_or(uuid);
    [uuid, bare].iter().any(|uuid| uuid.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)))
}

/// A sentence for each GPU that could not be read, and for each list of processes that could not be shown whole.
pub(crate) fn problems(gpus: &[GpuInfo]) -> Vec<String> {
    let lost = gpus.iter().filter_map(|gpu| Some(read_error_message(gpu.index, gpu.uuid.as_deref(), gpu.error()?)));
    lost.chain(gpus.iter().filter(|gpu| gpu.processes.omitted_count() > 0).map(truncated_message)).collect()
}

fn truncated_message(gpu: &GpuInfo) -> String {
    let (shown, total) = (gpu.processes.len(), gpu.processes.total());
    format!("GPU {} has {total} processes, of which {shown} are shown; ask again", gpu.index)
}

/// Names a GPU that could not be read, and says why.
pub(crate) fn read_error_message(index: u32, uuid: Option<&str>, error: &Error) -> String {
    match uuid.filter(|uuid| !uuid.is_empty()) {
        Some(uuid) => format!("GPU {index} ({}) could not be read: {error}", igpu::Escaped(uuid)),
        None => format!("GPU {index} could not be read: {error}"),
    }
}
