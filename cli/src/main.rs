//! The command `igpu`.

mod args;
mod driver;
mod fail;
mod list;
mod manual;
mod output;
mod patience;
mod plot;
mod probe;
mod ps;
mod record;
mod report;
mod select;
mod show;
mod table;

use std::process::ExitCode;

use args::{Cli, Command, Options};
use clap::{CommandFactory, Parser, error::ErrorKind};
use fail::Fail;
use igpu::Nvml;
use indicatif::ProgressBar;
use output::Report;
use patience::Patience;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are output like any other; wrong usage is clap's to tell.
        Err(asked) if !asked.use_stderr() => {
            return output::finish(Ok(Report::text(asked.render().to_string())), &Options::default());
        }
        Err(wrong) => wrong.exit(),
    };
    if let Some(Command::Probe(args)) = &cli.command
        && let Some(parent) = args.be_traced
    {
        return probe::be_traced(|| load(&cli.options), parent, &args.gpus);
    }
    let command = match cli.command {
        Some(Command::Record(args)) => return record::run(cli.options, args),
        other => other,
    };
    let report = match command {
        Some(Command::Report(args)) => report::report(&cli.options, &args),
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
    output::finish(report, &cli.options)
}

/// The driver that was asked for: a simulated one, a named one, or this machine's.
fn load(options: &Options) -> Result<Nvml, Fail> {
    let builder = match (&options.simulate, &options.library) {
        (Some(scenario), _) => {
            let scenario = nvml_sim::Scenario::load(scenario).unwrap_or_else(|error| {
                Cli::command().error(ErrorKind::InvalidValue, error).exit();
            });
            nvml_sim::start(&scenario);
            // SAFETY: the simulator is linked into this program, and its functions have the signatures of nvml.h.
            unsafe { Nvml::builder().resolver(nvml_sim::resolve) }
        }
        (None, Some(path)) => Nvml::builder().library(path),
        (None, None) => Nvml::builder(),
    };
    let patience = Patience::start(ProgressBar::hidden());
    patience.waits_for("nvmlInit_v2", None);
    builder.load().map_err(Fail::Load)
}

fn completions(shell: clap_complete::Shell) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "igpu", &mut script);
    Report::text(String::from_utf8_lossy(&script).into_owned())
}
