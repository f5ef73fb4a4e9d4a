//! How much longer a reading takes by igpu, and by `nvml-wrapper`, than by the bare call of the driver.
//!
//! The clients take turns in blocks of some 40 µs, every order of turns equally often, and the number is the median of
//! each round's ratio: what slows the machine for a moment strikes all of them or is outvoted.
//!
//! ```sh
//! cargo bench --bench ratio                            # all, as a table in Markdown
//! cargo bench --bench ratio -- compute_processes       # those with this in their name
//! cargo bench --bench ratio -- --rounds 3000 power_usage
//! cargo bench --bench ratio -- --rate                  # metric reads a second, in loops of one second on one core
//! cargo bench --bench ratio -- --test                  # asserts that all is right, and what allocates; no times
//! cargo bench --bench ratio -- --only power_usage igpu 1000      # runs that and nothing else, for benches/instructions
//! ```

#[path = "support/allocations.rs"]
mod allocations;
mod support;

use std::time::{Duration, Instant};

use allocations::CountingAllocator;
use support::case::{Case, Timed};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// How long one client's turn is.
const BLOCK_DURATION: Duration = Duration::from_micros(40);
/// The orders of three, so that none is always first or always behind the same.
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

/// Runs one client and nothing beside it.
fn run_single(name: &str, client: &str, calls: u64) {
    let groups = support::Clients::load().cases();
    let mut case = groups.into_iter().flat_map(|group| group.1).find(|case| case.name == name).expect("no such case");
    case.clients().into_iter().find(|(known, _)| *known == client).expect("no such client").1.run(calls);
}

/// That all clients agree, that igpu keeps to its driver calls, and that it does not allocate.
fn check_cases() {
    let clients = support::Clients::load();
    support::gpu_info::check_calls(&clients);
    let mut count = 0;
    for mut case in clients.cases().into_iter().flat_map(|group| group.1) {
        case.check();
        assert_eq!(allocations::during(|| case.ours.run(10)), 0, "{} allocates", case.name);
        count += 1;
        if let Some(wrapper) = &mut case.wrapper
            && case.name.starts_with("compute_processes")
        {
            // nvml-wrapper: as it is when this is written, so that the README's number is true.
            assert_eq!(allocations::during(|| wrapper.run(10)), 10 * WRAPPER_LIST_ALLOCATIONS, "{}", case.name);
        }
    }
    println!("{count} cases are right, and igpu allocates in none");
}

/// How often `nvml-wrapper` allocates for a process list.
const WRAPPER_LIST_ALLOCATIONS: u64 = 2;

/// How many metrics each client reads in a second when it does nothing else; the best of three turns.
fn print_read_rates() {
    println!("| case | metrics | raw, reads/s | igpu, reads/s | nvml-wrapper, reads/s |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let groups = support::Clients::load().cases();
    for mut case in groups.into_iter().flat_map(|group| group.1).filter(|case| case.reads > 1) {
        case.check();
        let metrics = case.reads;
        let mut best = [0.0_f64; 3];
        for _ in 0..3 {
            for (best, (_, client)) in best.iter_mut().zip(case.clients()) {
                let (start, mut calls) = (Instant::now(), 0);
                while start.elapsed() < Duration::from_secs(1) {
                    client.run(100);
                    calls += 100;
                }
                *best = best.max((calls * metrics) as f64 / start.elapsed().as_secs_f64());
            }
        }
        let [ours, raw, wrapper] = best;
        let wrapper = if case.wrapper.is_some() { format!("{wrapper:.0}") } else { String::new() };
        println!("| {} | {metrics} | {raw:.0} | {ours:.0} | {wrapper} |", case.name);
    }
}

/// One line of the table.
struct RatioRow {
    raw_ns: f64,
    ours: f64,
    wrapper: Option<f64>,
}

fn print_ratios(rounds: usize, filter: &[&str]) {
    let clients = support::Clients::load();
    let named = |case: &Case| filter.is_empty() || filter.iter().any(|word| case.name.contains(word));
    println!(
        "| call | raw, ns | igpu, ns | igpu / raw | allocations | nvml-wrapper, ns | nvml-wrapper / raw | allocations |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut sums = Vec::new();
    for (group, cases) in clients.cases() {
        let mut lines = Vec::new();
        for mut case in cases.into_iter().filter(named) {
            case.check();
            lines.push((case.name, measure_case(&mut case, rounds)));
        }
        sums.push((group, lines));
    }
    println!();
    println!("| group | igpu / raw: median | min | max | nvml-wrapper / raw: median | min | max |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (group, lines) in sums.iter().filter(|(_, lines)| !lines.is_empty()) {
        let ours = median_min_max(lines.iter().map(|(_, line)| line.ours));
        let wrapper = median_min_max(lines.iter().filter_map(|(_, line)| line.wrapper));
        println!("| {group} ({}) | {ours} | {wrapper} |", lines.len());
    }
}

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
    let ratio = |client: usize| -> f64 { median(times[client].iter().zip(&times[1]).map(|(its, raw)| its / raw)) };
    let line = RatioRow {
        raw_ns: median(times[1].iter().copied()),
        ours: ratio(0),
        wrapper: (times.len() > 2).then(|| ratio(2)),
    };
    let (name, ours) = (case.name, median(times[0].iter().copied()));
    print!("| {name} | {:.1} | {ours:.1} | {:.3} | {} |", line.raw_ns, line.ours, allocations[0]);
    match line.wrapper {
        Some(wrapper) => {
            println!(" {:.1} | {wrapper:.3} | {} |", median(times[2].iter().copied()), allocations[2]);
        }
        None => println!(" | | |"),
    }
    line
}

/// How many calls fill a turn.
fn calls_per_block(raw: &mut Timed) -> u64 {
    raw.run(50);
    let start = Instant::now();
    raw.run(50);
    let one = start.elapsed() / 50;
    (BLOCK_DURATION.as_nanos() / one.as_nanos().max(1)).clamp(1, 2000) as u64
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
