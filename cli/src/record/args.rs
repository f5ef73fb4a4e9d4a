//! The command line of `igpu record`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Args, error::ErrorKind};
use igpu_recording::{Encoder, Format};

use super::metrics::{self, MetricArg};
use crate::{error::CliError, output::STDOUT};

/// The format of a file whose name has no extension.
const DEFAULT_FORMAT: Format = Format::Perfetto;

const EXAMPLES: &str = "\
Examples:
  igpu record -- python train.py          Record all GPUs while a program runs
  igpu record --processes -o run.csv -- ./train.sh
                                          Record the processes too, as CSV
  igpu record --duration 5m               Record for 5 minutes without a program
  igpu record --rate 50 --metrics gpu.power,gpu.utilization -- ./bench
                                          Read two metrics 50 times per second
  igpu record --plan plan.json -- ./bench Read each metric at the interval that a probe has found
  igpu record --gpus 0 -o - --format jsonl | jq .
                                          Stream a recording to another program
";

const EXIT_STATUS: &str = "\
Exit status:
  With a program, the status of that program, 128 + N if signal N ended it, 127 if it was not
  found, or 126 if it could not be executed. Otherwise:
  0  Success
  1  Error; nothing was recorded, or the recording or the summary could not be written completely
  2  Invalid command line; the program was not started";

fn after_help() -> String {
    format!("{EXAMPLES}\n{EXIT_STATUS}")
}

fn after_long_help() -> String {
    format!("{EXAMPLES}\n{}\n{EXIT_STATUS}", metrics::help())
}

#[derive(Args)]
#[command(after_help = after_help(), after_long_help = after_long_help())]
pub(crate) struct RecordArgs {
    /// Write the recording to this file, or to the standard output if FILE is `-` and no program is run
    #[arg(short, long, value_name = "FILE", default_value = "igpu.perfetto-trace")]
    pub output: PathBuf,
    #[arg(long, value_name = "FORMAT", value_parser = format, help = format_help())]
    pub format: Option<Format>,
    /// Record these GPUs: indices or UUID prefixes, separated by commas [default: all GPUs]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub gpus: Vec<String>,
    /// Record these metrics: names, separated by commas; `default` includes the default metrics (--help lists all
    /// names)
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "default")]
    pub metrics: Vec<MetricArg>,
    /// Read all metrics HZ times per second, regardless of the cost; with `sensor`, read each metric as often as its
    /// sensor refreshes, with driver calls taking at most 1 % of the time
    #[arg(long, value_name = "HZ|sensor", default_value = "sensor")]
    pub rate: SampleRate,
    /// Record the metrics of this sampling plan at its intervals; `igpu probe --plan FILE` creates a plan
    #[arg(long, value_name = "FILE", conflicts_with_all = ["metrics", "rate"])]
    pub plan: Option<PathBuf>,
    /// Stop recording after this time: seconds, or 90s, 5m, 1h; a program continues to run, and igpu waits for it
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Record the processes on the GPUs, with their memory and utilization, once per second; the driver calls for this
    /// take locks that running workloads need
    #[arg(long)]
    pub processes: bool,
    /// Write the summary as JSON to this file, or without FILE to the standard output instead of the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    pub summary_json: Option<PathBuf>,
    /// Run this program with its arguments, and record until it exits [default: record until Ctrl-C]
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl RecordArgs {
    /// Returns the requested format, which --format or the extension of the file name determines.
    pub(crate) fn format(&self) -> Option<Format> {
        let without_extension = || self.output.extension().is_none().then_some(DEFAULT_FORMAT);
        self.format.or_else(|| Format::from_path(&self.output)).or_else(without_extension)
    }

    /// Returns an encoder of the requested format. Fails with a usage error if the format is unknown, or if this build
    /// does not support it.
    pub(crate) fn encoder(&self) -> Result<Box<dyn Encoder>, CliError> {
        let Some(format) = self.format() else {
            let shown = self.output.to_string_lossy();
            return Err(usage_error(
                &format!("the file name {:?} does not determine a format", igpu::Escaped(&shown).to_string()),
                &format!(
                    "use one of the extensions {}, or pass --format",
                    list_formats(|format| format!(".{}", format.extensions()[0]))
                ),
            ));
        };
        format.encoder().ok_or_else(|| {
            usage_error(
                "Parquet is not supported by this build of igpu",
                "choose another format, or build igpu with `--features parquet`",
            )
        })
    }

    pub(crate) fn is_to_stdout(&self) -> bool {
        self.output == Path::new(STDOUT)
    }

    /// Returns `true` if a program is run. The standard output then belongs to the program.
    pub(crate) fn has_command(&self) -> bool {
        !self.command.is_empty()
    }

    /// Checks that the arguments are compatible.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        if self.is_to_stdout() && self.has_command() {
            return Err(usage_error(
                "the standard output is used by the program, and cannot take the recording",
                "write the recording to a file with `-o FILE`",
            ));
        }
        let is_json_to_stdout = self.summary_json.as_deref() == Some(Path::new(STDOUT));
        if self.is_to_stdout() && is_json_to_stdout {
            return Err(usage_error(
                "the standard output is used by the recording, and cannot take the summary",
                "write the summary to a file with `--summary-json=FILE`",
            ));
        }
        Ok(())
    }
}

fn usage_error(message: &str, help: &str) -> CliError {
    CliError::usage(ErrorKind::InvalidValue, format!("{message}\nhelp: {help}"))
}

fn format(name: &str) -> Result<Format, String> {
    let names = || Format::ALL.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ");
    Format::from_name(name).ok_or_else(|| format!("expected one of {}", names()))
}

fn format_help() -> String {
    let names = list_formats(|format| format.name().to_owned());
    let default = DEFAULT_FORMAT.name();
    format!("Write this format: {names} [default: determined by the extension of FILE; {default} if it has none]")
}

/// Lists a property of all formats as `a, b, or c`.
fn list_formats(property: fn(&Format) -> String) -> String {
    let all: Vec<String> = Format::ALL.iter().map(property).collect();
    match all.split_last() {
        Some((last, others)) => format!("{}, or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The rate at which metrics are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SampleRate {
    /// Each metric at the refresh rate of its sensor.
    Sensor,
    /// All metrics at this rate, in Hz.
    Hz(f64),
}

/// The accepted rates, from about once a day to the microseconds that a driver call takes.
const RATE_RANGE_HZ: std::ops::RangeInclusive<f64> = 1e-5..=10_000.0;

impl FromStr for SampleRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "sensor" {
            return Ok(Self::Sensor);
        }
        let hz = text.parse().ok().filter(|hz| RATE_RANGE_HZ.contains(hz));
        hz.map(Self::Hz).ok_or_else(|| "expected a rate from 0.00001 to 10000 Hz, or `sensor`".to_owned())
    }
}

impl SampleRate {
    /// Returns the rate in Hz, if it is fixed.
    pub(crate) fn hz(self) -> Option<f64> {
        match self {
            Self::Sensor => None,
            Self::Hz(hz) => Some(hz),
        }
    }
}

/// Parses a duration such as `90`, `90s`, `5m`, or `1.5h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.chars().next_back()),
        None => (text, None),
    };
    let seconds = match unit {
        Some('h') => 3600.0,
        Some('m') => 60.0,
        _ => 1.0,
    };
    let total = number.parse::<f64>().ok().map(|number| number * seconds).filter(|seconds| *seconds > 0.0);
    let duration = total.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "expected a time above 0, such as 90, 90s, 5m, or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_accepts_seconds_and_units() {
        for (text, seconds) in
            [("90", 90.0), ("90s", 90.0), ("5m", 300.0), ("1h", 3600.0), ("0.25", 0.25), ("1.5h", 5400.0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "s", "0", "-1", "nan", "inf", "1d", "5 m", "1e300h", "1h30m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rate_accepts_number_or_sensor() {
        assert_eq!("sensor".parse(), Ok(SampleRate::Sensor));
        assert_eq!("2.5".parse(), Ok(SampleRate::Hz(2.5)));
        for text in ["", "0", "-1", "nan", "inf", "10001", "fast"] {
            assert!(text.parse::<SampleRate>().is_err(), "{text}");
        }
    }
}
