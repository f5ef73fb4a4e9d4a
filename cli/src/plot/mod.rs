//! `igpu plot`: draws a recording as SVG or PNG.
//!
//! The recording is read twice, which makes the required memory independent of its length. The first pass (`scan`)
//! finds the time range, the GPUs, and the series. The second pass (`downsample`) reduces the values to one entry per
//! pixel column. `layout` arranges the plot, `chart` draws a panel, and `render` writes the file, using `bitmap` for
//! PNG.

mod bitmap;
mod chart;
mod downsample;
mod layout;
mod panel;
mod render;
mod scan;
mod style;

use std::path::{Path, PathBuf};

use clap::{
    Args,
    builder::{PathBufValueParser, TypedValueParser as _},
};
use igpu_recording::{Item, RecordingError};

use crate::{
    error::{CliError, Diagnostic},
    gpu_selection,
    help::with_exit_status,
    output::CommandOutput,
};
use downsample::Curves;
use layout::Layout;
use render::ImageFormat;
use scan::RecordingScan;

const EXAMPLES: &str = "\
Examples:
  igpu plot igpu.perfetto-trace -o run.svg
                                  Plot all GPUs
  igpu plot run.csv -o run.png --gpus 0,1 --size 1920x1080
                                  Plot two GPUs with another size
";

#[derive(Args)]
#[command(after_help = with_exit_status(EXAMPLES))]
pub(crate) struct PlotArgs {
    /// Plot this recording, in any format that `igpu record` writes
    pub file: PathBuf,
    /// Write the plot to this file, whose extension .svg or .png determines the format
    #[arg(short, long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(ImageFile::new))]
    output: ImageFile,
    /// Plot only these GPUs: indices or UUID prefixes, separated by commas [default: all GPUs]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    gpus: Vec<String>,
    /// Set the width and height of the plot in pixels, from 600 to 8000
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1400x1200", value_parser = parse_size)]
    size: (u32, u32),
}

/// The output file, and its format.
#[derive(Clone)]
struct ImageFile {
    path: PathBuf,
    format: ImageFormat,
}

impl ImageFile {
    fn new(path: PathBuf) -> Result<Self, &'static str> {
        let format = ImageFormat::from_path(&path).ok_or("the extension must be .svg or .png")?;
        Ok(Self { path, format })
    }
}

/// The accepted widths and heights, in pixels. In a smaller image, labels would overlap; a larger PNG would need more
/// than 192 MB of memory.
const SIZE_RANGE_PX: std::ops::RangeInclusive<u32> = 600..=8000;

fn parse_size(text: &str) -> Result<(u32, u32), &'static str> {
    let size = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let is_valid = |length: &u32| SIZE_RANGE_PX.contains(length);
    size.filter(|(width, height)| is_valid(width) && is_valid(height))
        .ok_or("expected a size such as 1400x1200, with a width and height of 600 to 8000 pixels")
}

pub(crate) fn run(args: &PlotArgs) -> Result<CommandOutput, CliError> {
    if render::same_file(&args.file, &args.output.path) {
        let message = format!("{} is the recording, which the plot would overwrite", args.output.path.display());
        let diagnostic = Diagnostic::new(igpu::Escaped(&message).to_string());
        return Err(CliError::Selection(diagnostic.with_help("name another file with `-o FILE`")));
    }
    if !render::can_be_read_twice(&args.file) {
        let message = format!("{} cannot be read twice, because it is a pipe", args.file.display());
        let diagnostic = Diagnostic::new(igpu::Escaped(&message).to_string());
        return Err(CliError::Selection(diagnostic.with_help("save the recording to a file first")));
    }
    let mut scan = RecordingScan::default();
    let read_error = match read(&args.file, |item| scan.observe(item))? {
        Some(error) if scan.range.is_none() => return Err(CliError::Recording(args.file.clone(), error)),
        read_error => read_error,
    };
    retain_gpus(&mut scan, &args.gpus)?;
    let mut curves = Curves::new(&scan, layout::columns(args.size.0));
    // The first pass has found any error. A recording in progress may have grown in the meantime.
    read(&args.file, |item| curves.observe(item))?;
    curves.finish();
    style::load_font();
    let warnings = warnings(&scan, &curves, read_error.as_ref());
    let layout = Layout { scan: &scan, curves: &curves, warnings };
    let content = args.output.format.render(&layout, args.size).map_err(CliError::Write)?;
    render::write(&args.output.path, &content).map_err(|error| CliError::File(args.output.path.clone(), error))?;
    Ok(result_output(args, read_error))
}

/// Calls `observe` for each item of a recording up to the first invalid item, whose error is returned.
fn read(path: &Path, mut observe: impl FnMut(&Item)) -> Result<Option<RecordingError>, CliError> {
    let items = igpu_recording::read(path).map_err(|error| CliError::Recording(path.to_owned(), error))?;
    for item in items {
        match item {
            Ok(item) => observe(&item),
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

/// Removes the GPUs that are not selected. An empty selection keeps all GPUs.
fn retain_gpus(scan: &mut RecordingScan, names: &[String]) -> Result<(), CliError> {
    let indices = names.iter().map(|name| find_gpu(scan, name)).collect::<Result<Vec<u32>, CliError>>()?;
    if !indices.is_empty() {
        scan.gpus.retain(|gpu, _| indices.contains(gpu));
        scan.markers.retain(|marker| marker.gpu.is_none_or(|gpu| indices.contains(&gpu)));
    }
    Ok(())
}

/// Returns the index of the GPU of the recording that this index or UUID prefix names.
fn find_gpu(scan: &RecordingScan, name: &str) -> Result<u32, CliError> {
    let selection_error = |message: String| Err(CliError::Selection(Diagnostic::new(message)));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_digit()) {
        let with_uuid = || scan.header.gpus.iter().filter_map(|gpu| Some((gpu.index, gpu.uuid.as_deref()?)));
        if with_uuid().next().is_none() {
            return selection_error(format!("{name:?} is not an index, and the recording has no UUIDs of GPUs"));
        }
        let matches = |uuid: &str| !name.is_empty() && gpu_selection::uuid_starts_with(uuid, name);
        return match with_uuid().filter(|(_, uuid)| matches(uuid)).collect::<Vec<_>>()[..] {
            [(index, _)] => Ok(index),
            [] => selection_error(format!("no GPU of the recording has a UUID that starts with {name:?}")),
            ref several => selection_error(format!(
                "{} GPUs of the recording have a UUID that starts with {name:?}",
                several.len()
            )),
        };
    }
    let index = name.parse().ok().filter(|index| scan.gpus.contains_key(index));
    index.map_or_else(
        || {
            let known: Vec<String> = scan.gpus.keys().map(u32::to_string).collect();
            let known = if known.is_empty() { "no GPUs".to_owned() } else { format!("GPUs {}", known.join(", ")) };
            selection_error(format!("GPU {name} is not in the recording, which has {known}"))
        },
        Ok,
    )
}

/// Returns the warnings that the plot shows below its heading.
fn warnings(scan: &RecordingScan, curves: &Curves, read_error: Option<&RecordingError>) -> Vec<String> {
    let is_empty = curves.panels.iter().all(Vec::is_empty);
    let empty = is_empty.then(|| "The recording has no values to plot.".to_owned());
    let dropped = (scan.dropped > 0).then(|| format!("{} records were dropped during the recording.", scan.dropped));
    let omitted = scan.omitted_markers;
    let markers = (omitted > 0).then(|| format!("{omitted} further events of GPUs are not marked."));
    let truncated = read_error.map(|error| format!("The recording was not read to its end: {error}."));
    [empty, dropped, markers, truncated].into_iter().flatten().collect()
}

/// Returns the output after the plot was written. If the recording is truncated, for example because `igpu record` was
/// killed, the plot has the items before its end. The truncation is reported on stdout and is not an error.
fn result_output(args: &PlotArgs, read_error: Option<RecordingError>) -> CommandOutput {
    let Some(error) = read_error else { return CommandOutput::default() };
    let is_error = !matches!(error, RecordingError::Truncated);
    let error = CliError::RecordingEnd(args.file.clone(), error);
    match is_error {
        true => CommandOutput { stdout: String::new(), problems: vec![Diagnostic::from(&error)] },
        false => CommandOutput::text(format!("{error}\n")),
    }
}
