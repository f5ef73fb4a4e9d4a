//! A process that holds a CUDA context stands in the GPU's process list.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use igpu::{Device, GpuInfo, ProcessList, RunningProcess};

use crate::{cuda::CudaAllocation, driver, gpu_label, gpus};

const MIB: u64 = 1 << 20;
/// More than a bare context could vary by, and less than any GPU has.
const ALLOCATION_BYTES: u64 = 256 * MIB;
/// The driver may tell of a process a moment after its context was made.
const LISTING_TIMEOUT: Duration = Duration::from_secs(5);

/// Which entry is ours: that of our pid; or, where the driver counts pids as the host of a container does, the one that
/// was not there before and holds as much as we took. The bool says that it is by pid.
fn ours(before: &[RunningProcess], now: &[RunningProcess], pid: u32) -> Option<(RunningProcess, bool)> {
    if let Some(entry) = now.iter().find(|entry| entry.pid == pid) {
        return Some((*entry, true));
    }
    let is_new = |entry: &&RunningProcess| before.iter().all(|old| old.pid != entry.pid);
    let mut candidates = now
        .iter()
        .filter(is_new)
        .filter(|entry| entry.used_gpu_memory_bytes.is_none_or(|held| held >= ALLOCATION_BYTES));
    let first = candidates.next()?;
    candidates.next().is_none().then_some((*first, false))
}

fn listed(gpu: &Device) -> Vec<RunningProcess> {
    let mut list = ProcessList::with_capacity(1024);
    gpu.compute_processes(&mut list).unwrap_or_else(|error| panic!("{}: {error}", gpu_label(gpu)));
    list.iter().collect()
}

/// CUDA writes the PCI domain in four digits, NVML in eight.
fn same_place(nvml: &str, cuda: &str) -> bool {
    nvml.to_ascii_lowercase().ends_with(&cuda.to_ascii_lowercase())
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn own_process_is_listed() {
    let nvml = driver();
    let gpus = gpus(&nvml);
    let before: Vec<_> = gpus.iter().map(listed).collect();
    let memory_before: Vec<_> = gpus.iter().map(|gpu| gpu.memory_info().ok()).collect();
    let held = match CudaAllocation::take(ALLOCATION_BYTES as usize) {
        Ok(Some(held)) => held,
        Ok(None) => return println!("skipped: there is no libcuda.so.1 on this machine"),
        Err(why) => panic!("{why}"),
    };
    let place = gpus
        .iter()
        .position(|gpu| gpu.pci_info().is_ok_and(|pci| same_place(&pci.bus_id, &held.pci_bus_id)))
        .unwrap_or_else(|| panic!("CUDA's first GPU is at {}, where NVML has none", held.pci_bus_id));
    let (gpu, before) = (&gpus[place], &before[place]);
    let begun = Instant::now();
    let (entry, by_pid) = loop {
        let now = listed(gpu);
        if let Some(found) = ours(before, &now, std::process::id()) {
            break found;
        }
        assert!(
            begun.elapsed() < LISTING_TIMEOUT,
            "{}: pid {} is not among {now:?}",
            gpu_label(gpu),
            std::process::id()
        );
        sleep(Duration::from_millis(20));
    };
    println!("{}: {entry:?}, {:.0} ms after the context", gpu_label(gpu), begun.elapsed().as_secs_f64() * 1e3);
    assert!(entry.used_gpu_memory_bytes.is_none_or(|held| held >= ALLOCATION_BYTES), "{entry:?}");
    let memory = gpu.memory_info().ok();
    println!("memory before {:?}, now {memory:?}", memory_before[place]);
    assert!(memory.is_none_or(|memory| memory.used_bytes >= ALLOCATION_BYTES), "{memory:?}");
    if by_pid {
        named(&GpuInfo::new(&nvml, place as u32, 1024).unwrap());
    } else {
        println!(
            "the driver counts pids as the host does: we are its {}, and in here {}",
            entry.pid,
            std::process::id()
        );
    }
    drop(held);
    let gone = (0..100).any(|_| {
        sleep(Duration::from_millis(20));
        listed(gpu).iter().all(|left| left.pid != entry.pid)
    });
    println!("the entry {} when the context was given back", if gone { "went" } else { "stayed for 2 s" });
}

/// `GpuInfo` knows whose process it is.
fn named(info: &GpuInfo) {
    let process = info.processes.iter().find(|process| process.pid == std::process::id()).expect("our process");
    println!("{process:?}");
    assert!(process.name.is_some_and(|name| name.starts_with("hardware")), "{process:?}");
    assert!(process.user.is_some() && process.create_time.is_some(), "{process:?}");
    assert_eq!(process.parent_pid, Some(std::os::unix::process::parent_id()));
}

#[test]
fn own_entry_is_found() {
    let entry = |pid, mib: Option<u64>| RunningProcess {
        pid,
        used_gpu_memory_bytes: mib.map(|mib| mib * MIB),
        gpu_instance_id: None,
        compute_instance_id: None,
    };
    let old = [entry(7, Some(5000))];
    let found = |now: &[RunningProcess]| ours(&old, now, 42).map(|(entry, by_pid)| (entry.pid, by_pid));
    assert_eq!(found(&[old[0], entry(42, Some(300))]), Some((42, true)));
    assert_eq!(found(&[old[0], entry(9, Some(300))]), Some((9, false)));
    assert_eq!(found(&[old[0], entry(9, Some(300)), entry(10, Some(20))]), Some((9, false)));
    assert_eq!(found(&[old[0]]), None);
    assert_eq!(found(&[old[0], entry(9, Some(20))]), None);
    // Two that could be ours are no proof.
    assert_eq!(found(&[entry(9, Some(300)), entry(10, None)]), None);
    assert!(same_place("00000000:1A:00.0", "0000:1a:00.0") && !same_place("00000000:1A:00.0", "0000:1b:00.0"));
}
