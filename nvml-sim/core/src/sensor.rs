//! The sensors, which refresh periodically and average over windows.

use crate::simulation::SimulatedGpu;
use crate::waveform::{round_u32, round_u64};
use std::sync::atomic::Ordering::Relaxed;

impl SimulatedGpu {
    /// Returns the waveform time in seconds of the last refresh at or before the simulated time `ns`, for a sensor that
    /// refreshes every `refresh_ms`. If `refresh_ms` is 0, the sensor refreshes at each call.
    #[inline]
    pub(crate) fn last_refresh_s(&self, ns: u64, refresh_ms: u64) -> f64 {
        let period = refresh_ms * 1_000_000;
        self.waveform_time_s(ns.checked_div(period).map_or(ns, |refreshes| refreshes * period))
    }

    /// Returns the value of the average power sensor at `ns` in milliwatts: the exact mean of the true power over the
    /// window that ends at the last refresh. Refreshes are at integer multiples of the period since the start.
    pub(crate) fn average_mw(&self, ns: u64) -> u32 {
        let power = &self.model.power;
        // The cache identifies a refresh by the low 32 bits of its number, which do not repeat within a test.
        let refresh = ns / (power.refresh_ms * 1_000_000);
        let cached = self.power_cache.load(Relaxed);
        if cached >> 32 == refresh & 0xFFFF_FFFF && cached != u64::MAX {
            return cached as u32;
        }
        let milliwatts = round_u32(1e3 * self.mean_w(refresh * power.refresh_ms, power.window_ms));
        self.power_cache.store((refresh & 0xFFFF_FFFF) << 32 | u64::from(milliwatts), Relaxed);
        milliwatts
    }

    /// Returns the value of the instant power sensor at `ns` in milliwatts, or `None` if the GPU has no such sensor.
    pub(crate) fn instant_mw(&self, ns: u64) -> Option<u32> {
        let power = &self.model.power;
        let period = power.instant_refresh_ms;
        let last = ns.checked_div(period * 1_000_000)? * period;
        Some(round_u32(1e3 * self.mean_w(last, power.instant_window_ms)))
    }

    /// Returns the energy counter at `ns` in millijoules, or `None` if the GPU has no such counter.
    pub(crate) fn energy_mj(&self, ns: u64) -> Option<u64> {
        let period = self.model.power.energy_refresh_ms;
        let last = ns.checked_div(period * 1_000_000)? * period;
        Some(round_u64(1e3 * self.energy_j(last * 1_000_000)))
    }

    /// Returns the true energy since the start of the scenario, in joules.
    pub(crate) fn energy_j(&self, ns: u64) -> f64 {
        self.model.power.draw_w.integral(self.waveform_time_s(0), self.waveform_time_s(ns))
    }

    fn mean_w(&self, end_ms: u64, window_ms: u64) -> f64 {
        let end = self.waveform_time_s(end_ms * 1_000_000);
        self.model.power.draw_w.mean(end - window_ms as f64 / 1e3, end)
    }
}
