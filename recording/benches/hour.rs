//! Measures the cost of an hour of recording with default settings in each format: the file size per minute, the
//! processor time, and the peak memory. The eight GPUs and the time are those of the simulator, with the scenario
//! `hgx-h100`.
//!
//! Usage: `cargo bench -p igpu-recording --features parquet --bench hour -- [SECONDS] [--processes] [--test]`
//!
//! - `SECONDS`: the simulated time, 3600 by default.
//! - `--processes`: adds a process on each GPU every second, which ends ten seconds later.
//! - `--test`: records two minutes and asserts limits of 1 MiB per minute in Perfetto format and 32 MiB of memory. CI uses
//!   this option.

use std::{
    error::Error,
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

use igpu::{
    Nvml,
    metric::Metric,
    sampler::{Clocks, Sampler},
};
use igpu_recording::{
    Format, Header, Item, RecordConverter, Series, SummaryBuilder, UnixTimeOffset, Writer, default_metrics, event,
};
use nvml_sim::{Scenario, control};

type BenchResult<T> = Result<T, Box<dyn Error>>;

const SECOND_NS: u64 = 1_000_000_000;
const MIB_BYTES: f64 = 1_048_576.0;
/// The limit of the size of a Perfetto trace per minute of recording, for `--test`.
const MAX_MIB_PER_MINUTE: f64 = 1.0;
/// The limit of the peak memory of the process, for `--test`.
const MAX_MEMORY_MIB: f64 = 32.0;

fn main() -> BenchResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok());
    let seconds: u64 = seconds.unwrap_or(if is_test { 120 } else { 3600 });
    // Each format runs in a separate process, because peak memory is measured per process.
    if let Some(format) = arguments.iter().find_map(|argument| parse_format(argument)) {
        return run_format(format, seconds, is_test);
    }
    println!("| format | items | MiB per minute | bytes per item | processor time | peak memory |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for format in Format::ALL.iter().filter(|format| format.encoder().is_some()) {
        let mut child = Command::new(std::env::current_exe()?);
        child.args([format.name(), &seconds.to_string()]).args(is_test.then_some("--test"));
        child.args(arguments.iter().filter(|argument| *argument == "--processes"));
        if !child.status()?.success() {
            return Err(format!("{} failed", format.name()).into());
        }
    }
    Ok(())
}

fn parse_format(argument: &str) -> Option<Format> {
    Format::ALL.iter().copied().find(|format| format.name() == argument)
}

/// Makes a recording in one format, and prints a row of the table.
fn run_format(format: Format, seconds: u64, is_test: bool) -> BenchResult<()> {
    nvml_sim::start(&Scenario::from_name("hgx-h100")?);
    control::set_time(Duration::ZERO);
    // SAFETY: the functions of the simulator have the signatures in nvml.h.
    let nvml = unsafe { Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
    let directory = std::env::temp_dir().join(format!("igpu-hour-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let measured = record(&nvml, format, seconds, &directory.join("recording"));
    fs::remove_dir_all(&directory)?;
    let (items, bytes) = measured?;
    let mib_per_minute = bytes as f64 / MIB_BYTES / (seconds as f64 / 60.0);
    let memory_mib = peak_memory_mib()?;
    println!(
        "| {} | {items} | {mib_per_minute:.2} | {:.1} | {:.2} % | {memory_mib:.1} MiB |",
        format.name(),
        bytes as f64 / items as f64,
        100.0 * processor_s()? / seconds as f64,
    );
    if is_test {
        assert!(items > seconds * 100, "only {items} items were recorded");
        assert!(memory_mib < MAX_MEMORY_MIB, "the peak memory is {memory_mib} MiB");
        assert!(format != Format::Perfetto || mib_per_minute < MAX_MIB_PER_MINUTE, "{mib_per_minute} MiB per minute");
    }
    Ok(())
}

/// Samples, encodes, writes, and summarizes like `igpu record`. Returns the number of items and the size of the file in
/// bytes.
fn record(nvml: &Nvml, format: Format, seconds: u64, path: &Path) -> BenchResult<(u64, u64)> {
    let clocks = Clocks { monotonic, wall_us: control::wall_clock_us, ..Clocks::default() };
    let mut sampler = Sampler::builder(nvml).metrics(&default_metrics()).clocks(clocks).build()?;
    let clock = UnixTimeOffset::new(monotonic(), control::wall_clock_us() * 1000);
    let mut converter = RecordConverter::new(clock);
    let encoder = format.encoder().ok_or("this build does not support the format")?;
    let mut recording =
        Recording { writer: Writer::new(File::create(path)?, encoder), summary: SummaryBuilder::default(), items: 0 };
    recording.push(Item::start(clock.to_unix_nano(monotonic()), &header(nvml)?));
    let (end, mut next_flush) = (monotonic() + seconds * SECOND_NS, monotonic() + SECOND_NS);
    while monotonic() < end {
        for record in sampler.tick(monotonic()).records() {
            converter.convert(record, |item| recording.push(item));
        }
        if monotonic() >= next_flush {
            next_flush += SECOND_NS;
            let heartbeat = Item { value: Some(0.0), ..Item::event(clock.to_unix_nano(monotonic()), event::HEARTBEAT) };
            recording.push(heartbeat);
            if std::env::args().any(|argument| argument == "--processes") {
                recording.push_processes(clock.to_unix_nano(monotonic()), (monotonic() / SECOND_NS) as u32);
            }
            recording.writer.flush()?;
        }
        let wait = sampler.next_due().min(next_flush).max(monotonic() + 1) - monotonic();
        control::step(Duration::from_nanos(wait));
    }
    recording.writer.finish()?;
    assert_eq!(recording.summary.summary().gpus.len(), 8);
    Ok((recording.items, recording.writer.len()))
}

/// A recording and its summary, as `igpu record` writes them.
struct Recording {
    writer: Writer,
    summary: SummaryBuilder,
    items: u64,
}

impl Recording {
    fn push(&mut self, item: Item) {
        assert!(self.writer.push(&item));
        self.summary.observe(&item);
        self.items += 1;
    }

    /// Adds the items of one second for each GPU: the start of a process, the end of the process that started ten
    /// seconds before, and a memory value of each running process.
    fn push_processes(&mut self, at: u64, second: u32) {
        for gpu in 0..8 {
            let process_item = |pid, item| Item { gpu: Some(gpu), pid: Some(pid), ..item };
            let text = r#"{"name":"python","user":"ann","create_time":1.5,"owned_by_command":true}"#;
            self.push(process_item(
                second,
                Item { text: Some(text.to_owned()), ..Item::event(at, event::PROCESS_START) },
            ));
            for pid in second.saturating_sub(9)..=second {
                let memory = f64::from(second) * 4096.0;
                self.push(process_item(pid, Item::value(at, gpu, Series::for_metric(Metric::PROCESS_MEMORY), memory)));
            }
            self.push(process_item(second.saturating_sub(10), Item::event(at, event::PROCESS_END)));
        }
    }
}

fn header(nvml: &Nvml) -> BenchResult<Header> {
    let gpus: igpu::Result<Vec<igpu_recording::RecordedGpu>> =
        (0..nvml.device_count()?).map(|index| recorded_gpu(nvml, index)).collect();
    Ok(Header { igpu_version: igpu::VERSION.to_owned(), gpus: gpus?, ..Header::default() })
}

fn recorded_gpu(nvml: &Nvml, index: u32) -> igpu::Result<igpu_recording::RecordedGpu> {
    let device = nvml.device(index)?;
    let (uuid, name) = (device.uuid()?.to_string(), device.name()?.to_string());
    Ok(igpu_recording::RecordedGpu { index, uuid: Some(uuid), name: Some(name), ..Default::default() })
}

/// Returns the simulated monotonic time, in nanoseconds.
fn monotonic() -> u64 {
    100 * SECOND_NS + control::now().as_nanos() as u64
}

/// Returns the peak resident memory of this process, in MiB.
fn peak_memory_mib() -> BenchResult<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Returns the processor time of this process, in seconds.
fn processor_s() -> BenchResult<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").ok_or("no process name in /proc/self/stat")?.1;
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum::<f64>();
    Ok(ticks / 100.0)
}
