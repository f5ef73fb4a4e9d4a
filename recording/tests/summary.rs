//! The bill of what a sampler read of the simulated driver, against the truth that the simulator knows.

#[path = "../../tests/common/sim.rs"]
mod sim;

use std::time::Duration;

use igpu::metric::Metric;
use igpu_recording::{
    ClockOffset, EnergySource, GpuSummary, Header, Item, RecordConverter, Summary, SummaryBuilder, ThrottlingSource,
    default_metrics, event,
};
use nvml_sim::control::{self, Quantity};
use sim::{InProcessSim, SECOND, now, run, sim};

/// When the recordings began, in nanoseconds since the epoch.
const BEGAN: u64 = 1_700_000_000 * SECOND;
/// How often sensors refresh that the scenarios say nothing of, in seconds.
const REFRESH: f64 = 0.1;

/// A recording, and when it was by the simulator's clock.
struct Recorded {
    summary: Summary,
    from: Duration,
    to: Duration,
    /// The truth can be asked for while it stands.
    _sim: InProcessSim,
}

/// Records for so many seconds, from 7 s after the scenario's start on, so that counters do not begin at 0.
fn recorded(toml: &str, metrics: &[Metric], seconds: f64) -> Recorded {
    let sim = sim(toml);
    control::step(Duration::from_secs(7));
    let mut sampler = sim.builder().metrics(metrics).build().unwrap();
    let (from, clock) = (control::now(), ClockOffset::new(now(), BEGAN));
    let mut converter = RecordConverter::new(clock);
    let mut builder = SummaryBuilder::default();
    builder.observe(&Item::start(BEGAN, &Header::default()));
    let records = run(&mut sampler, seconds);
    // A recording ends with all that can be read.
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

    /// The energy that GPU 0 truly used.
    fn joules(&self) -> f64 {
        let at = |time| control::truth(0, Quantity::Energy, time);
        at(self.to) - at(self.from)
    }

    /// All values that a quantity truly had, one each millisecond.
    fn truth(&self, quantity: Quantity) -> impl Iterator<Item = f64> {
        let (from, ms) = (self.from, (self.to - self.from).as_millis() as u64);
        (0..ms).map(move |ms| control::truth(0, quantity, from + Duration::from_millis(ms)))
    }

    fn most(&self, quantity: Quantity) -> f64 {
        self.truth(quantity).fold(f64::MIN, f64::max)
    }

    fn mean(&self, quantity: Quantity) -> f64 {
        self.truth(quantity).sum::<f64>() / self.truth(quantity).count() as f64
    }

    /// Energy and mean power are right to what the GPU draws in so many seconds.
    fn check_energy(&self, source: EnergySource, lag: f64) {
        let seconds = (self.to - self.from).as_secs_f64();
        let (truth, most) = (self.joules(), self.most(Quantity::Power) * lag);
        let energy = self.gpu().energy.as_ref().expect("energy");
        assert_eq!(energy.source, source);
        assert!((energy.energy_j - truth).abs() <= most, "{} J, truly {truth} J ± {most}", energy.energy_j);
        assert_eq!(energy.energy_wh, energy.energy_j / 3600.0);
        let (mean, power) = (self.gpu().power_mean_w.expect("a mean"), truth / seconds);
        assert!((mean - power).abs() <= 2.0 * most / seconds, "{mean} W, truly {power} W");
        assert!(energy.covered_s > seconds - 2.0 * lag - 0.05 && energy.covered_s <= seconds, "{} s", energy.covered_s);
        assert_eq!(self.summary.total.energy_j, Some(energy.energy_j));
    }
}

fn close(told: Option<f64>, truth: f64, by: f64) {
    let told = told.expect("a value");
    assert!((told - truth).abs() <= by, "{told}, truly {truth} ± {by}");
}

const SQUARE: &str = "[[gpu]]\nprocess = []\n\
    power = { draw_w = { square = { low = 100, high = 400, period_s = 3, duty_cycle = 0.3 } } }\n\
    utilization = { gpu_percent = { square = { low = 10, high = 90, period_s = 4, duty_cycle = 0.25 } }, memory_percent = 20 }\n\
    memory = { total_mib = 81559, used_mib = { sine = { mean = 40000, amplitude = 8000, period_s = 13 } } }\n\
    temperature = { gpu_c = { sine = { mean = 60, amplitude = 12.4, period_s = 9 } } }\n\
    clocks_event_reasons = 4\n\
    throttle_fraction = { power = { square = { low = 0, high = 0.5, period_s = 10, duty_cycle = 0.5 } }, thermal = 0.125 }\n";

#[test]
fn a_gpu_that_counts_its_energy() {
    let recorded = recorded(SQUARE, &default_metrics(), 40.0);
    recorded.check_energy(EnergySource::Counter, REFRESH);
    let gpu = recorded.gpu();
    assert_eq!((gpu.power_peak_w, gpu.power_peak_series), (Some(400.0), Some("gpu.power.instant")));
    let busy = gpu.utilization.as_ref().unwrap();
    // Polled each 100 ms at the latest, of a square that changes twice in 4 s.
    close(Some(busy.mean), recorded.mean(Quantity::UtilizationGpu) / 100.0, 0.8 * 2.0 * 0.1 / 4.0);
    assert_eq!((busy.p5, busy.p50, busy.p95, busy.max), (0.1, 0.1, 0.9, 0.9));
    close(gpu.memory_utilization_mean, 0.2, 1e-9);
    // So much does it change in 100 ms.
    let most = recorded.most(Quantity::MemoryUsed);
    close(gpu.memory_peak_bytes.map(|bytes| bytes as f64), most, 0.002 * most);
    close(gpu.temperature_max_cel, recorded.most(Quantity::Temperature), 0.9);
    // Counters are read each second; half of the time half is lost to power, an eighth always to heat.
    let throttling = gpu.throttling.as_ref().unwrap();
    assert_eq!(throttling.source, ThrottlingSource::Counters);
    close(throttling.causes_s.get("power").copied(), 10.0, 0.5);
    close(throttling.causes_s.get("thermal").copied(), 5.0, 0.125);
}

#[test]
fn a_gpu_whose_power_is_a_sine() {
    let toml = "[[gpu]]\nprocess = []\n\
        power = { draw_w = { sine = { mean = 300, amplitude = 250, period_s = 2.3 } } }\n";
    recorded(toml, &default_metrics(), 31.0).check_energy(EnergySource::Counter, REFRESH);
}

#[test]
fn a_gpu_whose_energy_is_integrated() {
    let sine = "draw_w = { sine = { mean = 300, amplitude = 250, period_s = 2.3 } }";
    let square = "draw_w = { square = { low = 100, high = 400, period_s = 3, duty_cycle = 0.4 } }";
    // By the power ring, and by polls.
    for ring in ["", "sample_buffers = { power = { capacity = 0, period_ms = 20 } }\n"] {
        for draw in [sine, square, "draw_w = 250"] {
            let power = format!("power = {{ {draw}, refresh_ms = 100, window_ms = 100, energy_refresh_ms = 0 }}\n");
            let recorded = recorded(&format!("[[gpu]]\nprocess = []\n{power}{ring}"), &default_metrics(), 30.0);
            recorded.check_energy(EnergySource::Integrated, REFRESH);
        }
    }
}

#[test]
fn without_energy_in_the_recording_power_is_summed_up() {
    let metrics = [Metric::POWER_INSTANT, Metric::CLOCKS_EVENT_REASONS];
    let recorded = recorded(SQUARE, &metrics, 30.0);
    // Each value is of the refresh before, and is seen a poll later.
    recorded.check_energy(EnergySource::PowerInstant, 2.0 * REFRESH);
    let throttling = recorded.gpu().throttling.as_ref().unwrap();
    assert_eq!(throttling.source, ThrottlingSource::Reasons);
    close(throttling.any_s, 30.0, 0.1);
    close(throttling.causes_s.get("sw_power_cap").copied(), 30.0, 0.1);
    assert_eq!(throttling.causes_s["hw_slowdown"], 0.0);
}

#[test]
fn nothing_is_known_of_a_gpu_that_is_lost() {
    let toml = "[[gpu]]\nprocess = []\n\
        power = { draw_w = 250 }\nutilization = { gpu_percent = 50, memory_percent = 20 }\nclocks_event_reasons = 64\n\
        [[gpu_lost]]\ngpu = 0\nfrom_s = 17\nuntil_s = 27\n";
    let recorded = recorded(toml, &[Metric::UTILIZATION_GPU, Metric::ENERGY, Metric::CLOCKS_EVENT_REASONS], 40.0);
    let gpu = recorded.gpu();
    assert_eq!((gpu.events.gpu_lost, gpu.events.gpu_recovered), (1, 1));
    // What was lost for 10 s and until it is looked at again has the same values after: they count from there on.
    let known = gpu.utilization.as_ref().unwrap().covered_s;
    assert!((28.0..=30.2).contains(&known), "{known} s");
    assert_eq!(gpu.throttling.as_ref().unwrap().any_s.map(|any| (any - known).abs() < 0.3), Some(true));
    close(gpu.power_mean_w, 250.0, 2.0);
    let energy = gpu.energy.as_ref().unwrap();
    assert!((28.0..=30.2).contains(&energy.covered_s), "{} s", energy.covered_s);
    // The counter went on.
    close(Some(energy.energy_j), recorded.joules(), 250.0 * REFRESH);
}
