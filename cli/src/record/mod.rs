//! `igpu record`: what a program does to the GPUs, as a trace and as a bill.

use std::{ffi::OsString, process::ExitCode};

use clap::Args;

use crate::args::Options;

#[derive(Args)]
pub struct RecordArgs {
    /// The program to run, with its arguments; without one, record until Ctrl-C
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

pub fn run(_options: &Options, _args: &RecordArgs) -> ExitCode {
    ExitCode::FAILURE
}
