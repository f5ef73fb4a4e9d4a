//! The handle of a sampled GPU, and its availability. A GPU is unavailable while it is lost or suspended by the kernel.

use super::{
    Clocks,
    record::{Event, Record, Records},
    runtime_pm::RuntimeStatus,
    time::Stopwatch,
};
use crate::{Device, Error, GpuPciInfo, Nvml, Result};

/// The time between two attempts to open a lost GPU, in nanoseconds. An attempt may take long, and a reset takes
/// seconds.
const RETRY_INTERVAL_NS: u64 = 1_000_000_000;
/// The time after which the runtime status is read from sysfs again, in nanoseconds. It limits the delay until a
/// resumed GPU is sampled again.
const STATUS_CHECK_INTERVAL_NS: u64 = 100_000_000;

/// The handle of a GPU, and the reason why the GPU cannot be used at the moment.
#[derive(Debug)]
pub(super) struct DeviceState {
    nvml: Nvml,
    index: u32,
    /// The handle, or `None` until the GPU is opened for the first time.
    device: Option<Device>,
    loss: Option<Loss>,
    /// `true` if the GPU was lost before the first tick and no event has reported the loss yet.
    is_loss_unreported: bool,
    /// The reader of the runtime status, or `None` if suspended GPUs are not skipped.
    status: Option<RuntimeStatus>,
    is_suspended: bool,
    /// The time of the last read of `status`, or 0 before the first read.
    status_checked_at: u64,
    clocks: Clocks,
}

/// The error of the last call to a lost GPU, and the time of the next attempt to open the GPU.
#[derive(Debug)]
struct Loss {
    error: Error,
    retry_at: u64,
}

impl DeviceState {
    /// Opens the GPU with this index. A GPU that cannot be opened counts as lost, and a later attempt may open it.
    ///
    /// # Errors
    /// Returns [`Error::InvalidIndex`] if no GPU has this index, and [`Error::Forked`] in a forked child.
    pub(super) fn open(nvml: &Nvml, index: u32, skip_suspended: bool, clocks: Clocks) -> Result<Self> {
        let (device, loss) = match nvml.device(index) {
            Ok(device) => (Some(device), None),
            Err(error @ (Error::InvalidIndex { .. } | Error::Forked)) => return Err(error),
            Err(error) => (None, Some(Loss { error, retry_at: 0 })),
        };
        let status = skip_suspended.then(|| {
            let mut pci = GpuPciInfo::default();
            pci.bus_id = device.as_ref().and_then(|device| device.pci_info().ok()).map(|info| info.bus_id);
            RuntimeStatus::for_gpu(&pci)
        });
        Ok(Self {
            nvml: nvml.clone(),
            index,
            device,
            is_loss_unreported: loss.is_some(),
            loss,
            status,
            is_suspended: false,
            status_checked_at: 0,
            clocks,
        })
    }

    /// Returns the NVML index.
    pub(super) fn index(&self) -> u16 {
        u16::try_from(self.index).unwrap_or(u16::MAX)
    }

    /// Returns the handle, even while the GPU is lost or suspended. Returns `None` if the GPU was never opened.
    pub(super) fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Returns `true` if [`available_device`](Self::available_device) may take time, because it opens a lost GPU or
    /// reads sysfs.
    #[inline]
    pub(super) fn needs_check(&self) -> bool {
        self.loss.is_some() || self.status.is_some()
    }

    /// Returns the handle if the GPU may be called now: it is neither suspended nor lost, or it is lost and a retry is
    /// due.
    #[inline]
    pub(super) fn available_device(&mut self, now: u64, records: &mut Records) -> Option<&Device> {
        if self.status.is_none() && self.loss.is_none() {
            return self.device.as_ref();
        }
        self.check_device(now, records)
    }

    /// Returns the same as [`available_device`](Self::available_device), for a GPU that is lost or may be suspended.
    fn check_device(&mut self, now: u64, records: &mut Records) -> Option<&Device> {
        if self.check_suspended(now, records) {
            return None;
        }
        if let Some(Loss { error, retry_at }) = &self.loss {
            if std::mem::take(&mut self.is_loss_unreported) {
                self.report_loss(error, now, records);
            }
            if now < *retry_at {
                return None;
            }
            // A GPU that recovers may have a new handle.
            match self.nvml.device(self.index) {
                Ok(device) => self.device = Some(device),
                Err(error) => {
                    // The attempt may have taken long, so the time is read again.
                    self.loss = Some(Loss { error, retry_at: (self.clocks.monotonic)() + RETRY_INTERVAL_NS });
                    return None;
                }
            }
        }
        self.device.as_ref()
    }

    /// Records that a call returned. Reports a recovery if the GPU was lost.
    #[inline]
    pub(super) fn mark_available(&mut self, stopwatch: &Stopwatch, records: &mut Records) {
        if self.loss.is_some() {
            self.loss = None;
            records.push(Record::for_event(stopwatch.last(), self.index(), None, Event::GPU_RECOVERED, 0.0));
        }
    }

    /// Records that a call failed because the GPU is lost or must be reset, or because NVML was shut down. Reports only
    /// the first of several consecutive errors.
    pub(super) fn mark_lost(&mut self, error: &Error, now: u64, records: &mut Records) {
        if self.loss.is_none() {
            self.report_loss(error, now, records);
        }
        self.loss = Some(Loss { error: error.clone(), retry_at: now + RETRY_INTERVAL_NS });
    }

    fn report_loss(&self, error: &Error, now: u64, records: &mut Records) {
        let code = error.code().map_or(f64::NAN, |code| f64::from(code.0));
        records.push(Record::for_event(now, self.index(), None, Event::GPU_LOST, code));
    }

    /// Returns the last error of a lost GPU, or `None` if the GPU is not lost.
    pub(super) fn loss_error(&self) -> Option<&Error> {
        self.loss.as_ref().map(|loss| &loss.error)
    }

    /// Returns `true` if the kernel had suspended the GPU when its status was last read.
    pub(super) fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    /// Returns the time before which the GPU need not be checked, because it is lost or suspended, or 0 if it is
    /// available.
    #[inline]
    pub(super) fn unavailable_until(&self) -> u64 {
        let retry_at = self.loss.as_ref().map_or(0, |loss| loss.retry_at);
        if self.is_suspended { retry_at.max(self.status_checked_at + STATUS_CHECK_INTERVAL_NS) } else { retry_at }
    }

    /// Returns `true` if the kernel has suspended the GPU, and reports an event if the state has changed.
    fn check_suspended(&mut self, now: u64, records: &mut Records) -> bool {
        let Some(status) = &self.status else { return false };
        if now >= self.status_checked_at.saturating_add(STATUS_CHECK_INTERVAL_NS) || self.status_checked_at == 0 {
            self.status_checked_at = now.max(1);
            let is_suspended = status.is_suspended();
            if is_suspended != self.is_suspended {
                let event = if is_suspended { Event::GPU_SUSPENDED } else { Event::GPU_RESUMED };
                records.push(Record::for_event(now, self.index(), None, event, 0.0));
            }
            self.is_suspended = is_suspended;
        }
        self.is_suspended
    }
}
