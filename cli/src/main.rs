//! The command `igpu`.

mod args;
mod driver;
mod fail;
mod list;
mod load;
mod manual;
mod notifier;
mod options;
mod output;
#[cfg(feature = "plot")]
mod plot;
mod probe;
mod ps;
mod record;
mod report;
mod select;
mod show;
mod table;
mod units;
mod watchdog;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use fail::Fail;
use load::load;
use options::Options;
use output::Report;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are output like any other; wrong usage is clap's to tell.
        Err(asked) if !asked.use_stderr() => {
            return output::finish(Ok(Report::text(asked.render().to_string())), &Options::default());
        }
        Err(wrong) => wrong.exit(),
    };
    let command = match cli.command {
        Some(Command::Record(args)) => {
            return record::run(cli.options, args).unwrap_or_else(|error| finish(Err(error), &Options::default()));
        }
        other => other,
    };
    let report = match command {
        Some(Command::Report(args)) => report::report(&cli.options, &args),
        #[cfg(feature = "plot")]
        Some(Command::Plot(args)) => plot::report(&args),
        Some(Command::Completions { shell }) => Ok(completions(shell)),
        Some(Command::Man) => manual::page(),
        command => load(&cli.options).and_then(|nvml| match command {
            Some(Command::List) => list::report(&nvml, &cli.options),
            Some(Command::Ps) => ps::report(&nvml, &cli.options),
            Some(Command::Probe(args)) => probe::report(&nvml, &cli.options, &args),
            Some(Command::Driver) => driver::report(&nvml, &cli.options),
            Some(Command::Show { gpus }) => show::report(&nvml, &cli.options, &gpus),
            _ => show::report(&nvml, &cli.options, &[]),
        }),
    };
    finish(report, &cli.options)
}

/// Prints the report and returns the exit status. Wrong usage ends this program as clap does, with the usage.
fn finish(report: Result<Report, Fail>, options: &Options) -> ExitCode {
    match report {
        Err(Fail::Usage(error)) => error.format(&mut Cli::command()).exit(),
        report => output::finish(report, options),
    }
}

fn completions(shell: clap_complete::Shell) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "igpu", &mut script);
    Report::text(String::from_utf8_lossy(&script).into_owned())
}
