//! Measures the punctuality and the cost of the background sampler: the lateness of its ticks, the number of missed
//! deadlines, and its share of a CPU core.
//!
//! For users who want to know which sampling rates are possible on a host. It also shows how a program drains the
//! records of a sampler that runs on its own thread.
//!
//! ```sh
//! cargo run --release --example background                    # on the GPUs of this host, 10 s for each rate
//! cargo run --release --example background -- --simulate 3    # on the simulator, 3 s for each rate
//! cargo run --release --example background -- --rate 100 --rate default --json
//! ```
//!
//! `--rate` can be given several times. The default is 1 kHz and 10 kHz.
//!
//! - `--rate N`: three metrics, from three driver calls, at N Hz without a budget.
//! - `--rate default`: the default metrics at the poll intervals of the catalog, without adaptive intervals.
//! - `--rate adaptive`: the default metrics at adaptive intervals, which follow the estimated refresh periods.

#[path = "support/punctuality.rs"]
mod punctuality;
mod support;

use std::{fs, thread::sleep, time::Duration};

use igpu::{
    Nvml,
    metric::Metric,
    sampler::{Record, Sampler, SamplerBuilder, StopOutcome},
};
use punctuality::{Lateness, Punctuality};
use serde_json::{Value, json};

/// Metrics from three driver calls, for rates in Hz.
const METRICS: [Metric; 3] = [Metric::POWER_USAGE, Metric::UTILIZATION_GPU, Metric::CLOCK_SM];
/// The metric whose lateness is measured if poll intervals differ. Its driver call is cheap, so that the budget does
/// not stretch its interval.
const MEASURED_METRIC: Metric = Metric::CLOCK_SM;
/// The maximum number of records between two drains.
const RECORD_CAPACITY: usize = 1 << 18;

fn main() -> support::Result {
    let (mut rates, mut is_json, mut other_arguments) = (Vec::new(), false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => is_json = true,
            "--rate" => rates.push(Rate::parse(&arguments.next().unwrap_or_default())?),
            _ => other_arguments.push(argument),
        }
    }
    if rates.is_empty() {
        rates = vec![Rate::Hertz(1_000), Rate::Hertz(10_000)];
    }
    let (nvml, seconds) = support::parse(other_arguments.into_iter(), 10.0)?;
    let gpus = nvml.device_count()?;
    if !is_json {
        println!("{gpus} GPUs, {seconds} s for each rate:\n");
        println!("| rate | ticks | lateness p50 | p99 | p99.9 | max | missed deadlines | CPU | records | dropped |");
        println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    }
    let mut results = Vec::new();
    for rate in rates {
        let measurement = measure(&nvml, &rate, Duration::from_secs_f64(seconds), is_json)?;
        if is_json {
            results.push(measurement.json(&rate, gpus, seconds));
        } else {
            println!("{}", measurement.row(&rate));
        }
    }
    if is_json {
        println!("{:#}", Value::from(results));
    }
    Ok(())
}

/// A sampling rate.
enum Rate {
    /// The poll intervals of the catalog.
    Default,
    /// Adaptive intervals.
    Adaptive,
    /// A fixed rate in Hz.
    Hertz(u64),
}

impl Rate {
    fn parse(text: &str) -> support::Result<Self> {
        match text.parse() {
            _ if text == "default" => Ok(Self::Default),
            _ if text == "adaptive" => Ok(Self::Adaptive),
            Ok(hertz) if (1..=1_000_000).contains(&hertz) => Ok(Self::Hertz(hertz)),
            _ => Err(format!("invalid --rate {text:?}: use default, adaptive, or a rate from 1 to 1000000 Hz").into()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::Adaptive => "adaptive".to_owned(),
            Self::Hertz(hertz) => format!("{hertz} Hz"),
        }
    }

    /// Returns the sampler, the metric whose lateness is measured, and the interval of that metric.
    fn sampler(&self, nvml: &Nvml) -> (SamplerBuilder, Metric, Duration) {
        let builder = Sampler::builder(nvml);
        match self {
            Self::Default => {
                let set_interval =
                    |builder: SamplerBuilder, metric: Metric| builder.interval(metric, metric.info().poll_interval);
                (Metric::all().fold(builder, set_interval), MEASURED_METRIC, MEASURED_METRIC.info().poll_interval)
            }
            Self::Adaptive => (
                builder.interval(MEASURED_METRIC, MEASURED_METRIC.info().poll_interval),
                MEASURED_METRIC,
                MEASURED_METRIC.info().poll_interval,
            ),
            Self::Hertz(hertz) => {
                let interval = Duration::from_nanos(1_000_000_000 / hertz);
                let builder = builder.metrics(&METRICS).budget(1.0);
                (
                    METRICS.iter().fold(builder, |builder, metric| builder.interval(*metric, interval)),
                    METRICS[0],
                    interval,
                )
            }
        }
    }
}

/// The results for a rate.
struct Measurement {
    lateness: Lateness,
    /// The CPU time of the sampler's threads divided by the duration of the measurement.
    cpu_share: f64,
    /// The number of records that did not fit into the capacity.
    dropped: u64,
}

/// Runs the sampler at a rate, and measures it. If `report_start` is true, prints a line to the standard error when the
/// measurement begins, so that a parent process can wait for it.
fn measure(nvml: &Nvml, rate: &Rate, duration: Duration, report_start: bool) -> support::Result<Measurement> {
    let (builder, metric, interval) = rate.sampler(nvml);
    let mut background = builder.build()?.spawn(RECORD_CAPACITY)?;
    let (mut buffer, mut punctuality) =
        (vec![Record::default(); RECORD_CAPACITY], Punctuality::new(metric, interval, duration));
    sleep(Duration::from_millis(100));
    // The first ticks, which fill the CPU caches, are not measured.
    if report_start {
        eprintln!("sampling");
    }
    background.drain(&mut buffer);
    let (start, cpu_before) = (std::time::Instant::now(), sampler_cpu_time()?);
    while start.elapsed() < duration {
        sleep(Duration::from_millis(20));
        let count = background.drain(&mut buffer);
        buffer.iter().take(count).for_each(|record| punctuality.observe(record));
    }
    let cpu_share = (sampler_cpu_time()? - cpu_before).as_secs_f64() / start.elapsed().as_secs_f64();
    let dropped = background.dropped();
    if background.stop() == StopOutcome::Abandoned {
        return Err("a driver call does not return".into());
    }
    Ok(Measurement { lateness: punctuality.lateness(), cpu_share, dropped })
}

impl Measurement {
    /// Returns the median, the 99th and 99.9th percentiles, and the maximum of the lateness, in microseconds.
    fn lateness_us(&self) -> [f64; 4] {
        let Lateness { p50_ns, p99_ns, p999_ns, max_ns, .. } = self.lateness;
        [p50_ns, p99_ns, p999_ns, max_ns].map(|nanoseconds| nanoseconds as f64 * 1e-3)
    }

    /// Returns the row of the table.
    fn row(&self, rate: &Rate) -> String {
        let Lateness { ticks, missed_deadlines, records, .. } = self.lateness;
        let [p50, p99, p999, max] = self.lateness_us();
        format!(
            "| {} | {ticks} | {p50:.1} µs | {p99:.1} µs | {p999:.1} µs | {max:.1} µs | {missed_deadlines} | {:.2} % | {records} | {} |",
            rate.name(),
            self.cpu_share * 100.0,
            self.dropped
        )
    }

    /// Returns the measurement as a JSON object.
    fn json(&self, rate: &Rate, gpus: u32, seconds: f64) -> Value {
        let Lateness { ticks, missed_deadlines, records, dropped_by_events, .. } = self.lateness;
        let [p50, p99, p999, max] = self.lateness_us();
        json!({
            "rate": rate.name(), "gpus": gpus, "seconds": seconds, "ticks": ticks, "missed_deadlines": missed_deadlines,
            "lateness_us": { "p50": p50, "p99": p99, "p99.9": p999, "max": max }, "cpu_share": self.cpu_share,
            "records": records, "dropped": self.dropped, "dropped_by_events": dropped_by_events,
        })
    }
}

/// Returns the CPU time of the sampler's threads, which are the worker and the watchdog.
fn sampler_cpu_time() -> support::Result<Duration> {
    let mut times = Vec::new();
    for thread in fs::read_dir("/proc/self/task")?.flatten().map(|thread| thread.path()) {
        if fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("igpu-")) {
            times.push(cpu_time(&thread)?);
        }
    }
    if times.is_empty() {
        Err("the threads of the sampler were not found in /proc/self/task".into())
    } else {
        Ok(times.iter().sum())
    }
}

/// Returns the CPU time of a thread from `schedstat`, or from `stat`, in ticks of 10 ms, if the kernel does not provide
/// `schedstat` (gVisor).
fn cpu_time(thread: &std::path::Path) -> support::Result<Duration> {
    let first_number = |text: String| text.split(' ').next().and_then(|word| word.parse().ok());
    if let Some(nanoseconds) = fs::read_to_string(thread.join("schedstat")).ok().and_then(first_number) {
        return Ok(Duration::from_nanos(nanoseconds));
    }
    let stat = fs::read_to_string(thread.join("stat"))?;
    // The fields after the name begin with field 3; user and system time are fields 14 and 15.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
    Ok(Duration::from_millis(ticks * 10))
}
