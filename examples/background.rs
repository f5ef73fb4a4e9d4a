//! The sampler on a thread of its own: how late its ticks are, how many deadlines it misses, and how much of a core it
//! takes.
//!
//! `cargo run --release --example background` with a driver, on the simulator with `-- --simulate`; 10 seconds for each
//! rate, or as many as `-- 60` says. `--json` prints JSON. `--rate` may stand several times, and without it there are
//! 1 kHz and 10 kHz:
//!
//! - `--rate N`: N Hz. Three metrics, one of each kind of call, without a budget: the rate is what is asked for.
//! - `--rate default`: the usual metrics at the catalog's cadences, as a sampler reads them that knows its sensors.
//! - `--rate learning`: the usual metrics as a sampler reads them that was just made, and polls to learn its sensors.

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

const METRICS: [Metric; 3] = [Metric::POWER_USAGE, Metric::UTILIZATION_GPU, Metric::CLOCK_SM];
/// What punctuality is taken from where cadences differ: it is cheap, and so never held back.
const GAUGE: Metric = Metric::CLOCK_SM;
/// Room for records until they are taken out.
const ROOM: usize = 1 << 18;

fn main() -> support::Result {
    let (mut rates, mut is_json, mut rest) = (Vec::new(), false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => is_json = true,
            "--rate" => rates.push(Rate::from(&arguments.next().unwrap_or_default())?),
            _ => rest.push(argument),
        }
    }
    if rates.is_empty() {
        rates = vec![Rate::Hertz(1_000), Rate::Hertz(10_000)];
    }
    let (nvml, seconds) = support::arguments_of(rest.into_iter(), 10.0)?;
    let gpus = nvml.device_count()?;
    if !is_json {
        println!("{gpus} GPUs, {seconds} s each:");
        println!("| rate | ticks | late by p50 | p99 | p99.9 | most | missed deadlines | CPU | records | lost |");
        println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    }
    let mut found = Vec::new();
    for rate in rates {
        let measured = measure(&nvml, &rate, Duration::from_secs_f64(seconds), is_json)?;
        if is_json {
            found.push(measured.json(&rate, gpus, seconds));
        } else {
            println!("{}", measured.row(&rate));
        }
    }
    if is_json {
        println!("{:#}", Value::from(found));
    }
    Ok(())
}

/// How often to sample.
enum Rate {
    Default,
    Learning,
    Hertz(u64),
}

impl Rate {
    fn from(text: &str) -> support::Result<Self> {
        match text.parse() {
            _ if text == "default" => Ok(Self::Default),
            _ if text == "learning" => Ok(Self::Learning),
            Ok(hertz) if (1..=1_000_000).contains(&hertz) => Ok(Self::Hertz(hertz)),
            _ => Err(format!("--rate {text}: use default, learning, or Hz from 1 to 1000000").into()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::Learning => "learning".to_owned(),
            Self::Hertz(hertz) => format!("{hertz} Hz"),
        }
    }

    /// The sampler, and the metric and the cadence that tell of its punctuality.
    fn sampler(&self, nvml: &Nvml) -> (SamplerBuilder, Metric, Duration) {
        let builder = Sampler::builder(nvml);
        match self {
            Self::Default => {
                let set =
                    |builder: SamplerBuilder, metric: Metric| builder.interval(metric, metric.info().poll_interval);
                (Metric::all().fold(builder, set), GAUGE, GAUGE.info().poll_interval)
            }
            Self::Learning => (builder.interval(GAUGE, GAUGE.info().poll_interval), GAUGE, GAUGE.info().poll_interval),
            Self::Hertz(hertz) => {
                let cadence = Duration::from_nanos(1_000_000_000 / hertz);
                let builder = builder.metrics(&METRICS).budget(1.0);
                (
                    METRICS.iter().fold(builder, |builder, metric| builder.interval(*metric, cadence)),
                    METRICS[0],
                    cadence,
                )
            }
        }
    }
}

struct Measured {
    lateness: Lateness,
    cpu_share: f64,
    lost: u64,
}

fn measure(nvml: &Nvml, rate: &Rate, time: Duration, tell: bool) -> support::Result<Measured> {
    let (builder, metric, cadence) = rate.sampler(nvml);
    let mut background = builder.build()?.spawn(ROOM)?;
    let (mut buffer, mut punctuality) = (vec![empty(); ROOM], Punctuality::new(metric, cadence, time));
    sleep(Duration::from_millis(100));
    // From here on is measured; the first ticks warm the caches. A program that started this waits for the word.
    if tell {
        eprintln!("sampling");
    }
    background.drain(&mut buffer);
    let (start, cpu_before) = (std::time::Instant::now(), sampler_time()?);
    while start.elapsed() < time {
        sleep(Duration::from_millis(20));
        let count = background.drain(&mut buffer);
        buffer.iter().take(count).for_each(|record| punctuality.saw(record));
    }
    let cpu_share = (sampler_time()? - cpu_before).as_secs_f64() / start.elapsed().as_secs_f64();
    let lost = background.dropped();
    if background.stop() == StopOutcome::Abandoned {
        return Err("the driver hangs".into());
    }
    Ok(Measured { lateness: punctuality.lateness(), cpu_share, lost })
}

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 * 1e-3
}

impl Measured {
    fn row(&self, rate: &Rate) -> String {
        let Lateness { ticks, p50, p99, p999, most, missed, records, .. } = self.lateness;
        let [p50, p99, p999, most] = [p50, p99, p999, most].map(microseconds);
        format!(
            "| {} | {ticks} | {p50:.1} µs | {p99:.1} µs | {p999:.1} µs | {most:.1} µs | {missed} | {:.2} % | {records} | {} |",
            rate.name(),
            self.cpu_share * 100.0,
            self.lost
        )
    }

    fn json(&self, rate: &Rate, gpus: u32, seconds: f64) -> Value {
        let Lateness { ticks, p50, p99, p999, most, missed, records, lost_by_events } = self.lateness;
        let [p50, p99, p999, most] = [p50, p99, p999, most].map(microseconds);
        json!({
            "rate": rate.name(), "gpus": gpus, "seconds": seconds, "ticks": ticks, "missed_deadlines": missed,
            "late_us": { "p50": p50, "p99": p99, "p99.9": p999, "most": most }, "cpu_share": self.cpu_share,
            "records": records, "lost": self.lost, "lost_by_events": lost_by_events,
        })
    }
}

fn empty() -> Record {
    Record::default()
}

/// How long the sampler's threads have run: the one that reads and the one that watches it.
fn sampler_time() -> support::Result<Duration> {
    let mut times = Vec::new();
    for thread in fs::read_dir("/proc/self/task")?.flatten().map(|thread| thread.path()) {
        if fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("igpu-")) {
            times.push(cpu_time(&thread)?);
        }
    }
    if times.is_empty() { Err("the sampler's thread is not in /proc".into()) } else { Ok(times.iter().sum()) }
}

/// How long a thread has run, by `schedstat`; where the kernel keeps none (gVisor), by `stat`, in ticks of 10 ms.
fn cpu_time(thread: &std::path::Path) -> support::Result<Duration> {
    let first = |text: String| text.split(' ').next().and_then(|word| word.parse().ok());
    if let Some(nanoseconds) = fs::read_to_string(thread.join("schedstat")).ok().and_then(first) {
        return Ok(Duration::from_nanos(nanoseconds));
    }
    let stat = fs::read_to_string(thread.join("stat"))?;
    // What follows the name: state is field 3, user and system time are fields 14 and 15.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
    Ok(Duration::from_millis(ticks * 10))
}
