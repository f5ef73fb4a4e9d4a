//! What a recording at defaults costs over an hour of simulated time: bytes a minute, memory, and time of the processor,
//! in each format. Eight GPUs of the scenario hgx-h100, on a clock that is stepped.
//!
//! `cargo bench -p igpu-recording --features parquet --bench hour` records an hour in each format, and `-- SECONDS` as
//! long as is said. With `--processes`, each second a process comes on each GPU, and goes after ten. With `--test`, as CI runs it, it records two minutes and asserts the bounds: 1 MiB a minute in
//! Perfetto's form, and 32 MiB of memory.

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
    ClockOffset, Format, Header, Item, RecordConverter, Series, SummaryBuilder, Writer, default_metrics, event,
};
use nvml_sim::{Scenario, control};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SECOND: u64 = 1_000_000_000;
const MIB: f64 = 1_048_576.0;
/// At most so much of a file for each minute of Perfetto's form, and of memory for the process.
const MOST_A_MINUTE: f64 = 1.0;
const MOST_MEMORY: f64 = 32.0;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok());
    let seconds: u64 = seconds.unwrap_or(if is_test { 120 } else { 3600 });
    // Memory is of a process, so each format has one.
    if let Some(format) = arguments.iter().find_map(|argument| named(argument)) {
        return one(format, seconds, is_test);
    }
    println!("| format | records | MiB a minute | bytes a record | processor, part of an hour | memory at most |");
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

fn named(argument: &str) -> Option<Format> {
    Format::ALL.iter().copied().find(|format| format.name() == argument)
}

/// Records in one format, and prints its line.
fn one(format: Format, seconds: u64, is_test: bool) -> Result<()> {
    nvml_sim::start(&Scenario::from_name("hgx-h100")?);
    control::set_time(Duration::ZERO);
    // SAFETY: the simulator's functions have the signatures of nvml.h.
    let nvml = unsafe { Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
    let directory = std::env::temp_dir().join(format!("igpu-hour-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let measured = record(&nvml, format, seconds, &directory.join("recording"));
    fs::remove_dir_all(&directory)?;
    let (items, bytes) = measured?;
    let minute = bytes as f64 / MIB / (seconds as f64 / 60.0);
    let memory = memory_at_most()?;
    println!(
        "| {} | {items} | {minute:.2} | {:.1} | {:.2} % | {memory:.1} MiB |",
        format.name(),
        bytes as f64 / items as f64,
        100.0 * processor_s()? / seconds as f64,
    );
    if is_test {
        assert!(items > seconds * 100, "hardly anything was recorded");
        assert!(memory < MOST_MEMORY, "{memory} MiB of memory");
        assert!(format != Format::Perfetto || minute < MOST_A_MINUTE, "{minute} MiB a minute");
    }
    Ok(())
}

/// Samples, encodes, writes and sums up, as `igpu record` does; gives how many items there were, and how many bytes.
fn record(nvml: &Nvml, format: Format, seconds: u64, path: &Path) -> Result<(u64, u64)> {
    let clocks = Clocks { monotonic, wall_us: control::wall_clock_us, ..Clocks::default() };
    let mut sampler = Sampler::builder(nvml).metrics(&default_metrics()).clocks(clocks).build()?;
    let clock = ClockOffset::new(monotonic(), control::wall_clock_us() * 1000);
    let mut converter = RecordConverter::new(clock);
    let encoder = format.encoder().ok_or("this format is not built")?;
    let mut recording =
        Recording { writer: Writer::new(File::create(path)?, encoder), bill: SummaryBuilder::default(), items: 0 };
    recording.take(Item::start(clock.to_unix_nano(monotonic()), &header(nvml)?));
    let (end, mut flush) = (monotonic() + seconds * SECOND, monotonic() + SECOND);
    while monotonic() < end {
        for record in sampler.tick(monotonic()).records() {
            converter.convert(record, |item| recording.take(item));
        }
        if monotonic() >= flush {
            flush += SECOND;
            let lost = Item { value: Some(0.0), ..Item::event(clock.to_unix_nano(monotonic()), event::HEARTBEAT) };
            recording.take(lost);
            if std::env::args().any(|argument| argument == "--processes") {
                recording.processes(clock.to_unix_nano(monotonic()), (monotonic() / SECOND) as u32);
            }
            recording.writer.flush()?;
        }
        let wait = sampler.next_due().min(flush).max(monotonic() + 1) - monotonic();
        control::step(Duration::from_nanos(wait));
    }
    recording.writer.finish()?;
    assert_eq!(recording.bill.summary().gpus.len(), 8);
    Ok((recording.items, recording.writer.len()))
}

struct Recording {
    writer: Writer,
    bill: SummaryBuilder,
    items: u64,
}

impl Recording {
    fn take(&mut self, item: Item) {
        assert!(self.writer.push(&item));
        self.bill.observe(&item);
        self.items += 1;
    }

    /// A process comes on each GPU, one goes, and all others hold other memory than before.
    fn processes(&mut self, at: u64, second: u32) {
        for gpu in 0..8 {
            let of = |pid, item| Item { gpu: Some(gpu), pid: Some(pid), ..item };
            let text = r#"{"name":"python","user":"ann","create_time":1.5,"owned_by_command":true}"#;
            self.take(of(second, Item { text: Some(text.to_owned()), ..Item::event(at, event::PROCESS_START) }));
            for pid in second.saturating_sub(9)..=second {
                let memory = f64::from(second) * 4096.0;
                self.take(of(pid, Item::value(at, gpu, Series::for_metric(Metric::PROCESS_MEMORY), memory)));
            }
            self.take(of(second.saturating_sub(10), Item::event(at, event::PROCESS_END)));
        }
    }
}

fn header(nvml: &Nvml) -> Result<Header> {
    let gpus: igpu::Result<Vec<igpu_recording::RecordedGpu>> =
        nvml.devices_index()?.into_iter().map(|index| gpu(nvml, index)).collect();
    Ok(Header { igpu_version: igpu::VERSION.to_owned(), gpus: gpus?, ..Header::default() })
}

fn gpu(nvml: &Nvml, index: u32) -> igpu::Result<igpu_recording::RecordedGpu> {
    let device = nvml.device(index)?;
    let (uuid, name) = (device.uuid()?.to_string(), device.name()?.to_string());
    Ok(igpu_recording::RecordedGpu { index, uuid: Some(uuid), name: Some(name), ..Default::default() })
}

fn monotonic() -> u64 {
    100 * SECOND + control::now().as_nanos() as u64
}

/// The most memory that this process has held, in MiB.
fn memory_at_most() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// How long this process has run on a processor, in seconds.
fn processor_s() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").ok_or("no name in /proc/self/stat")?.1;
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum::<f64>();
    Ok(ticks / 100.0)
}
