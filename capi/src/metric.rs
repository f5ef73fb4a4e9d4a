use std::ffi::{CStr, c_char};

use igpu::metric::{CATALOG, Metric, MetricKind};

use crate::{
    error::{Failure, Outcome, not_null},
    guard::guarded,
    status::igpu_status,
    text::{nul_terminated, truncate},
    versioned_struct,
};

/// The kind of a metric.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_metric_kind {
    /// A value that can increase and decrease.
    Gauge = 0,
    /// A cumulative value that only increases, except when it is reset.
    Counter = 1,
}

/// The description of a metric. The strings are static.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_metric_info {
    /// `sizeof(igpu_metric_info)`
    pub size: usize,
    /// The number of the metric, which records contain. Numbers can differ between versions of igpu; names do not
    /// change.
    pub metric: u32,
    /// The kind of the metric.
    pub kind: igpu_metric_kind,
    /// The name, such as `gpu.power.average`.
    pub name: *const c_char,
    /// The unit in UCUM notation: `%`, `W`, `J`, `By`, `Cel`, `MHz`, `ns`, or `1`.
    pub unit: *const c_char,
    /// What the metric measures, in one sentence.
    pub help: *const c_char,
    /// The driver version and the GPU architecture that the metric requires.
    pub since: *const c_char,
    /// The default poll interval in nanoseconds, which applies while the sensor's refresh period is unknown.
    pub poll_interval_ns: u64,
    /// 1 if the metric has a value for each process, 0 if it has one value for the GPU.
    pub per_process: u32,
    /// Always 0.
    pub reserved: u32,
}

/// The strings of a metric with their NULs, converted from the catalog at compile time.
struct MetricStrings {
    name: [u8; 48],
    unit: [u8; 8],
    help: [u8; 160],
    since: [u8; 40],
}

static STRINGS: [MetricStrings; CATALOG.len()] = {
    const EMPTY: MetricStrings = MetricStrings { name: [0; 48], unit: [0; 8], help: [0; 160], since: [0; 40] };
    let (mut strings, mut i) = ([EMPTY; CATALOG.len()], 0);
    while i < strings.len() {
        let info = &CATALOG[i];
        strings[i] = MetricStrings {
            name: nul_terminated(info.name),
            unit: nul_terminated(info.unit),
            help: nul_terminated(info.help),
            since: nul_terminated(info.since),
        };
        i += 1;
    }
    strings
};

/// Returns the metric with this number.
pub(crate) fn from_number(number: u32) -> Outcome<Metric> {
    u16::try_from(number).ok().and_then(Metric::from_index).ok_or(Failure::Status(
        igpu_status::NoSuchMetric,
        "no metric has this number",
        "metric numbers are less than igpu_metric_count()",
    ))
}

/// Returns the metric with this name.
///
/// # Safety
/// `name` must be NULL or a C string.
pub(crate) unsafe fn from_name(name: *const c_char) -> Outcome<Metric> {
    let name = not_null(name.cast_mut())?;
    // SAFETY: the caller guarantees a C string.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_bytes();
    let name = std::str::from_utf8(name).unwrap_or("\u{fffd}");
    Metric::from_name(name).ok_or_else(|| Failure::UnknownMetric(truncate(name, 64).try_into().unwrap_or_default()))
}

/// Returns the number of metrics in the catalog. Metric numbers are less than this number.
///
/// Does not block or allocate. Async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_metric_count() -> u32 {
    CATALOG.len() as u32
}

/// Gets the number of the metric with this name.
///
/// ```c
/// uint32_t power;
/// igpu_metric_info info = {.size = sizeof info};
/// if (igpu_metric_find("gpu.power", &power) || igpu_metric_get_info(power, &info)) return 1;
/// printf("%s: %s [%s]\n", info.name, info.help, info.unit);
/// ```
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_metric_find(name: *const c_char, metric: *mut u32) -> igpu_status {
    guarded(|| {
        let metric = not_null(metric)?;
        // SAFETY: the caller's pointers are a C string and a writable number.
        unsafe { metric.write(u32::from(from_name(name)?.index())) };
        Ok(())
    })
}

/// Gets the description of a metric by its number.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_metric_get_info(metric: u32, info: *mut igpu_metric_info) -> igpu_status {
    guarded(|| {
        let known = from_number(metric)?;
        let (entry, strings) = (known.info(), &STRINGS[usize::from(known.index())]);
        let filled = igpu_metric_info {
            size: 0,
            metric,
            kind: match entry.kind {
                MetricKind::Gauge => igpu_metric_kind::Gauge,
                MetricKind::Counter => igpu_metric_kind::Counter,
            },
            name: strings.name.as_ptr().cast(),
            unit: strings.unit.as_ptr().cast(),
            help: strings.help.as_ptr().cast(),
            since: strings.since.as_ptr().cast(),
            poll_interval_ns: u64::try_from(entry.poll_interval.as_nanos()).unwrap_or(u64::MAX),
            per_process: u32::from(known.is_per_process()),
            reserved: 0,
        };
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}
