//! The setup of a recording: loads the driver, opens the file, and starts the sampler.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use igpu::{
    Nvml,
    metric::Metric,
    probe::Plan,
    sampler::{Background, Sampler, monotonic},
};
use igpu_recording::{Header, Item, RecordedGpu, Series, UnixTimeOffset};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl},
    time::{ClockId, clock_gettime},
    unistd::gethostname,
};

use super::{
    args::{RecordArgs, SampleRate},
    metrics,
};
use crate::{
    error::{CliError, Diagnostic},
    gpu_selection,
    load::load,
    notifier::Notifier,
    options::Options,
    output,
    watchdog::CallWatchdog,
};

/// The time for which the buffer can hold records while a disk does not accept them, in seconds.
const BUFFER_S: f64 = 10.0;
/// The minimum and the maximum capacity of the buffer, in records of 32 bytes: 512 KiB and 8 MiB.
const MIN_BUFFER_RECORDS: usize = 1 << 14;
const MAX_BUFFER_RECORDS: usize = 1 << 18;
/// The minimum time between two wakes of the sampler, which reads all metrics that are due within this time together.
/// Most sensors refresh every 100 ms, and a wake for each metric would use more processor time than the rest of the
/// program.
const MIN_WAKE_INTERVAL: Duration = Duration::from_millis(10);
/// The maximum time to wait for the first values before the command is started.
const FIRST_VALUES_TIMEOUT: Duration = Duration::from_millis(200);

/// The name of the standard output in messages.
const STDOUT_NAME: &str = "/dev/stdout";

/// A running sampler, and the file for its records.
pub(super) struct PreparedRecording {
    pub background: Background,
    pub clock: UnixTimeOffset,
    /// The beginning of the recording, in nanoseconds since the epoch.
    pub begin: u64,
    pub header: Header,
    pub output: RecordingFile,
    /// The poll interval of the process lists, in nanoseconds.
    pub list_interval_ns: u64,
}

/// The file of a recording.
pub(super) struct RecordingFile {
    pub file: File,
    pub path: PathBuf,
    /// `true` if the file was created by this process.
    pub is_new: bool,
    /// The lock that prevents another igpu from writing the file.
    pub lock: Option<Flock<File>>,
}

impl RecordingFile {
    fn open(args: &RecordArgs) -> Result<Self, CliError> {
        let path = args.output.clone();
        if args.is_to_stdout() {
            let file = io::stdout().as_fd().try_clone_to_owned().map_err(CliError::Write)?;
            return Ok(Self { file: file.into(), path: STDOUT_NAME.into(), is_new: false, lock: None });
        }
        // The old content of the file is kept until the first write.
        let write_options = || OpenOptions::new().write(true).clone();
        let (file, is_new) = match write_options().create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (write_options().open(&path), false),
            opened => (opened, true),
        };
        let file = match file {
            // The path is a symbolic link to a file that does not exist yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_new => {
                write_options().create(true).open(&path)
            }
            opened => opened,
        };
        let file = file.map_err(|error| CliError::File(path.clone(), error))?;
        let lock = lock(&file).map_err(|()| CliError::Locked(path.clone()))?;
        Ok(Self { file, path, is_new, lock })
    }

    pub(super) fn is_stdout(&self) -> bool {
        self.path == Path::new(STDOUT_NAME)
    }

    /// Returns `true` if the output is a regular file that contains only the recording. Returns `false` for a pipe, and
    /// for a standard output that appends to a file or that already has content.
    pub(super) fn is_exclusive_file(&self) -> bool {
        let Ok(metadata) = self.file.metadata() else { return false };
        let appends = fcntl(&self.file, FcntlArg::F_GETFL).is_ok_and(|flags| flags & OFlag::O_APPEND.bits() != 0);
        metadata.is_file() && (!self.is_stdout() || !appends && metadata.len() == 0)
    }

    /// Removes the file if this process created it. Must be called before the first write.
    pub(super) fn discard(&self) {
        if self.is_new {
            // An empty file that cannot be removed is harmless.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Locks a file against other recordings. Fails if another recording holds the lock. Returns `None` if the file cannot
/// be locked, because it is not a regular file or its file system does not support locks.
fn lock(file: &File) -> Result<Option<Flock<File>>, ()> {
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let Ok(file) = file.try_clone() else { return Ok(None) };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Err(()),
        Err(_) => Ok(None),
    }
}

/// Loads the driver, opens the file, and starts the sampler. Blocks while the driver hangs, and until a reader opens the
/// file if it is a named pipe.
pub(super) fn prepare(options: &Options, args: &RecordArgs) -> Result<PreparedRecording, CliError> {
    let nvml = load(options)?;
    let watchdog = CallWatchdog::start(Notifier::without_bar());
    watchdog.begin("a driver call", None);
    let indices = gpu_selection::indices(&nvml, options, &args.gpus)?;
    if indices.is_empty() {
        let (message, help) = match nvml.device_count()? {
            0 => (output::NO_GPU_MESSAGE, None),
            _ => (output::NO_VISIBLE_GPU_MESSAGE, Some("omit --visible to record all GPUs")),
        };
        let diagnostic = Diagnostic::new(format!("{} Nothing was recorded.", message.trim_end()));
        return Err(CliError::Selection(match help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }));
    }
    let plan = args.plan.as_deref().map(read_plan).transpose()?;
    let metrics = match &plan {
        Some(plan) => metrics::planned_metrics(plan, args.processes),
        None => metrics::selected_metrics(&args.metrics, args.processes),
    };
    let mut builder = Sampler::builder(&nvml).gpus(&indices);
    if let Some(plan) = &plan {
        builder = builder.plan(plan)?;
    }
    builder = builder.metrics(&metrics).skip_suspended(true);
    builder = match args.rate {
        SampleRate::Sensor => builder.min_wake_interval(MIN_WAKE_INTERVAL),
        SampleRate::Hz(hz) => {
            let interval = Duration::from_secs_f64(1.0 / hz);
            metrics.iter().fold(builder, |builder, metric| builder.exact_interval(*metric, interval))
        }
    };
    let mut header = header(&nvml, args, &indices, &metrics);
    let sampler = builder.build()?;
    watchdog.end();
    args.summary_json.as_deref().filter(|path| *path != Path::new(output::STDOUT)).map_or(Ok(()), check_writable)?;
    // The file is opened after everything else that can fail or block, so that a failure does not leave an empty file.
    let output = RecordingFile::open(args)?;
    let clock = UnixTimeOffset::now();
    let begin = clock.to_unix_nano(monotonic());
    header.boot_unix_nano = boot_time(begin);
    // At the sensor rate, a metric is read at most once per wake.
    let hz = args.rate.hz().unwrap_or(1.0 / MIN_WAKE_INTERVAL.as_secs_f64());
    let records = (indices.len() * metrics.len()) as f64 * hz * BUFFER_S;
    let background = sampler.spawn((records as usize).clamp(MIN_BUFFER_RECORDS, MAX_BUFFER_RECORDS))?;
    let spawned = Instant::now();
    while background.ticks() == 0 && spawned.elapsed() < FIRST_VALUES_TIMEOUT {
        std::thread::sleep(Duration::from_millis(1));
    }
    let list_interval_s =
        Metric::PROCESS_MEMORY.info().poll_interval.as_secs_f64().max(args.rate.hz().map_or(0.0, |hz| 1.0 / hz));
    Ok(PreparedRecording { background, clock, begin, header, output, list_interval_ns: (list_interval_s * 1e9) as u64 })
}

/// Checks that a file can be written, without changing or creating it.
fn check_writable(path: &Path) -> Result<(), CliError> {
    // Opening a named pipe would wait for its reader.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return Ok(());
    }
    let is_new = fs::symlink_metadata(path).is_err();
    OpenOptions::new().append(true).create(true).open(path).map_err(|error| CliError::File(path.to_owned(), error))?;
    if is_new {
        // An empty file that cannot be removed is harmless.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// Reads a sampling plan that `igpu probe --plan FILE` wrote.
fn read_plan(path: &Path) -> Result<Plan, CliError> {
    let plan = fs::read_to_string(path).and_then(|text| serde_json::from_str(&text).map_err(io::Error::from));
    plan.map_err(|error| {
        let message = format!("the plan {} could not be read ({error})", igpu::Escaped(&path.to_string_lossy()));
        CliError::Selection(Diagnostic::new(message).with_help("create a plan with `igpu probe --plan FILE`"))
    })
}

fn header(nvml: &Nvml, args: &RecordArgs, indices: &[u32], metrics: &[Metric]) -> Header {
    let host = gethostname().ok().and_then(|host| host.into_string().ok());
    let mut gpus: Vec<RecordedGpu> = indices.iter().map(|index| gpu(nvml, *index)).collect();
    gpus.sort_by_key(|gpu| gpu.index);
    let words = args.command.iter().map(|word| word.to_string_lossy().into_owned());
    Header {
        igpu_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_unix_nano: None,
        host: host.filter(|host| !host.is_empty()),
        driver_version: nvml.driver_version().ok().map(|version| version.to_string()),
        command: args.has_command().then(|| words.collect()),
        rate_hz: args.rate.hz(),
        processes_recorded: args.processes,
        series: metrics.iter().map(|metric| Series::for_metric(*metric).key().to_owned()).collect(),
        gpus,
    }
}

fn gpu(nvml: &Nvml, index: u32) -> RecordedGpu {
    let Ok(device) = nvml.device(index) else { return RecordedGpu { index, ..RecordedGpu::default() } };
    let limit = device.enforced_power_limit_mw().or_else(|_| device.power_management_limit_mw());
    RecordedGpu {
        index,
        uuid: device.uuid().ok().map(|uuid| uuid.to_string()),
        name: device.name().ok().map(|name| name.to_string()),
        memory_limit_bytes: device.memory_info().ok().map(|memory| memory.total_bytes),
        power_limit_w: limit.ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
    }
}

/// Returns the time at which the machine booted. This time and the current time `now` are in nanoseconds since the
/// epoch.
fn boot_time(now: u64) -> Option<u64> {
    let since_boot = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    now.checked_sub(u64::try_from(since_boot.as_nanos()).ok()?)
}

/// Returns the first items of a recording: the header, and the memory capacity of each GPU.
pub(super) fn first_items(header: &Header, at: u64) -> Vec<Item> {
    let limit =
        |gpu: &RecordedGpu| Some(Item::value(at, gpu.index, Series::MEMORY_LIMIT, gpu.memory_limit_bytes? as f64));
    std::iter::once(Item::start(at, header)).chain(header.gpus.iter().filter_map(limit)).collect()
}
