//! `igpu report`: the summary of a recording, or two compared.

mod text;

use std::path::{Path, PathBuf};

use clap::Args;
use igpu_recording::{Summary, SummaryBuilder, read};

pub use self::text::text;
use crate::{args::Options, fail::Fail, output::Report};

#[derive(Args)]
pub struct ReportArgs {
    /// The recording; a second one is compared with it
    #[arg(value_name = "FILE", num_args = 1..=2, required = true)]
    pub files: Vec<PathBuf>,
}

pub fn report(options: &Options, args: &ReportArgs) -> Result<Report, Fail> {
    let summary = summary(&args.files[0])?;
    Ok(Report::text(if options.json { json(&summary)? } else { text(&summary) }))
}

/// The summary as one JSON object, which ends with a line feed.
pub fn json(summary: &Summary) -> Result<String, Fail> {
    let text = serde_json::to_string_pretty(summary).map_err(|error| Fail::Write(error.into()))?;
    Ok(text + "\n")
}

fn summary(path: &Path) -> Result<Summary, Fail> {
    let unreadable = |error| Fail::Recording(path.to_owned(), error);
    let mut builder = SummaryBuilder::default();
    for item in read(path).map_err(unreadable)? {
        builder.see(&item.map_err(unreadable)?);
    }
    Ok(builder.summary())
}
