//! The sampler on a thread of its own, at 1 kHz and at 10 kHz: how late its ticks are, how many deadlines it misses,
//! and how much of a core it takes.
//!
//! Deadlines are whole multiples of the cadence on the monotonic clock. A tick is late by the time from the first
//! deadline since the tick before to its first driver call; deadlines that passed meanwhile were missed, and their
//! ticks left out.
//!
//! `cargo run --release --example background` with a driver, on the simulator with `-- --simulate`; 10 seconds for each
//! rate, or as many as `-- 60` says.

mod support;

use std::{fs, thread::sleep, time::Duration};

use igpu::{
    Nvml,
    metric::Metric,
    sampler::{Flags, Record, Sampler, Stopped},
};

const METRICS: [Metric; 3] = [Metric::POWER_USAGE, Metric::UTILIZATION_GPU, Metric::CLOCK_SM];
/// Room for records until they are taken out.
const ROOM: usize = 1 << 18;

fn main() -> support::Result {
    let (nvml, seconds) = support::arguments(10.0)?;
    println!("{} metrics of {} GPUs, {seconds} s each:", METRICS.len(), nvml.device_count()?);
    println!("| rate | ticks | late by p50 | p99 | p99.9 | most | missed deadlines | CPU | records | lost |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for hertz in [1_000, 10_000] {
        measure(&nvml, hertz, Duration::from_secs_f64(seconds))?;
    }
    Ok(())
}

fn measure(nvml: &Nvml, hertz: u64, time: Duration) -> support::Result {
    let cadence = Duration::from_nanos(1_000_000_000 / hertz);
    // The budget is for programs that share the GPUs; here the rate is what is asked for.
    let builder = Sampler::builder(nvml).metrics(&METRICS).budget(1.0);
    let builder = METRICS.iter().fold(builder, |builder, metric| builder.cadence(*metric, cadence));
    let mut background = builder.build()?.spawn(ROOM)?;
    let (mut buffer, mut punctuality) = (vec![empty(); ROOM], Punctuality::new(cadence, time));
    sleep(Duration::from_millis(100));
    let thread = thread_named("igpu-sampler").ok_or("the sampler's thread is not in /proc")?;
    // From here on is measured; the first ticks warm the caches.
    background.drain(&mut buffer);
    let (start, cpu_before) = (std::time::Instant::now(), cpu_time(&thread)?);
    while start.elapsed() < time {
        sleep(Duration::from_millis(20));
        let count = background.drain(&mut buffer);
        buffer.iter().take(count).for_each(|record| punctuality.saw(record));
    }
    let share = (cpu_time(&thread)? - cpu_before).as_secs_f64() / start.elapsed().as_secs_f64();
    let lost = background.lost();
    if background.stop() == Stopped::GivenUp {
        return Err("the driver hangs".into());
    }
    let Punctuality { mut late, missed, records, .. } = punctuality;
    late.sort_unstable();
    let part = |part: f64| {
        let place = (late.len() as f64 * part) as usize;
        late.get(place.min(late.len().saturating_sub(1))).map_or(f64::NAN, |late| *late as f64 * 1e-3)
    };
    let (p50, p99, p999, most) = (part(0.5), part(0.99), part(0.999), part(1.0));
    let (ticks, share) = (late.len(), share * 100.0);
    println!(
        "| {hertz} Hz | {ticks} | {p50:.1} µs | {p99:.1} µs | {p999:.1} µs | {most:.1} µs | {missed} | {share:.2} % | \
         {records} | {lost} |"
    );
    Ok(())
}

/// How late ticks are, by the stamps of the first metric of the first GPU.
struct Punctuality {
    cadence: u64,
    /// The deadline of the tick before; 0 before the first.
    last: u64,
    late: Vec<u64>,
    missed: u64,
    records: u64,
}

impl Punctuality {
    fn new(cadence: Duration, time: Duration) -> Self {
        let ticks = (time.as_secs_f64() / cadence.as_secs_f64() * 1.1) as usize;
        let cadence = cadence.as_nanos() as u64;
        Self { cadence, last: 0, late: Vec::with_capacity(ticks), missed: 0, records: 0 }
    }

    fn saw(&mut self, record: &Record) {
        self.records += 1;
        if record.gpu != 0 || record.metric() != Some(METRICS[0]) || record.event().is_some() {
            return;
        }
        // The stamp is the middle of the call, the uncertainty half its length.
        let began = record.at - u64::from(record.uncertainty);
        let deadline = began - began % self.cadence;
        let first = if self.last == 0 { deadline } else { self.last + self.cadence };
        self.late.push(began.saturating_sub(first));
        self.missed += deadline.saturating_sub(first) / self.cadence;
        self.last = deadline;
    }
}

fn empty() -> Record {
    Record { at: 0, value: 0.0, uncertainty: 0, detail: 0, gpu: 0, metric: 0, flags: Flags::default() }
}

/// The folder in `/proc` of this process's thread of that name.
fn thread_named(name: &str) -> Option<std::path::PathBuf> {
    let threads = fs::read_dir("/proc/self/task").ok()?.flatten().map(|thread| thread.path());
    threads.into_iter().find(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == name))
}

/// How long a thread has run.
fn cpu_time(thread: &std::path::Path) -> support::Result<Duration> {
    let times = fs::read_to_string(thread.join("schedstat"))?;
    Ok(Duration::from_nanos(times.split(' ').next().unwrap_or_default().parse()?))
}
