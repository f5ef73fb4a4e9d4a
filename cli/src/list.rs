//! `igpu list`: a line for each GPU.

use std::fmt::Write as _;

use igpu::{Nvml, Text};
use serde::Serialize;

use crate::{fail::Fail, options::Options, output::Report, select, table::or_na};

#[derive(Serialize)]
struct Line {
    index: u32,
    uuid: Option<Text>,
    name: Option<Text>,
}

pub(crate) fn report(nvml: &Nvml, options: &Options) -> Result<Report, Fail> {
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    for index in select::indices(nvml, options, &[])? {
        let device = nvml.device(index);
        let (uuid, name) = match &device {
            Ok(device) => (device.uuid(), device.name()),
            Err(error) => (Err(error.clone()), Err(error.clone())),
        };
        // A GPU that only lacks a UUID or a name is none that could not be read.
        let gone =
            [&uuid, &name].map(|text| text.as_ref().err().filter(|error| device.is_err() || error.is_gpu_gone()));
        if let Some(error) = gone.into_iter().flatten().next() {
            problems.push(select::sentence(index, uuid.as_deref().ok(), error));
        }
        lines.push(Line { index, uuid: uuid.ok(), name: name.ok() });
    }
    let mut report = match lines.as_slice() {
        [] => Report::nothing(options, nvml.device_count()?),
        lines if options.json => Report::json(lines)?,
        lines => Report::text(lines.iter().map(Line::text).collect()),
    };
    report.problems = problems;
    Ok(report)
}

impl Line {
    fn text(&self) -> String {
        let mut line = String::new();
        let _ = writeln!(line, "{:<2} {:<40} {}", self.index, or_na(self.uuid.as_deref()), or_na(self.name.as_deref()));
        line
    }
}
