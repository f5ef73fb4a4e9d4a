//! `igpu plot`: a recording as a picture.
//!
//! The recording is read twice, so that the memory for it does not grow with its length: `scan` finds out what it
//! holds, `downsample` takes its values into as many stretches of time as the picture is wide. `layout` lays out, `chart`
//! draws a panel, `render` makes SVG or PNG of it, the latter in a `bitmap`.

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

use crate::{error::CliError, output::CommandOutput};
use downsample::Curves;
use layout::Layout;
use render::ImageFormat;
use scan::RecordingScan;

#[derive(Args)]
pub(crate) struct PlotArgs {
    /// The recording
    pub file: PathBuf,
    /// Where to draw: a file that ends in .svg or .png
    #[arg(short, long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(ImageFile::new))]
    output: ImageFile,
    /// Only these GPUs, by their indices
    #[arg(long, value_name = "INDEX,…", value_delimiter = ',')]
    gpus: Vec<u32>,
    /// How large, in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1400x1200", value_parser = parse_size)]
    size: (u32, u32),
}

/// A file for a picture.
#[derive(Clone)]
struct ImageFile {
    path: PathBuf,
    format: ImageFormat,
}

impl ImageFile {
    fn new(path: PathBuf) -> Result<Self, &'static str> {
        let format = ImageFormat::from_path(&path).ok_or("its name has to end in .svg or .png")?;
        Ok(Self { path, format })
    }
}

fn parse_size(text: &str) -> Result<(u32, u32), &'static str> {
    let size = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let fits = |length: &u32| (600..=8000).contains(length);
    size.filter(|(width, height)| fits(width) && fits(height)).ok_or("it is like 1400x1200, each of them 600 to 8000")
}

pub(crate) fn run(args: &PlotArgs) -> Result<CommandOutput, CliError> {
    if render::same_file(&args.file, &args.output.path) {
        let message = format!("{} is the recording; name another file for the picture", args.output.path.display());
        return Err(CliError::Selection(igpu::Escaped(&message).to_string()));
    }
    if !render::can_be_read_twice(&args.file) {
        let message = format!("{} is a pipe, and the recording has to be read twice; name a file", args.file.display());
        return Err(CliError::Selection(igpu::Escaped(&message).to_string()));
    }
    let mut scan = RecordingScan::default();
    let read_error = match read(&args.file, |item| scan.observe(item))? {
        Some(error) if scan.range.is_none() => return Err(CliError::Recording(args.file.clone(), error)),
        read_error => read_error,
    };
    retain_gpus(&mut scan, &args.gpus)?;
    let mut curves = Curves::new(&scan, layout::columns(args.size.0));
    // What is wrong with the file was said at the first reading; one that is still recorded has grown.
    read(&args.file, |item| curves.observe(item))?;
    curves.finish();
    style::load_font();
    let warnings = warnings(&scan, &curves, read_error.as_ref());
    let layout = Layout { scan: &scan, curves: &curves, warnings };
    let content = args.output.format.render(&layout, args.size).map_err(CliError::Write)?;
    render::write(&args.output.path, &content).map_err(|error| CliError::File(args.output.path.clone(), error))?;
    Ok(result_output(args, read_error))
}

/// Gives each item to `to`. After an item that cannot be read there is none; that is given back.
fn read(path: &Path, mut to: impl FnMut(&Item)) -> Result<Option<RecordingError>, CliError> {
    let items = igpu_recording::read(path).map_err(|error| CliError::Recording(path.to_owned(), error))?;
    for item in items {
        match item {
            Ok(item) => to(&item),
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

/// Leaves those GPUs that were named, when some were.
fn retain_gpus(scan: &mut RecordingScan, indices: &[u32]) -> Result<(), CliError> {
    if let Some(unknown) = indices.iter().find(|gpu| !scan.gpus.contains_key(gpu)) {
        let known: Vec<String> = scan.gpus.keys().map(u32::to_string).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(CliError::Selection(format!("GPU {unknown} is not in the recording; there are {known}")));
    }
    if !indices.is_empty() {
        scan.gpus.retain(|gpu, _| indices.contains(gpu));
        scan.markers.retain(|marker| marker.gpu.is_none_or(|gpu| indices.contains(&gpu)));
    }
    Ok(())
}

/// What has to be said in the picture.
fn warnings(scan: &RecordingScan, curves: &Curves, read_error: Option<&RecordingError>) -> Vec<String> {
    let is_empty = curves.panels.iter().all(Vec::is_empty);
    let empty = is_empty.then(|| "The recording has no values to draw.".to_owned());
    let dropped = (scan.dropped > 0).then(|| format!("{} records were dropped while it was recorded.", scan.dropped));
    let more = scan.omitted_markers;
    let markers = (more > 0).then(|| format!("{more} more events of GPUs are not marked."));
    let truncated = read_error.map(|error| format!("The recording was not read to its end: {error}."));
    [empty, dropped, markers, truncated].into_iter().flatten().collect()
}

/// A recording that was cut off, as by `kill -9`, is drawn whole as far as it goes: that is worth a word, no failure.
fn result_output(args: &PlotArgs, read_error: Option<RecordingError>) -> CommandOutput {
    let Some(error) = read_error else { return CommandOutput::default() };
    let is_error = !matches!(error, RecordingError::Truncated);
    let message = CliError::Recording(args.file.clone(), error).to_string();
    match is_error {
        true => CommandOutput { stdout: String::new(), problems: vec![message] },
        false => CommandOutput::text(format!("{message}\n")),
    }
}
