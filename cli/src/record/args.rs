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

#[derive(Args)]
#[command(after_long_help = metrics::help())]
pub(crate) struct RecordArgs {
    /// The file for the recording; `-` is the standard output, where no program is run
    #[arg(short, long, value_name = "FILE", default_value = "igpu.perfetto-trace")]
    pub output: PathBuf,
    #[arg(long, value_name = "FORMAT", value_parser = format, help = format_help())]
    pub format: Option<Format>,
    /// Which GPUs: indices or starts of UUIDs, with commas between [default: all, or the --visible ones]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub gpus: Vec<String>,
    /// Which metrics: names, with commas between; `default` stands for the usual ones (--help shows all names)
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "default")]
    pub metrics: Vec<MetricArg>,
    /// How often to read all metrics, in Hz, whatever that costs; `sensor`: as often as their sensors refresh, within 1 %
    /// of the time
    #[arg(long, value_name = "HZ|sensor", default_value = "sensor")]
    pub rate: SampleRate,
    /// Stop recording after so long: seconds, or 90s, 5m, 1h. The program runs on, and igpu waits for it
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Also record the processes on the GPUs: their memory and use, once a second. These calls take the driver's locks
    #[arg(long)]
    pub processes: bool,
    /// The summary as JSON: to this file, or to the standard output in place of the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT)]
    pub summary_json: Option<PathBuf>,
    /// The program to run, with its arguments; without one, record until Ctrl-C
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl RecordArgs {
    /// Returns the requested format, given by name or by the file's extension.
    pub(crate) fn format(&self) -> Option<Format> {
        let unnamed = || self.output.extension().is_none().then_some(DEFAULT_FORMAT);
        self.format.or_else(|| Format::from_path(&self.output)).or_else(unnamed)
    }

    /// Returns an encoder of that format. A usage error if no format is given.
    pub(crate) fn encoder(&self) -> Result<Box<dyn Encoder>, CliError> {
        let Some(format) = self.format() else {
            let shown = self.output.to_string_lossy();
            return Err(usage_error(&format!(
                "the name {:?} does not determine a format; end it with {}, or give --format",
                igpu::Escaped(&shown).to_string(),
                list_formats(|format| format!(".{}", format.extensions()[0]))
            )));
        };
        format.encoder().ok_or_else(|| {
            usage_error(
                "this igpu was built without Parquet; choose another format, or build it with `--features parquet`",
            )
        })
    }

    pub(crate) fn is_to_stdout(&self) -> bool {
        self.output == Path::new(STDOUT)
    }

    /// Returns whether a program is run; its output then goes to the standard output.
    pub(crate) fn has_command(&self) -> bool {
        !self.command.is_empty()
    }

    /// Checks that the arguments are compatible.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        if self.is_to_stdout() && self.has_command() {
            return Err(usage_error("the standard output is the program's; name a file for the recording"));
        }
        let bare_json = self.summary_json.as_deref() == Some(Path::new(STDOUT));
        if self.is_to_stdout() && bare_json {
            return Err(usage_error("the standard output is the recording's; name a file for --summary-json"));
        }
        Ok(())
    }
}

fn usage_error(message: &str) -> CliError {
    CliError::usage(ErrorKind::InvalidValue, message)
}

fn format(name: &str) -> Result<Format, String> {
    let names = || Format::ALL.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ");
    Format::from_name(name).ok_or_else(|| format!("use one of {}", names()))
}

fn format_help() -> String {
    let names = list_formats(|format| format.name().to_owned());
    let default = DEFAULT_FORMAT.name();
    format!("{names} [default: by the file's extension; {default} if it has none]")
}

/// Lists a property of all formats: `a, b or c`.
fn list_formats(of: fn(&Format) -> String) -> String {
    let all: Vec<String> = Format::ALL.iter().map(of).collect();
    match all.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// How often metrics are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SampleRate {
    /// As their sensors refresh.
    Sensor,
    /// So many times a second.
    Hz(f64),
}

/// The rates that make sense: a driver's call takes microseconds, and a day has 86400 s.
const RATE_RANGE_HZ: std::ops::RangeInclusive<f64> = 1e-5..=10_000.0;

impl FromStr for SampleRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "sensor" {
            return Ok(Self::Sensor);
        }
        let hz = text.parse().ok().filter(|hz| RATE_RANGE_HZ.contains(hz));
        hz.map(Self::Hz).ok_or_else(|| "give readings a second, at most 10000, or `sensor`".to_owned())
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

/// `90`, `90s`, `5m`, `1.5h`.
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
    let whole = number.parse::<f64>().ok().map(|number| number * seconds).filter(|seconds| *seconds > 0.0);
    let duration = whole.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "give seconds above 0, or 90s, 5m, 1h".to_owned())
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
