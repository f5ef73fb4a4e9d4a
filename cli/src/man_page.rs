//! The manual page: clap's, with the examples as they stand in the help, and the subcommands in one page.

use std::io::Write as _;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::{
    args::{Cli, after_help},
    error::CliError,
    output::CommandOutput,
};

/// The page, in roff: `igpu man | man -l -`.
pub(crate) fn render() -> Result<CommandOutput, CliError> {
    let mut page = Vec::new();
    write(&mut page).map_err(CliError::Write)?;
    Ok(CommandOutput::text(String::from_utf8_lossy(&page).into_owned()))
}

fn write(page: &mut Vec<u8>) -> std::io::Result<()> {
    let command = Cli::command().version(env!("CARGO_PKG_VERSION"));
    let subcommands: Vec<_> = command.get_subcommands().filter(|sub| sub.get_name() != "help").cloned().collect();
    let man = Man::new(command);
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    writeln!(page, ".SH COMMANDS")?;
    for sub in subcommands {
        let arguments: Vec<String> = sub.get_positionals().map(ToString::to_string).collect();
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(
            page,
            ".TP\n\\fB{}\\fR {}\n{}",
            sub.get_name(),
            escape_roff(&arguments.join(" ")),
            escape_roff(&about)
        )?;
    }
    let after = after_help();
    let (examples, rest) = after.split_once("\n\n").unwrap_or((&after, ""));
    writeln!(page, ".SH EXAMPLES\n.nf\n{}\n.fi", escape_roff(examples.trim_start_matches("Examples:\n")))?;
    let (environment, status) = rest.split_once("\n\n").unwrap_or((rest, ""));
    writeln!(page, ".SH ENVIRONMENT\n.nf\n{}\n.fi", escape_roff(environment.trim_start_matches("Environment:\n")))?;
    writeln!(page, ".SH EXIT STATUS\n{}", escape_roff(status.trim_start_matches("Exit status: ")))
}

/// Text that roff shows as it is.
fn escape_roff(text: &str) -> String {
    let lines = text.replace('\\', "\\e").replace('-', "\\-");
    // A dot or a quote at the beginning of a line would be a request.
    lines
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") })
        .collect::<String>()
        .trim_end()
        .to_owned()
}
