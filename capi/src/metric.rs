use std::ffi::{CStr, c_char};

use igpu::metric::{CATALOG, Metric, MetricKind};

use crate::{
    error::{Failure, Outcome, not_null},
    guard::guarded,
    status::igpu_status,
    text::{ended, fitting},
    versioned_struct,
};

/// Whether a metric goes up and down, or only up.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_metric_kind {
    /// A level: it goes up and down.
    Gauge = 0,
    /// A sum since some start: it only goes up, but for a reset.
    Counter = 1,
}

/// A metric of the catalog. Texts stay for ever.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_metric_info {
    /// `sizeof(igpu_metric_info)`
    pub size: usize,
    /// Its number, as in records. Numbers may change from one version of igpu to the next; names do not.
    pub metric: u32,
    /// Whether it goes up and down, or only up.
    pub kind: igpu_metric_kind,
    /// Its name, `gpu.power.average`.
    pub name: *const c_char,
    /// Its unit, in the notation of UCUM: `%`, `W`, `J`, `By`, `Cel`, `MHz`, `ns`, `1`.
    pub unit: *const c_char,
    /// What it measures, in one sentence.
    pub help: *const c_char,
    /// Since which driver, and on which GPUs.
    pub since: *const c_char,
    /// How often reading it is of use where nothing better was learnt from the sensor, in nanoseconds.
    pub poll_interval_ns: u64,
    /// 1 where it has a value for each process rather than one for the GPU.
    pub per_process: u32,
    /// 0.
    pub reserved: u32,
}

/// The texts of a metric as C has them, made of the catalog at compile time.
struct Texts {
    name: [u8; 48],
    unit: [u8; 8],
    help: [u8; 160],
    since: [u8; 40],
}

static TEXTS: [Texts; CATALOG.len()] = {
    let mut texts = [const { Texts { name: [0; 48], unit: [0; 8], help: [0; 160], since: [0; 40] } }; CATALOG.len()];
    let mut place = 0;
    while place < texts.len() {
        let info = &CATALOG[place];
        texts[place] =
            Texts { name: ended(info.name), unit: ended(info.unit), help: ended(info.help), since: ended(info.since) };
        place += 1;
    }
    texts
};

pub(crate) fn at(number: u32) -> Outcome<Metric> {
    u16::try_from(number).ok().and_then(Metric::from_index).ok_or(Failure::Status(
        igpu_status::NoSuchMetric,
        "no metric has this number; igpu_metric_count says how many there are",
    ))
}

/// # Safety
/// `name` must be NULL or a C string.
pub(crate) unsafe fn named(name: *const c_char) -> Outcome<Metric> {
    let name = not_null(name.cast_mut())?;
    // SAFETY: as the caller vouches.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_bytes();
    let name = std::str::from_utf8(name).unwrap_or("\u{fffd}");
    Metric::from_name(name).ok_or_else(|| Failure::UnknownMetric(fitting(name, 64).try_into().unwrap_or_default()))
}

/// How many metrics there are: their numbers are below this.
///
/// Never blocks; allocates nothing; may be called in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_metric_count() -> u32 {
    CATALOG.len() as u32
}

/// The number of the metric of this name.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_metric_find(name: *const c_char, metric: *mut u32) -> igpu_status {
    guarded(|| {
        let metric = not_null(metric)?;
        // SAFETY: the caller's pointers are to a C string and to a number.
        unsafe { metric.write(u32::from(named(name)?.index())) };
        Ok(())
    })
}

/// All there is to know of a metric, by its number.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_metric_get_info(metric: u32, info: *mut igpu_metric_info) -> igpu_status {
    guarded(|| {
        let known = at(metric)?;
        let (entry, texts) = (known.info(), &TEXTS[usize::from(known.index())]);
        let filled = igpu_metric_info {
            size: 0,
            metric,
            kind: match entry.kind {
                MetricKind::Gauge => igpu_metric_kind::Gauge,
                MetricKind::Counter => igpu_metric_kind::Counter,
            },
            name: texts.name.as_ptr().cast(),
            unit: texts.unit.as_ptr().cast(),
            help: texts.help.as_ptr().cast(),
            since: texts.since.as_ptr().cast(),
            poll_interval_ns: u64::try_from(entry.poll_interval.as_nanos()).unwrap_or(u64::MAX),
            per_process: u32::from(known.is_per_process()),
            reserved: 0,
        };
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}
