//! Usage errors, with advice on mistakes that clap does not recognize.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::error::{ContextKind, ContextValue};

/// The exit status of a usage error.
const USAGE_STATUS: u8 = 2;

/// The options whose value must follow `=`, because the next argument could be a subcommand or a program.
const OPTIONS_WITH_EQUALS: [&str; 2] = ["--simulate", "--summary-json"];

/// Prints a usage error with the prefix of all errors, and returns the exit status.
pub(crate) fn print_error(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let arguments: Vec<String> =
        env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let text = match help(error, &arguments) {
        Some(help) => text.replacen("\n\nUsage: ", &format!("\nhelp: {help}\n\nUsage: "), 1),
        None => text.to_owned(),
    };
    // If stderr is closed, there is nowhere to report the error.
    let _ = write!(io::stderr(), "igpu: {text}");
    ExitCode::from(USAGE_STATUS)
}

/// Returns advice if the unexpected argument is the value of an option without `=`, or the program of `igpu record`
/// without `--`.
fn help(error: &clap::Error, arguments: &[String]) -> Option<String> {
    let unexpected = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].into_iter().find_map(|kind| {
        let ContextValue::String(argument) = error.get(kind)? else { return None };
        Some(argument.as_str()).filter(|argument| !argument.starts_with('-'))
    })?;
    let shown = igpu::Escaped(unexpected);
    let is_value = |pair: &&[String]| pair[1] == unexpected && OPTIONS_WITH_EQUALS.contains(&pair[0].as_str());
    if let Some(pair) = arguments.windows(2).find(is_value) {
        return Some(format!("write `{}={shown}`", pair[0]));
    }
    let is_program = arguments.iter().any(|argument| argument == "record");
    is_program.then(|| format!("put `--` before the program: `igpu record -- {shown}`"))
}
