use igpu::{
    metric::Metric,
    sampler::{LatestKey, LatestReader},
};

use crate::{
    background_info::{self, igpu_background_info},
    error::{Failure, not_null},
    guard::{guarded, guarded_without_last_error},
    handle_table::{self, HandleType},
    metric,
    record::igpu_record,
    status::igpu_status,
    versioned_struct,
};

/// Reads the latest values of a background sampler, and how it does. Any number of threads and signal handlers may use one
/// at a time.
pub struct igpu_latest {
    reader: LatestReader,
    /// Which values there are; a key of C is a place in it.
    values: Vec<(u32, Metric, LatestKey)>,
}

// SAFETY: no other type has this number.
unsafe impl HandleType for igpu_latest {
    const TYPE: u8 = 5;
}

impl igpu_latest {
    pub(crate) fn new(reader: LatestReader, gpus: &[u32]) -> Self {
        let mut values = Vec::new();
        for gpu in gpus {
            values.extend(Metric::all().filter_map(|metric| Some((*gpu, metric, reader.key(*gpu, metric)?))));
        }
        Self { reader, values }
    }
}

/// Where the latest value of a metric of a GPU stands, by the GPU's index and the metric's number: ask once, outside the
/// signal handler. The key is good as long as the reader is open.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_get_key(
    latest: *mut igpu_latest,
    gpu: u32,
    metric: u32,
    key: *mut u32,
) -> igpu_status {
    guarded(|| {
        let key = not_null(key)?;
        let metric = metric::at(metric)?;
        let place = handle_table::with(latest, |latest| {
            if !latest.values.iter().any(|value| value.0 == gpu) {
                return Err(Failure::Status(igpu_status::NoSuchGpu, "the sampler has no GPU of this index"));
            }
            let not_sampled =
                Failure::Status(igpu_status::NoSuchMetric, "the metric is not sampled, or is one of processes");
            latest.values.iter().position(|value| (value.0, value.1) == (gpu, metric)).ok_or(not_sampled)
        })?;
        // SAFETY: the caller's pointer is to a number.
        unsafe { key.write(place as u32) };
        Ok(())
    })
}

/// The latest value; `IGPU_STATUS_NO_DATA` while nothing was read, while the GPU is lost or a call about it hangs, and in the
/// rare case that each of a few tries met a write. Once the sampler is stopped it stays: `at` tells how old it is.
///
/// Never blocks; allocates nothing; may be called in a signal handler. It leaves `igpu_last_error` as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_read(latest: *mut igpu_latest, key: u32, record: *mut igpu_record) -> igpu_status {
    guarded_without_last_error(|| {
        let record = not_null(record)?;
        let value = handle_table::with(latest, |latest| {
            let no_key = Failure::Status(igpu_status::InvalidArgument, "");
            let (_, _, key) = latest.values.get(key as usize).ok_or(no_key)?;
            latest.reader.read(*key)?.ok_or(Failure::Status(igpu_status::NoData, ""))
        })?;
        // SAFETY: the caller's pointer is to a record.
        unsafe { record.write(value.into()) };
        Ok(())
    })
}

/// As `igpu_background_get_info`, from any thread: also while another one takes records out.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_get_info(
    latest: *mut igpu_latest,
    info: *mut igpu_background_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with(latest, |latest| Ok(igpu_background_info::of(&latest.reader)))?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}

/// As `igpu_background_get_hung_gpus`, from any thread: also while another one takes records out.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_get_hung_gpus(
    latest: *mut igpu_latest,
    gpus: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> igpu_status {
    // SAFETY: the caller's pointers are to a number, and to as many as it says.
    guarded(|| {
        handle_table::with(latest, |latest| unsafe { background_info::hung(&latest.reader, gpus, capacity, count) })
    })
}

/// Closes the reader. A signal handler that comes after gets `IGPU_STATUS_INVALID_HANDLE`.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_close(latest: *mut igpu_latest) -> igpu_status {
    guarded(|| handle_table::close(latest).map(drop))
}
