//! What the sensors show of the truth, and when.

use crate::simulation::SimulatedGpu;
use crate::waveform::{round_u32, round_u64};
use std::sync::atomic::Ordering::Relaxed;

impl SimulatedGpu {
    /// The time in seconds whose waveforms a sensor shows at `ns` that refreshes every so many ms; 0: at each call.
    #[inline]
    pub(crate) fn last_refresh_s(&self, ns: u64, refresh_ms: u64) -> f64 {
        let period = refresh_ms * 1_000_000;
        self.waveform_time_s(ns.checked_div(period).map_or(ns, |refreshes| refreshes * period))
    }

    /// The average sensor at `ns`, in mW: the exact mean of the true power over the window that ends at the last
    /// refresh. Refreshes are at whole multiples of the period since the start.
    pub(crate) fn average_mw(&self, ns: u64) -> u32 {
        let power = &self.model.power;
        // Low 32 bits of the number of the refresh: wide enough that no two in use are alike.
        let refresh = ns / (power.refresh_ms * 1_000_000);
        let cached = self.power_cache.load(Relaxed);
        if cached >> 32 == refresh & 0xFFFF_FFFF && cached != u64::MAX {
            return cached as u32;
        }
        let milliwatts = round_u32(1e3 * self.mean_w(refresh * power.refresh_ms, power.window_ms));
        self.power_cache.store((refresh & 0xFFFF_FFFF) << 32 | u64::from(milliwatts), Relaxed);
        milliwatts
    }

    /// The instant sensor at `ns`, in mW; `None` where there is none.
    pub(crate) fn instant_mw(&self, ns: u64) -> Option<u32> {
        let power = &self.model.power;
        let period = power.instant_refresh_ms;
        let last = ns.checked_div(period * 1_000_000)? * period;
        Some(round_u32(1e3 * self.mean_w(last, power.instant_window_ms)))
    }

    /// The energy counter at `ns`, in mJ; `None` where there is none.
    pub(crate) fn energy_mj(&self, ns: u64) -> Option<u64> {
        let period = self.model.power.energy_refresh_ms;
        let last = ns.checked_div(period * 1_000_000)? * period;
        Some(round_u64(1e3 * self.energy_j(last * 1_000_000)))
    }

    /// The true energy since the start, in J.
    pub(crate) fn energy_j(&self, ns: u64) -> f64 {
        self.model.power.draw_w.integral(self.waveform_time_s(0), self.waveform_time_s(ns))
    }

    fn mean_w(&self, end_ms: u64, window_ms: u64) -> f64 {
        let end = self.waveform_time_s(end_ms * 1_000_000);
        self.model.power.draw_w.mean(end - window_ms as f64 / 1e3, end)
    }
}
