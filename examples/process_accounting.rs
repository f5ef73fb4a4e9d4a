//! Who used the GPUs: for each process the most GPU memory that it held, and how much of the SMs it used, with its owner.
//!
//! Process lists take the driver's locks, so that they are read once a second and only where they are asked for.
//!
//! `cargo run --release --example process_accounting` with a driver, on the simulator with `-- --simulate` (whose
//! processes are this one and its parent); 5 seconds, or as many as `-- 60` says.

mod support;

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use igpu::{
    metric::Metric,
    process::ProcessInfo,
    sampler::{Sampler, monotonic},
};

/// What a process used of one GPU.
#[derive(Default)]
struct Account {
    owner: ProcessInfo,
    most_bytes: f64,
    /// The sum of the samples of its SM utilisation in percent, and how many.
    sm: (f64, u32),
}

fn main() -> support::Result {
    let (nvml, seconds) = support::arguments(5.0)?;
    let mut sampler = Sampler::builder(&nvml).metrics(&[Metric::PROCESS_MEMORY, Metric::PROCESS_SM]).build()?;
    // Names from LDAP and the like: asked once, before the loop.
    igpu::process::resolve_users();
    let mut accounts = BTreeMap::<(u16, u32), Account>::new();
    let end = monotonic() + (seconds * 1e9) as u64;
    while monotonic() < end {
        let frame = sampler.tick(monotonic());
        for record in frame.records() {
            let (Some(pid), Some(metric)) = (record.pid(), record.metric()) else { continue };
            let account = accounts.entry((record.gpu, pid)).or_default();
            if metric == Metric::PROCESS_SM {
                account.sm = (account.sm.0 + record.value, account.sm.1 + 1);
            } else {
                account.most_bytes = account.most_bytes.max(record.value);
            }
            if let Some(owner) = frame.process_info(pid) {
                account.owner.clone_from(owner);
            }
        }
        let wake = sampler.next_due().min(end);
        sleep(Duration::from_nanos(wake.saturating_sub(monotonic())));
    }
    println!("{:>3} {:>8} {:16} {:24} {:>12} {:>8}", "GPU", "pid", "user", "name", "most memory", "mean SM");
    for ((gpu, pid), Account { owner, most_bytes, sm: (sum, count) }) in accounts {
        let text = |text: Option<&str>| text.unwrap_or("?").to_owned();
        let (user, name) = (text(owner.user.as_deref()), text(owner.name.as_deref()));
        let (memory, sm) = (most_bytes / 1048576.0, sum / f64::from(count.max(1)));
        println!("{gpu:>3} {pid:>8} {user:16} {name:24} {memory:>8.0} MiB {sm:>6.1} %");
    }
    Ok(())
}
