//! `igpu plot`: a recording as a picture.

use std::path::PathBuf;

use clap::Args;

use crate::{fail::Fail, output::Report};

#[derive(Args)]
pub struct PlotArgs {
    /// The recording
    pub file: PathBuf,
    /// Where to draw: a file that ends in .svg or .png
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

pub fn report(_args: &PlotArgs) -> Result<Report, Fail> {
    Ok(Report::default())
}
