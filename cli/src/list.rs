//! `igpu list`: one line for each GPU.

use std::fmt::Write as _;

use igpu::{Nvml, Text};
use serde::Serialize;

use crate::{error::CliError, gpu_selection, options::Options, output::CommandOutput, table::or_na};

#[derive(Serialize)]
struct ListEntry {
    index: u32,
    uuid: Option<Text>,
    name: Option<Text>,
}

pub(crate) fn run(nvml: &Nvml, options: &Options) -> Result<CommandOutput, CliError> {
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for index in gpu_selection::indices(nvml, options, &[])? {
        let device = nvml.device(index);
        let (uuid, name) = match &device {
            Ok(device) => (device.uuid(), device.name()),
            Err(error) => (Err(error.clone()), Err(error.clone())),
        };
        // A missing UUID or name is an error only if the GPU is not available.
        let errors = [&uuid, &name]
            .map(|text| text.as_ref().err().filter(|error| device.is_err() || error.is_gpu_unavailable()));
        if let Some(error) = errors.into_iter().flatten().next() {
            problems.push(gpu_selection::read_error(index, uuid.as_deref().ok(), error));
        }
        entries.push(ListEntry { index, uuid: uuid.ok(), name: name.ok() });
    }
    let mut output = match entries.as_slice() {
        [] => CommandOutput::no_gpus(options, nvml.device_count()?),
        entries if options.json => CommandOutput::json(entries)?,
        entries => CommandOutput::text(entries.iter().map(ListEntry::text).collect()),
    };
    output.problems = problems;
    Ok(output)
}

impl ListEntry {
    fn text(&self) -> String {
        let mut line = String::new();
        let _ = writeln!(line, "{:<2} {:<40} {}", self.index, or_na(self.uuid.as_deref()), or_na(self.name.as_deref()));
        line
    }
}
