//! The command `igpu`.

mod args;
mod driver;
mod error;
mod gpu_selection;
mod help;
mod list;
mod load;
mod man_page;
mod notifier;
mod options;
mod output;
#[cfg(feature = "plot")]
mod plot;
mod probe;
mod ps;
mod record;
mod report;
mod show;
mod table;
mod units;
mod usage;
mod watchdog;

use std::process::ExitCode;

use args::{Cli, CliCommand};
use clap::{CommandFactory, Parser, error::ErrorKind};
use error::CliError;
use load::load;
use options::Options;
use output::CommandOutput;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // The help and the version are printed like other output.
        Err(error) if !error.use_stderr() => {
            return output::finish(Ok(CommandOutput::text(error.render().to_string())), &Options::default());
        }
        Err(error) => return usage::print_error(&error),
    };
    let subcommand = cli.command.as_ref().map(CliCommand::name);
    let command = match cli.command {
        Some(CliCommand::Record(args)) => {
            return record::run(cli.options, args)
                .unwrap_or_else(|error| finish(Err(error), &Options::default(), subcommand));
        }
        other => other,
    };
    if cli.options.json
        && let Some(other) = &command
        && !other.supports_json()
    {
        let message = format!("`igpu {}` does not support --json", other.name());
        return finish(Err(CliError::usage(ErrorKind::ArgumentConflict, message)), &cli.options, subcommand);
    }
    let output = match command {
        Some(CliCommand::Report(args)) => report::run(&cli.options, &args),
        #[cfg(feature = "plot")]
        Some(CliCommand::Plot(args)) => plot::run(&args),
        Some(CliCommand::Completions { shell }) => Ok(completions(shell)),
        Some(CliCommand::Man(args)) => man_page::run(Cli::command(), &args),
        command => load(&cli.options).and_then(|nvml| match command {
            Some(CliCommand::List) => list::run(&nvml, &cli.options),
            Some(CliCommand::Ps) => ps::run(&nvml, &cli.options),
            Some(CliCommand::Probe(args)) => probe::run(&nvml, &cli.options, &args),
            Some(CliCommand::Driver) => driver::run(&nvml, &cli.options),
            Some(CliCommand::Show { gpus }) => show::run(&nvml, &cli.options, &gpus),
            _ => show::run(&nvml, &cli.options, &[]),
        }),
    };
    finish(output, &cli.options, subcommand)
}

/// Prints the output and returns the exit status. For a usage error, prints the usage of the subcommand as well and
/// exits with status 2.
fn finish(output: Result<CommandOutput, CliError>, options: &Options, subcommand: Option<&str>) -> ExitCode {
    match output {
        Err(CliError::Usage(error)) => {
            let mut command = Cli::command();
            command.build();
            let subcommand = subcommand.and_then(|name| command.find_subcommand(name).cloned());
            usage::print_error(&error.format(&mut subcommand.unwrap_or(command)))
        }
        output => output::finish(output, options),
    }
}

fn completions(shell: clap_complete::Shell) -> CommandOutput {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "igpu", &mut script);
    CommandOutput::text(String::from_utf8_lossy(&script).into_owned())
}
