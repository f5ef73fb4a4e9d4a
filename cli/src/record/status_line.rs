//! The line on a terminal that shows the progress of a recording.

use std::{
    io::{self, IsTerminal as _},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use igpu::{
    metric::Metric,
    sampler::{LatestKey, LatestReader},
};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::unistd::{getpgrp, tcgetpgrp};

use super::output_file::RecordingProgress;
use crate::notifier::stderr_is_writable;

/// The time between two updates of the line.
pub(super) const REDRAW_INTERVAL: Duration = Duration::from_millis(500);

/// The status line. Shows nothing if stderr is not a terminal.
pub(super) struct StatusLine {
    bar: ProgressBar,
    start: Instant,
    latest: LatestReader,
    power: Vec<LatestKey>,
    utilization: Vec<LatestKey>,
}

/// Creates the progress bar that draws the line. Messages are written above the bar.
pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(2));
    match ProgressStyle::with_template("{wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Returns `true` if this program is in the foreground of the terminal. While it is in the background, another program
/// may overwrite the line.
fn is_foreground() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp())
}

impl StatusLine {
    pub(super) fn new(bar: ProgressBar, latest: LatestReader, gpus: &[u32]) -> Self {
        let key = |metrics: &[Metric], gpu| metrics.iter().find_map(|metric| latest.key(gpu, *metric));
        let keys = |metrics: &[Metric]| gpus.iter().filter_map(|gpu| key(metrics, *gpu)).collect();
        let power = keys(&[Metric::POWER_USAGE, Metric::POWER_INSTANT, Metric::POWER_AVERAGE]);
        let utilization = keys(&[Metric::UTILIZATION_GPU]);
        Self { bar, start: Instant::now(), latest, power, utilization }
    }

    pub(super) fn show(&self, progress: &RecordingProgress) {
        if io::stderr().is_terminal() && is_foreground() && stderr_is_writable() {
            self.bar.set_message(self.line(progress));
            self.bar.tick();
        }
    }

    pub(super) fn clear(&self) {
        if !is_foreground() {
            self.bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        self.bar.finish_and_clear();
    }

    fn line(&self, progress: &RecordingProgress) -> String {
        let values = |keys: &[LatestKey]| {
            keys.iter().filter_map(|key| Some(self.latest.read(*key).ok()??.value)).collect::<Vec<_>>()
        };
        let (power, utilization) = (values(&self.power), values(&self.utilization));
        let seconds = self.start.elapsed().as_secs();
        let mut line = format!("recording {}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if !power.is_empty() {
            line += &format!(", {:.0} W", power.iter().sum::<f64>());
        }
        if !utilization.is_empty() {
            line += &format!(", {:.0} % busy", utilization.iter().sum::<f64>() / utilization.len() as f64);
        }
        let count = |value: &std::sync::atomic::AtomicU64| value.load(Relaxed);
        line += &format!(", {} records, {}", HumanCount(count(&progress.items)), HumanBytes(count(&progress.bytes)));
        match self.latest.dropped().max(count(&progress.dropped)) {
            0 => line,
            dropped => line + &format!(", {} dropped", HumanCount(dropped)),
        }
    }
}
