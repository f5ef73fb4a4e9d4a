//! The manual pages: one for the command, and one for each subcommand.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Command, error::ErrorKind};
use clap_mangen::Man;

use crate::{
    error::CliError,
    help::{sections, with_exit_status},
    output::CommandOutput,
};

const EXAMPLES: &str = "\
Examples:
  igpu man | man -l -             Read the page of the command
  igpu man record | man -l -      Read the page of `igpu record`
  igpu man --all ~/.local/share/man/man1
                                  Install all pages for `man igpu-record`
";

#[derive(Args)]
#[command(after_help = with_exit_status(EXAMPLES))]
pub(crate) struct ManArgs {
    /// Print the page of this subcommand [default: the page of igpu itself]
    #[arg(value_name = "SUBCOMMAND")]
    subcommand: Option<String>,
    /// Write all pages to this directory: igpu.1, igpu-record.1, and so on
    #[arg(long, value_name = "DIR", conflicts_with = "subcommand")]
    all: Option<PathBuf>,
}

/// Prints or writes the manual pages of `main`, which is the command `igpu`.
pub(crate) fn run(main: Command, args: &ManArgs) -> Result<CommandOutput, CliError> {
    let main = complete(main);
    if let Some(directory) = &args.all {
        return write_all(&main, directory);
    }
    let Some(name) = &args.subcommand else { return page(&main) };
    match subcommands(&main).find(|subcommand| subcommand.get_name() == name) {
        Some(subcommand) => page(subcommand),
        None => {
            let names: Vec<&str> = subcommands(&main).map(Command::get_name).collect();
            let message = format!("no subcommand is named {name:?}\nhelp: use one of {}", names.join(", "));
            Err(CliError::usage(ErrorKind::InvalidSubcommand, message))
        }
    }
}

/// Returns the command with the names and global options of its subcommands filled in.
fn complete(command: Command) -> Command {
    let mut command = command.version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    command.build();
    command
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set())
}

fn page(command: &Command) -> Result<CommandOutput, CliError> {
    let page = render(command).map_err(CliError::Write)?;
    Ok(CommandOutput::text(String::from_utf8_lossy(&page).into_owned()))
}

fn write_all(main: &Command, directory: &Path) -> Result<CommandOutput, CliError> {
    let file_error = |path: &Path| {
        let path = path.to_owned();
        |error| CliError::File(path, error)
    };
    fs::create_dir_all(directory).map_err(file_error(directory))?;
    for command in std::iter::once(main).chain(subcommands(main)) {
        let path = directory.join(format!("{}.1", page_name(command)));
        fs::write(&path, render(command).map_err(CliError::Write)?).map_err(file_error(&path))?;
    }
    Ok(CommandOutput::default())
}

/// Returns `igpu`, or `igpu-` and the name of the subcommand.
fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Returns a page in roff.
fn render(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).source(concat!("igpu ", env!("CARGO_PKG_VERSION")));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    // The synopsis of clap_mangen is not used, because it lists all options, and omits `--` before the recorded
    // command.
    let usage = command.clone().render_usage().to_string();
    writeln!(page, ".SH SYNOPSIS\n{}", escape_roff(usage.trim_start_matches("Usage: ")))?;
    // The first paragraph of the description is in the section NAME.
    let long_about = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    if let Some((_, description)) = long_about.split_once("\n\n") {
        writeln!(page, ".SH DESCRIPTION\n{}", escape_roff(description).replace("\n\n", "\n.PP\n"))?;
    }
    man.render_options_section(&mut page)?;
    if subcommands(command).next().is_some() {
        writeln!(page, ".SH COMMANDS")?;
        for subcommand in subcommands(command) {
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            let name = escape_roff(page_name(subcommand));
            writeln!(page, ".TP\n\\fB{name}\\fR(1)\n{}", escape_roff(&about))?;
        }
    }
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string).unwrap_or_default();
    for (heading, lines) in sections(&after) {
        let heading = heading.to_uppercase();
        writeln!(page, ".SH \"{}\"\n.nf\n{}\n.fi", escape_roff(&heading), escape_roff(&lines.join("\n")))?;
    }
    if page_name(command) != "igpu" {
        writeln!(page, ".SH \"SEE ALSO\"\n\\fBigpu\\fR(1)")?;
    }
    Ok(page)
}

/// Escapes text that roff would interpret.
fn escape_roff(text: &str) -> String {
    let lines = text.replace('\\', "\\e").replace('-', "\\-");
    // A line that begins with a dot or an apostrophe is a request to roff.
    lines
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") })
        .collect::<String>()
        .trim_end()
        .to_owned()
}
