//! Criterion benchmarks of the getters of `Device`, `GpuInfo`, and `ProcReader`, and of the sampler, compared with
//! direct driver calls and with `nvml-wrapper`.
//!
//! To measure differences of a few percent, use the bench `ratio`, which alternates the clients.
//!
//! ```sh
//! cargo bench --bench device
//! cargo bench --bench device -- scalars/power_usage
//! ```

mod support;

use criterion::{Criterion, Throughput};
use std::time::{Duration, Instant};

fn main() {
    let clients = support::Clients::load();
    support::gpu_info::check_calls(&clients);
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(150))
        .configure_from_args();
    for (group, cases) in clients.cases() {
        for mut case in cases {
            case.check();
            let mut criterion_group = criterion.benchmark_group(format!("{group}/{}", case.name));
            if case.values_per_call > 1 {
                criterion_group.throughput(Throughput::Elements(case.values_per_call));
            }
            for (client, timed) in case.clients() {
                criterion_group.bench_function(client, |bencher| {
                    bencher.iter_custom(|calls| {
                        let start = Instant::now();
                        timed.run(calls);
                        start.elapsed()
                    });
                });
            }
            criterion_group.finish();
        }
    }
    criterion.final_summary();
}
