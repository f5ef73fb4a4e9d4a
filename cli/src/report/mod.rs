//! `igpu report`: the summary of a recording, or two compared.

use std::path::PathBuf;

use clap::Args;

use crate::{args::Options, fail::Fail, output::Report};

#[derive(Args)]
pub struct ReportArgs {
    /// The recording; a second one is compared with it
    #[arg(value_name = "FILE", num_args = 1..=2, required = true)]
    pub files: Vec<PathBuf>,
}

pub fn report(_options: &Options, _args: &ReportArgs) -> Result<Report, Fail> {
    Ok(Report::default())
}
