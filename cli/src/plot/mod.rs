//! `igpu plot`: a recording as a picture.
//!
//! The recording is read twice, so that the memory for it does not grow with its length: `survey` finds out what it
//! holds, `curve` takes its values into as many stretches of time as the picture is wide. `picture` lays out, `diagram`
//! draws a panel, `file` makes SVG or PNG of it, the latter in a `bitmap`.

mod bitmap;
mod curve;
mod diagram;
mod file;
mod panel;
mod picture;
mod style;
mod survey;

use std::path::{Path, PathBuf};

use clap::{
    Args,
    builder::{PathBufValueParser, TypedValueParser as _},
};
use igpu_recording::{Item, RecordingError};

use crate::{error::CliError, output::CommandOutput};
use curve::Curves;
use file::Kind;
use picture::Picture;
use survey::Survey;

#[derive(Args)]
pub(crate) struct PlotArgs {
    /// The recording
    pub file: PathBuf,
    /// Where to draw: a file that ends in .svg or .png
    #[arg(short, long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(Output::new))]
    output: Output,
    /// Only these GPUs, by their indices
    #[arg(long, value_name = "INDEX,…", value_delimiter = ',')]
    gpus: Vec<u32>,
    /// How large, in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1400x1200", value_parser = parse_size)]
    size: (u32, u32),
}

/// A file for a picture.
#[derive(Clone)]
struct Output {
    path: PathBuf,
    kind: Kind,
}

impl Output {
    fn new(path: PathBuf) -> Result<Self, &'static str> {
        let kind = Kind::of(&path).ok_or("its name has to end in .svg or .png")?;
        Ok(Self { path, kind })
    }
}

fn parse_size(text: &str) -> Result<(u32, u32), &'static str> {
    let size = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let fits = |length: &u32| (600..=8000).contains(length);
    size.filter(|(width, height)| fits(width) && fits(height)).ok_or("it is like 1400x1200, each of them 600 to 8000")
}

pub(crate) fn run(args: &PlotArgs) -> Result<CommandOutput, CliError> {
    if file::are_one(&args.file, &args.output.path) {
        let told = format!("{} is the recording; name another file for the picture", args.output.path.display());
        return Err(CliError::Selection(igpu::Escaped(&told).to_string()));
    }
    if !file::can_be_read_twice(&args.file) {
        let told = format!("{} is a pipe, and the recording has to be read twice; name a file", args.file.display());
        return Err(CliError::Selection(igpu::Escaped(&told).to_string()));
    }
    let mut survey = Survey::default();
    let trouble = match read(&args.file, |item| survey.see(item))? {
        Some(error) if survey.range.is_none() => return Err(CliError::Recording(args.file.clone(), error)),
        trouble => trouble,
    };
    keep(&mut survey, &args.gpus)?;
    let mut curves = Curves::new(&survey, picture::columns(args.size.0));
    // What is wrong with the file was said at the first reading; one that is still recorded has grown.
    read(&args.file, |item| curves.see(item))?;
    curves.finish();
    style::load_font();
    let notes = notes(&survey, &curves, trouble.as_ref());
    let picture = Picture { survey: &survey, curves: &curves, notes };
    let content = args.output.kind.draw(&picture, args.size).map_err(CliError::Write)?;
    file::write(&args.output.path, &content).map_err(|error| CliError::File(args.output.path.clone(), error))?;
    Ok(told(args, trouble))
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
fn keep(survey: &mut Survey, named: &[u32]) -> Result<(), CliError> {
    if let Some(unknown) = named.iter().find(|gpu| !survey.gpus.contains_key(gpu)) {
        let known: Vec<String> = survey.gpus.keys().map(u32::to_string).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(CliError::Selection(format!("GPU {unknown} is not in the recording; there are {known}")));
    }
    if !named.is_empty() {
        survey.gpus.retain(|gpu, _| named.contains(gpu));
        survey.marks.retain(|mark| mark.gpu.is_none_or(|gpu| named.contains(&gpu)));
    }
    Ok(())
}

/// What has to be said in the picture.
fn notes(survey: &Survey, curves: &Curves, trouble: Option<&RecordingError>) -> Vec<String> {
    let is_empty = curves.panels.iter().all(Vec::is_empty);
    let empty = is_empty.then(|| "The recording has no values to draw.".to_owned());
    let lost = (survey.lost > 0).then(|| format!("{} records were lost while it was recorded.", survey.lost));
    let more = survey.marks_left_out;
    let marks = (more > 0).then(|| format!("{more} more events of GPUs are not marked."));
    let cut = trouble.map(|error| format!("The recording was not read to its end: {error}."));
    [empty, lost, marks, cut].into_iter().flatten().collect()
}

/// A recording that was cut off, as by `kill -9`, is drawn whole as far as it goes: that is worth a word, no failure.
fn told(args: &PlotArgs, trouble: Option<RecordingError>) -> CommandOutput {
    let Some(error) = trouble else { return CommandOutput::default() };
    let is_failure = !matches!(error, RecordingError::CutOff);
    let sentence = CliError::Recording(args.file.clone(), error).to_string();
    match is_failure {
        true => CommandOutput { stdout: String::new(), problems: vec![sentence] },
        false => CommandOutput::text(format!("{sentence}\n")),
    }
}
