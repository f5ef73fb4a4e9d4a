//! A GPU that is sampled: its handle, and whether it is there, lost or asleep.

use super::{
    Clocks,
    record::{Event, Record, Records},
    runtime_pm::RuntimeStatus,
    time::Stopwatch,
};
use crate::{Device, Error, GpuPciInfo, Nvml, Result};

/// How long a lost GPU is left alone before it is tried again.
const RETRY: u64 = 1_000_000_000;
/// How long the answer of sysfs is taken for true.
const SLEEP_CHECK: u64 = 100_000_000;

#[derive(Debug)]
pub(super) struct DeviceState {
    nvml: Nvml,
    index: u32,
    /// `None` only while it could never be opened.
    device: Option<Device>,
    /// Why it does not answer, and when it is tried again.
    gone: Option<(Error, u64)>,
    /// It is gone from the start, which no event has told yet.
    untold: bool,
    status: Option<RuntimeStatus>,
    asleep: bool,
    asked_sysfs: u64,
    clocks: Clocks,
}

impl DeviceState {
    /// Only that there is no such GPU is an error, or no driver in this process: one that cannot be opened is lost.
    pub(super) fn open(nvml: &Nvml, index: u32, skip_suspended: bool, clocks: Clocks) -> Result<Self> {
        let (device, gone) = match nvml.device(index) {
            Ok(device) => (Some(device), None),
            Err(error @ (Error::InvalidIndex { .. } | Error::Forked)) => return Err(error),
            Err(why) => (None, Some((why, 0))),
        };
        let status = skip_suspended.then(|| {
            let mut pci = GpuPciInfo::default();
            pci.bus_id = device.as_ref().and_then(|device| device.pci_info().ok()).map(|info| info.bus_id);
            RuntimeStatus::for_gpu(&pci)
        });
        let (nvml, untold) = (nvml.clone(), gone.is_some());
        Ok(Self { nvml, index, device, gone, untold, status, asleep: false, asked_sysfs: 0, clocks })
    }

    /// The index, as NVML counts.
    pub(super) fn index(&self) -> u16 {
        u16::try_from(self.index).unwrap_or(u16::MAX)
    }

    pub(super) fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Whether [`ready`](Self::ready) may take time: it looks for a GPU that is lost, or asks whether it sleeps.
    #[inline]
    pub(super) fn looks_first(&self) -> bool {
        self.gone.is_some() || self.status.is_some()
    }

    /// The handle, if the GPU may be asked now: it is awake, and not lost, or it is time to try again.
    #[inline]
    pub(super) fn ready(&mut self, now: u64, records: &mut Records) -> Option<&Device> {
        if self.status.is_none() && self.gone.is_none() {
            return self.device.as_ref();
        }
        self.ready_again(now, records)
    }

    /// Likewise, of a GPU that may sleep or was lost.
    fn ready_again(&mut self, now: u64, records: &mut Records) -> Option<&Device> {
        if self.sleeps(now, records) {
            return None;
        }
        if let Some((why, retry)) = &self.gone {
            if std::mem::take(&mut self.untold) {
                self.tell(why, now, records);
            }
            if now < *retry {
                return None;
            }
            // A GPU that comes back may have another handle.
            match self.nvml.device(self.index) {
                Ok(device) => self.device = Some(device),
                Err(why) => {
                    // To find that out may have taken long.
                    self.gone = Some((why, (self.clocks.monotonic)() + RETRY));
                    return None;
                }
            }
        }
        self.device.as_ref()
    }

    /// It answered: whether that is news.
    #[inline]
    pub(super) fn answered(&mut self, stopwatch: &Stopwatch, records: &mut Records) {
        if self.gone.is_some() {
            self.gone = None;
            records.push(Record::for_event(stopwatch.last(), self.index(), None, Event::GPU_RECOVERED, 0.0));
        }
    }

    /// It is lost, must be reset, or NVML is gone.
    pub(super) fn lost(&mut self, why: &Error, now: u64, records: &mut Records) {
        if self.gone.is_none() {
            self.tell(why, now, records);
        }
        self.gone = Some((why.clone(), now + RETRY));
    }

    fn tell(&self, why: &Error, now: u64, records: &mut Records) {
        let code = why.code().map_or(f64::NAN, |code| f64::from(code.0));
        records.push(Record::for_event(now, self.index(), None, Event::GPU_LOST, code));
    }

    pub(super) fn why_gone(&self) -> Option<&Error> {
        self.gone.as_ref().map(|(why, _)| why)
    }

    /// Before when its groups need not be looked at.
    #[inline]
    pub(super) fn not_before(&self) -> u64 {
        let retry = self.gone.as_ref().map_or(0, |(_, retry)| *retry);
        if self.asleep { retry.max(self.asked_sysfs + SLEEP_CHECK) } else { retry }
    }

    fn sleeps(&mut self, now: u64, records: &mut Records) -> bool {
        let Some(status) = &self.status else { return false };
        if now >= self.asked_sysfs.saturating_add(SLEEP_CHECK) || self.asked_sysfs == 0 {
            self.asked_sysfs = now.max(1);
            let asleep = status.is_suspended();
            if asleep != self.asleep {
                let event = if asleep { Event::GPU_SUSPENDED } else { Event::GPU_RESUMED };
                records.push(Record::for_event(now, self.index(), None, event, 0.0));
            }
            self.asleep = asleep;
        }
        self.asleep
    }
}
