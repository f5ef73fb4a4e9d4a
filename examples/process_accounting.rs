//! Prints the GPU use of each process: its maximum GPU memory, its mean SM utilization, and its user and name.
//!
//! For administrators of shared hosts who account GPU use to users.
//!
//! ```sh
//! cargo run --release --example process_accounting                    # on the GPUs of this host, for 5 s
//! cargo run --release --example process_accounting -- --simulate 10   # on the simulator, for 10 s
//! ```
//!
//! The processes of the simulator are the example itself and its parent.
//!
//! By default, the sampler does not read process metrics, because their driver calls are expensive. If they are
//! selected, as here, it reads them once a second.

mod support;

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use igpu::{
    metric::Metric,
    process::ProcessInfo,
    sampler::{Sampler, monotonic},
};

/// The use of one GPU by one process.
#[derive(Default)]
struct Usage {
    process: ProcessInfo,
    max_memory_bytes: f64,
    /// The sum of the samples of SM utilization, in percent.
    sm_percent_sum: f64,
    sm_sample_count: u32,
}

fn main() -> support::Result {
    let (nvml, seconds) = support::arguments(5.0)?;
    let mut sampler = Sampler::builder(&nvml).metrics(&[Metric::PROCESS_MEMORY, Metric::PROCESS_SM]).build()?;
    // User names from LDAP and similar services need a slow lookup, which the sampler does not make.
    igpu::process::resolve_users();
    let mut usages = BTreeMap::<(u16, u32), Usage>::new();
    let end = monotonic() + (seconds * 1e9) as u64;
    while monotonic() < end {
        let frame = sampler.tick(monotonic());
        for record in frame.records() {
            let (Some(pid), Some(metric)) = (record.pid(), record.metric()) else { continue };
            let usage = usages.entry((record.gpu, pid)).or_default();
            if metric == Metric::PROCESS_SM {
                usage.sm_percent_sum += record.value;
                usage.sm_sample_count += 1;
            } else {
                usage.max_memory_bytes = usage.max_memory_bytes.max(record.value);
            }
            if let Some(process) = frame.process_info(pid) {
                usage.process.clone_from(process);
            }
        }
        let wake = sampler.next_due().min(end);
        sleep(Duration::from_nanos(wake.saturating_sub(monotonic())));
    }
    println!("{:>3} {:>8} {:16} {:24} {:>12} {:>8}", "GPU", "PID", "USER", "NAME", "MAX MEMORY", "MEAN SM");
    for ((gpu, pid), usage) in usages {
        let user = usage.process.user.as_deref().unwrap_or("N/A");
        let name = usage.process.name.as_deref().unwrap_or("N/A");
        let memory_mib = usage.max_memory_bytes / 1048576.0;
        let sm_percent = usage.sm_percent_sum / f64::from(usage.sm_sample_count.max(1));
        println!("{gpu:>3} {pid:>8} {user:16} {name:24} {memory_mib:>8.0} MiB {sm_percent:>6.1} %");
    }
    Ok(())
}
