use igpu::{
    metric::Metric,
    sampler::{LatestKey, LatestReader},
};

use crate::{
    background::igpu_background,
    background_info::{self, igpu_background_info},
    error::{Failure, invalid_argument, no_data, not_null},
    guard::{guarded, guarded_without_last_error},
    handle_table::{self, HandleType},
    metric,
    record::igpu_record,
    status::igpu_status,
    versioned_struct,
};

/// A handle to a reader of a background sampler's latest values and state. Any number of threads and signal handlers
/// can use the same reader at the same time.
pub struct igpu_latest {
    reader: LatestReader,
    /// The available values. A C key is a position in this list.
    values: Vec<(u32, Metric, LatestKey)>,
}

// SAFETY: no other type has this `TYPE`.
unsafe impl HandleType for igpu_latest {
    const TYPE: u8 = 5;
}

impl igpu_latest {
    fn new(reader: LatestReader, gpus: &[u32]) -> Self {
        let mut values = Vec::new();
        for gpu in gpus {
            values.extend(Metric::all().filter_map(|metric| Some((*gpu, metric, reader.key(*gpu, metric)?))));
        }
        Self { reader, values }
    }
}

/// Opens a reader of the latest values of a background sampler, for other threads and for signal handlers. Close it
/// with `igpu_latest_close`, before or after the sampler.
///
/// ```c
/// static igpu_latest *latest;
/// static uint32_t power_key;
///
/// static void on_signal(int signal) {
///     igpu_record record;
///     if (igpu_latest_read(latest, power_key, &record) == IGPU_STATUS_OK) { /* use record.value */ }
/// }
/// ```
///
/// `capi/examples/sigprof.c` is a complete program.
///
/// Does not block. Allocates. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_open(
    background: *mut igpu_background,
    latest: *mut *mut igpu_latest,
) -> igpu_status {
    guarded(|| {
        let latest = not_null(latest)?;
        let reader = handle_table::with_mut(background, |this| {
            Ok(igpu_latest::new(this.background.latest_reader(), &this.gpus))
        })?;
        // SAFETY: the caller's pointer is writable for a handle.
        unsafe { latest.write(handle_table::open(reader)?) };
        Ok(())
    })
}

/// Gets the key of a metric for `igpu_latest_read`. `gpu` is the index of the GPU, and `metric` is the number of the
/// metric. Get keys once, outside of signal handlers. They are valid as long as the reader is open. Per-process metrics
/// have no key.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_get_key(
    latest: *mut igpu_latest,
    gpu: u32,
    metric: u32,
    key: *mut u32,
) -> igpu_status {
    guarded(|| {
        let key = not_null(key)?;
        let metric = metric::from_number(metric)?;
        let position = handle_table::with(latest, |latest| {
            if !latest.values.iter().any(|value| value.0 == gpu) {
                return Err(Failure::Status(igpu_status::NoSuchGpu, "the sampler does not read this GPU", ""));
            }
            let cause = "the sampler does not read this metric, or the metric is per process";
            let not_sampled = Failure::Status(igpu_status::NoSuchMetric, cause, "");
            latest.values.iter().position(|value| (value.0, value.1) == (gpu, metric)).ok_or(not_sampled)
        })?;
        // SAFETY: the caller's pointer is writable.
        unsafe { key.write(position as u32) };
        Ok(())
    })
}

/// Gets the latest value of a metric. Returns `IGPU_STATUS_NO_DATA` before the first value, while the GPU is lost or
/// one of its driver calls hangs, and in the rare case that several attempts coincide with writes. The last value
/// remains available after the sampler is stopped; `timestamp_ns` shows its age.
///
/// Does not block or allocate. Does not change `igpu_last_error`. Async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_read(latest: *mut igpu_latest, key: u32, record: *mut igpu_record) -> igpu_status {
    guarded_without_last_error(|| {
        let record = not_null(record)?;
        let value = handle_table::with(latest, |latest| {
            let (_, _, key) = latest.values.get(key as usize).ok_or(invalid_argument("", ""))?;
            latest.reader.read(*key)?.ok_or(no_data("", ""))
        })?;
        // SAFETY: the caller's pointer is writable for a record.
        unsafe { record.write(value.into()) };
        Ok(())
    })
}

/// Gets the state of the sampler, like `igpu_background_get_info`. Any thread can call this function, even while
/// another thread removes records.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_get_info(
    latest: *mut igpu_latest,
    info: *mut igpu_background_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with(latest, |latest| Ok(igpu_background_info::new(&latest.reader)))?;
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}

/// Gets the indices of the GPUs in which a driver call hangs now, like `igpu_background_get_hung_gpus`. Any thread can
/// call this function, even while another thread removes records.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_get_hung_gpus(
    latest: *mut igpu_latest,
    indices: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> igpu_status {
    guarded(|| {
        handle_table::with(latest, |latest| {
            // SAFETY: the caller's pointers are writable for one number and for `capacity` numbers.
            unsafe { background_info::write_hung_gpus(&latest.reader, indices, capacity, count) }
        })
    })
}

/// Closes a reader. Signal handlers that use it afterwards get `IGPU_STATUS_INVALID_HANDLE`. Does nothing if `latest`
/// is NULL.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_close(latest: *mut igpu_latest) -> igpu_status {
    guarded(|| handle_table::close(latest).map(drop))
}
