//! Summaries of samplers on the simulated driver, compared with the exact values of the simulation.

#[path = "../../tests/common/sim.rs"]
mod sim;

use std::time::Duration;

use igpu::metric::Metric;
use igpu_recording::{
    EnergySource, GpuSummary, Header, Item, RecordConverter, Summary, SummaryBuilder, ThrottlingSource, UnixTimeOffset,
    default_metrics, event,
};
use nvml_sim::control::{self, Quantity};
use sim::{InProcessSim, SECOND, now, run, sim};

/// The start of the recordings, in nanoseconds since the Unix epoch.
const START: u64 = 1_700_000_000 * SECOND;
/// The refresh period of sensors whose period is not set in the scenario, in seconds.
const REFRESH_S: f64 = 0.1;

/// The summary of a recording, and its time span on the clock of the simulation.
struct Recorded {
    summary: Summary,
    from: Duration,
    to: Duration,
    /// Keeps the simulation running, which provides the exact values.
    _sim: InProcessSim,
}

/// Records for a number of seconds. The recording starts 7 s after the scenario, so that counters are not 0.
fn recorded(toml: &str, metrics: &[Metric], seconds: f64) -> Recorded {
    let sim = sim(toml);
    control::step(Duration::from_secs(7));
    let mut sampler = sim.builder().metrics(metrics).build().unwrap();
    let (from, clock) = (control::now(), UnixTimeOffset::new(now(), START));
    let mut converter = RecordConverter::new(clock);
    let mut builder = SummaryBuilder::default();
    builder.observe(&Item::start(START, &Header::default()));
    let records = run(&mut sampler, seconds);
    // A complete recording ends with a final reading of all metrics.
    for record in records.iter().chain(sampler.sample().records()) {
        converter.convert(record, |item| builder.observe(&item));
    }
    builder.observe(&Item::event(clock.to_unix_nano(now()), event::END));
    let summary = builder.summary();
    assert!((summary.duration_s - seconds).abs() < 1e-6, "{} s", summary.duration_s);
    Recorded { summary, from, to: control::now(), _sim: sim }
}

impl Recorded {
    fn gpu(&self) -> &GpuSummary {
        &self.summary.gpus[0]
    }

    /// Returns the exact energy of GPU 0, in joules.
    fn exact_joules(&self) -> f64 {
        let at = |time| control::truth(0, Quantity::Energy, time);
        at(self.to) - at(self.from)
    }

    /// Returns the exact values of a quantity in intervals of one millisecond.
    fn exact_values(&self, quantity: Quantity) -> impl Iterator<Item = f64> {
        let (from, ms) = (self.from, (self.to - self.from).as_millis() as u64);
        (0..ms).map(move |ms| control::truth(0, quantity, from + Duration::from_millis(ms)))
    }

    /// Returns the exact maximum of a quantity.
    fn exact_max(&self, quantity: Quantity) -> f64 {
        self.exact_values(quantity).fold(f64::MIN, f64::max)
    }

    /// Returns the exact mean of a quantity.
    fn exact_mean(&self, quantity: Quantity) -> f64 {
        self.exact_values(quantity).sum::<f64>() / self.exact_values(quantity).count() as f64
    }

    /// Asserts that energy and mean power are exact up to the energy that the GPU uses in `lag_s` seconds.
    fn check_energy(&self, source: EnergySource, lag_s: f64) {
        let seconds = (self.to - self.from).as_secs_f64();
        let (exact, tolerance) = (self.exact_joules(), self.exact_max(Quantity::Power) * lag_s);
        let energy = self.gpu().energy.as_ref().expect("energy");
        assert_eq!(energy.source, source);
        assert!(
            (energy.energy_j - exact).abs() <= tolerance,
            "{} J, expected {exact} J ± {tolerance}",
            energy.energy_j
        );
        assert_eq!(energy.energy_wh, energy.energy_j / 3600.0);
        let (mean, power) = (self.gpu().power_mean_w.expect("a mean"), exact / seconds);
        assert!((mean - power).abs() <= 2.0 * tolerance / seconds, "{mean} W, expected {power} W");
        assert!(
            energy.covered_s > seconds - 2.0 * lag_s - 0.05 && energy.covered_s <= seconds,
            "{} s",
            energy.covered_s
        );
        assert_eq!(self.summary.total.energy_j, Some(energy.energy_j));
    }
}

fn assert_close(value: Option<f64>, exact: f64, tolerance: f64) {
    let value = value.expect("a value");
    assert!((value - exact).abs() <= tolerance, "{value}, expected {exact} ± {tolerance}");
}

const SQUARE_SCENARIO: &str = "[[gpu]]\nprocess = []\n\
    power = { draw_w = { square = { low = 100, high = 400, period_s = 3, duty_cycle = 0.3 } } }\n\
    utilization = { gpu_percent = { square = { low = 10, high = 90, period_s = 4, duty_cycle = 0.25 } }, memory_percent = 20 }\n\
    memory = { total_mib = 81559, used_mib = { sine = { mean = 40000, amplitude = 8000, period_s = 13 } } }\n\
    temperature = { gpu_c = { sine = { mean = 60, amplitude = 12.4, period_s = 9 } } }\n\
    clocks_event_reasons = 4\n\
    throttle_fraction = { power = { square = { low = 0, high = 0.5, period_s = 10, duty_cycle = 0.5 } }, thermal = 0.125 }\n";

#[test]
fn energy_counter_square_power_is_exact() {
    let recorded = recorded(SQUARE_SCENARIO, &default_metrics(), 40.0);
    recorded.check_energy(EnergySource::Counter, REFRESH_S);
    let gpu = recorded.gpu();
    assert_eq!((gpu.power_peak_w, gpu.power_peak_series), (Some(400.0), Some("gpu.power.instant")));
    let busy = gpu.utilization.as_ref().unwrap();
    // The square wave changes twice in 4 s, and is polled every 100 ms or more often.
    assert_close(Some(busy.mean), recorded.exact_mean(Quantity::UtilizationGpu) / 100.0, 0.8 * 2.0 * 0.1 / 4.0);
    assert_eq!((busy.p5, busy.p50, busy.p95, busy.max), (0.1, 0.1, 0.9, 0.9));
    assert_close(gpu.memory_utilization_mean, 0.2, 1e-9);
    // The tolerance is the maximum change in 100 ms.
    let max = recorded.exact_max(Quantity::MemoryUsed);
    assert_close(gpu.memory_peak_bytes.map(|bytes| bytes as f64), max, 0.002 * max);
    assert_close(gpu.temperature_max_cel, recorded.exact_max(Quantity::Temperature), 0.9);
    // The counters are read every second. Power throttles the GPU for half of the time in half of each period, which is 10 s.
    // Heat throttles it for an eighth of the time, which is 5 s.
    let throttling = gpu.throttling.as_ref().unwrap();
    assert_eq!(throttling.source, ThrottlingSource::Counters);
    assert_close(throttling.causes_s.get("power").copied(), 10.0, 0.5);
    assert_close(throttling.causes_s.get("thermal").copied(), 5.0, 0.125);
}

#[test]
fn energy_counter_sine_power_is_exact() {
    let toml = "[[gpu]]\nprocess = []\n\
        power = { draw_w = { sine = { mean = 300, amplitude = 250, period_s = 2.3 } } }\n";
    recorded(toml, &default_metrics(), 31.0).check_energy(EnergySource::Counter, REFRESH_S);
}

#[test]
fn integrated_energy_is_exact() {
    let sine = "draw_w = { sine = { mean = 300, amplitude = 250, period_s = 2.3 } }";
    let square = "draw_w = { square = { low = 100, high = 400, period_s = 3, duty_cycle = 0.4 } }";
    // The power is read from the sample buffer in the first case, and polled in the second.
    for buffer in ["", "sample_buffers = { power = { capacity = 0, period_ms = 20 } }\n"] {
        for draw in [sine, square, "draw_w = 250"] {
            let power = format!("power = {{ {draw}, refresh_ms = 100, window_ms = 100, energy_refresh_ms = 0 }}\n");
            let recorded = recorded(&format!("[[gpu]]\nprocess = []\n{power}{buffer}"), &default_metrics(), 30.0);
            recorded.check_energy(EnergySource::Integrated, REFRESH_S);
        }
    }
}

#[test]
fn recorded_power_is_integrated() {
    let metrics = [Metric::POWER_INSTANT, Metric::CLOCKS_EVENT_REASONS];
    let recorded = recorded(SQUARE_SCENARIO, &metrics, 30.0);
    // A value represents the previous refresh period, and is read up to one poll interval later.
    recorded.check_energy(EnergySource::PowerInstant, 2.0 * REFRESH_S);
    let throttling = recorded.gpu().throttling.as_ref().unwrap();
    assert_eq!(throttling.source, ThrottlingSource::Reasons);
    assert_close(throttling.any_s, 30.0, 0.1);
    assert_close(throttling.causes_s.get("sw_power_cap").copied(), 30.0, 0.1);
    assert_eq!(throttling.causes_s["hw_slowdown"], 0.0);
}

#[test]
fn lost_gpu_time_is_excluded() {
    let toml = "[[gpu]]\nprocess = []\n\
        power = { draw_w = 250 }\nutilization = { gpu_percent = 50, memory_percent = 20 }\nclocks_event_reasons = 64\n\
        [[gpu_lost]]\ngpu = 0\nfrom_s = 17\nuntil_s = 27\n";
    let recorded = recorded(toml, &[Metric::UTILIZATION_GPU, Metric::ENERGY, Metric::CLOCKS_EVENT_REASONS], 40.0);
    let gpu = recorded.gpu();
    assert_eq!((gpu.events.gpu_lost, gpu.events.gpu_recovered), (1, 1));
    // The GPU is lost for 10 s, and its recovery is detected at the next retry. Unchanged values count from that time
    // on.
    let known = gpu.utilization.as_ref().unwrap().covered_s;
    assert!((28.0..=30.2).contains(&known), "{known} s");
    assert_eq!(gpu.throttling.as_ref().unwrap().any_s.map(|any| (any - known).abs() < 0.3), Some(true));
    assert_close(gpu.power_mean_w, 250.0, 2.0);
    let energy = gpu.energy.as_ref().unwrap();
    assert!((28.0..=30.2).contains(&energy.covered_s), "{} s", energy.covered_s);
    // The counter continued while the GPU was lost.
    assert_close(Some(energy.energy_j), recorded.exact_joules(), 250.0 * REFRESH_S);
}
