//! Compares the time of calls through igpu and through `nvml-wrapper` with the time of direct driver calls.
//!
//! The clients alternate in blocks of about 40 µs, and all orders of the clients are equally frequent. The result is
//! the median of the ratios of all rounds, so that a brief disturbance affects all clients of a round or is an outlier.
//!
//! ```sh
//! cargo bench --bench ratio                            # all cases, as a Markdown table
//! cargo bench --bench ratio -- compute_processes       # the cases whose names contain this text
//! cargo bench --bench ratio -- --rounds 3000 power_usage
//! cargo bench --bench ratio -- --rate                  # values per second, in loops of one second on one core
//! cargo bench --bench ratio -- --test                  # checks results and allocations, without timing
//! cargo bench --bench ratio -- --only power_usage igpu 1000      # one case, client, and number of calls
//! ```
//!
//! `benches/instructions` uses `--only`.

#[path = "support/allocations.rs"]
mod allocations;
mod support;

use std::time::{Duration, Instant};

use allocations::CountingAllocator;
use support::case::{Case, Timed};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The duration of one client's block of calls. It is short, so that a disturbance rarely affects only one client.
const BLOCK_DURATION: Duration = Duration::from_micros(40);
/// All orders of three clients, so that no client benefits from its position.
const CLIENT_ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 0, 2], [0, 2, 1]];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--only", name, client, calls] => run_single(name, client, calls.parse().unwrap()),
        ["--test", ..] => check_cases(),
        ["--rate", ..] => print_read_rates(),
        ["--rounds", rounds, ref filter @ ..] => print_ratios(rounds.parse().unwrap(), filter),
        ref filter => print_ratios(600, filter),
    }
}

/// Runs one client of one case.
fn run_single(name: &str, client: &str, calls: u64) {
    let groups = support::Clients::load().cases();
    let mut case = groups.into_iter().flat_map(|group| group.1).find(|case| case.name == name).expect("no such case");
    case.clients().into_iter().find(|(name, _)| *name == client).expect("no such client").1.run(calls);
}

/// Checks that all clients return the same values, that the number of igpu's driver calls is within its limits, and
/// that igpu does not allocate.
fn check_cases() {
    let clients = support::Clients::load();
    support::gpu_info::check_calls(&clients);
    let mut count = 0;
    for mut case in clients.cases().into_iter().flat_map(|group| group.1) {
        case.check();
        assert_eq!(allocations::during(|| case.igpu.run(10)), 0, "{} allocates", case.name);
        count += 1;
        if let Some(wrapper) = &mut case.wrapper
            && case.name.starts_with("compute_processes")
        {
            // The documentation states this number. The check fails if a new version of nvml-wrapper changes it.
            assert_eq!(allocations::during(|| wrapper.run(10)), 10 * WRAPPER_LIST_ALLOCATIONS, "{}", case.name);
        }
    }
    println!("{count} cases: all clients return the same values, and igpu does not allocate");
}

/// The number of allocations of `nvml-wrapper` for a process list, in the version in `Cargo.lock`.
const WRAPPER_LIST_ALLOCATIONS: u64 = 2;

/// Prints the number of values that each client reads per second in a loop; the best of three runs.
fn print_read_rates() {
    println!("| case | values per call | raw, values/s | igpu, values/s | nvml-wrapper, values/s |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let groups = support::Clients::load().cases();
    for mut case in groups.into_iter().flat_map(|group| group.1).filter(|case| case.values_per_call > 1) {
        case.check();
        let values = case.values_per_call;
        let mut best = [0.0_f64; 3];
        for _ in 0..3 {
            for (best, (_, client)) in best.iter_mut().zip(case.clients()) {
                let (start, mut calls) = (Instant::now(), 0);
                while start.elapsed() < Duration::from_secs(1) {
                    client.run(100);
                    calls += 100;
                }
                *best = best.max((calls * values) as f64 / start.elapsed().as_secs_f64());
            }
        }
        let [igpu, raw, wrapper] = best;
        let wrapper = if case.wrapper.is_some() { format!("{wrapper:.0}") } else { String::new() };
        println!("| {} | {values} | {raw:.0} | {igpu:.0} | {wrapper} |", case.name);
    }
}

/// The measured values of a case.
struct RatioRow {
    raw_ns: f64,
    /// The time of igpu divided by that of the direct call.
    igpu_ratio: f64,
    /// The time of `nvml-wrapper` divided by that of the direct call.
    wrapper_ratio: Option<f64>,
}

fn print_ratios(rounds: usize, filter: &[&str]) {
    let clients = support::Clients::load();
    let is_selected = |case: &Case| filter.is_empty() || filter.iter().any(|text| case.name.contains(text));
    println!(
        "| case | raw, ns | igpu, ns | igpu / raw | allocations | nvml-wrapper, ns | nvml-wrapper / raw | allocations |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut groups = Vec::new();
    for (group, cases) in clients.cases() {
        let mut rows = Vec::new();
        for mut case in cases.into_iter().filter(is_selected) {
            case.check();
            rows.push(measure_case(&mut case, rounds));
        }
        groups.push((group, rows));
    }
    println!();
    println!("| group (cases) | igpu / raw: median | min | max | nvml-wrapper / raw: median | min | max |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (group, rows) in groups.iter().filter(|(_, rows)| !rows.is_empty()) {
        let igpu = median_min_max(rows.iter().map(|row| row.igpu_ratio));
        let wrapper = median_min_max(rows.iter().filter_map(|row| row.wrapper_ratio));
        println!("| {group} ({}) | {igpu} | {wrapper} |", rows.len());
    }
}

/// Measures a case and prints its row.
fn measure_case(case: &mut Case, rounds: usize) -> RatioRow {
    let calls = calls_per_block(&mut case.raw);
    let allocations: Vec<u64> =
        case.clients().into_iter().map(|(_, client)| allocations::during(|| client.run(10)).div_ceil(10)).collect();
    let mut clients: Vec<&mut Timed> = case.clients().into_iter().map(|(_, client)| client).collect();
    let mut times = vec![Vec::with_capacity(rounds); clients.len()];
    for round in 0..rounds {
        for client in CLIENT_ORDERS[round % CLIENT_ORDERS.len()] {
            let Some(timed) = clients.get_mut(client) else { continue };
            let start = Instant::now();
            timed.run(calls);
            times[client].push(start.elapsed().as_nanos() as f64 / calls as f64);
        }
    }
    let ratio = |client: usize| -> f64 { median(times[client].iter().zip(&times[1]).map(|(time, raw)| time / raw)) };
    let row = RatioRow {
        raw_ns: median(times[1].iter().copied()),
        igpu_ratio: ratio(0),
        wrapper_ratio: (times.len() > 2).then(|| ratio(2)),
    };
    let (name, igpu_ns) = (case.name, median(times[0].iter().copied()));
    print!("| {name} | {:.1} | {igpu_ns:.1} | {:.3} | {} |", row.raw_ns, row.igpu_ratio, allocations[0]);
    match row.wrapper_ratio {
        Some(ratio) => {
            println!(" {:.1} | {ratio:.3} | {} |", median(times[2].iter().copied()), allocations[2]);
        }
        None => println!(" | | |"),
    }
    row
}

/// Returns the number of calls that take [`BLOCK_DURATION`].
fn calls_per_block(raw: &mut Timed) -> u64 {
    raw.run(50);
    let start = Instant::now();
    raw.run(50);
    let call_duration = start.elapsed() / 50;
    (BLOCK_DURATION.as_nanos() / call_duration.as_nanos().max(1)).clamp(1, 2000) as u64
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}

fn median_min_max(values: impl Iterator<Item = f64>) -> String {
    let values = sorted(values);
    match (values.first(), values.last()) {
        (Some(min), Some(max)) => format!("{:.3} | {min:.3} | {max:.3}", values[values.len() / 2]),
        _ => " | | ".into(),
    }
}
