//! Test that a process with a CUDA context is in the GPU's process list.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use igpu::{Device, GpuInfo, ProcessList, RunningProcess};

use crate::{cuda::CudaAllocation, driver, gpu_label, gpus};

const MIB: u64 = 1 << 20;
/// The allocated GPU memory. It is larger than the variation in the size of a context, and smaller than any GPU's
/// memory.
const ALLOCATION_BYTES: u64 = 256 * MIB;
/// The time within which the process is listed. The driver may list it some time after the context was created.
const LISTING_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the entry of this process in a process list.
///
/// It is the entry with this process's pid. In a container, the driver may report pids of the host. In this case it is
/// the only new entry with at least the allocated memory. The `bool` is `true` if the entry was found by its pid.
fn own_entry(before: &[RunningProcess], now: &[RunningProcess], pid: u32) -> Option<(RunningProcess, bool)> {
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

/// Compares PCI bus ids. CUDA writes the domain with four digits, NVML with eight.
fn same_bus_id(nvml: &str, cuda: &str) -> bool {
    nvml.to_ascii_lowercase().ends_with(&cuda.to_ascii_lowercase())
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn own_process_is_listed() {
    let nvml = driver();
    let gpus = gpus(&nvml);
    let before: Vec<_> = gpus.iter().map(listed).collect();
    let memory_before: Vec<_> = gpus.iter().map(|gpu| gpu.memory_info().ok()).collect();
    let allocation = match CudaAllocation::new(ALLOCATION_BYTES as usize) {
        Ok(Some(allocation)) => allocation,
        Ok(None) => return println!("skipped: there is no libcuda.so.1 on this machine"),
        Err(error) => panic!("{error}"),
    };
    let index = gpus
        .iter()
        .position(|gpu| gpu.pci_info().is_ok_and(|pci| same_bus_id(&pci.bus_id, &allocation.pci_bus_id)))
        .unwrap_or_else(|| panic!("NVML has no GPU at {}, the bus id of CUDA's first GPU", allocation.pci_bus_id));
    let (gpu, before) = (&gpus[index], &before[index]);
    let begun = Instant::now();
    let (entry, by_pid) = loop {
        let now = listed(gpu);
        let pid = std::process::id();
        if let Some(found) = own_entry(before, &now, pid) {
            break found;
        }
        assert!(begun.elapsed() < LISTING_TIMEOUT, "{}: pid {pid} is not in the list {now:?}", gpu_label(gpu));
        sleep(Duration::from_millis(20));
    };
    println!("{}: {entry:?}, {:.0} ms after the context", gpu_label(gpu), begun.elapsed().as_secs_f64() * 1e3);
    assert!(entry.used_gpu_memory_bytes.is_none_or(|held| held >= ALLOCATION_BYTES), "{entry:?}");
    let memory = gpu.memory_info().ok();
    println!("memory before {:?}, now {memory:?}", memory_before[index]);
    assert!(memory.is_none_or(|memory| memory.used_bytes >= ALLOCATION_BYTES), "{memory:?}");
    if by_pid {
        check_process_info(&GpuInfo::new(&nvml, index as u32, 1024).unwrap());
    } else {
        println!("the driver reports pids of the host: {} is pid {} in this container", entry.pid, std::process::id());
    }
    drop(allocation);
    let is_removed = (0..100).any(|_| {
        sleep(Duration::from_millis(20));
        listed(gpu).iter().all(|other| other.pid != entry.pid)
    });
    println!("the entry was {} after the context was released", if is_removed { "removed" } else { "listed for 2 s" });
}

/// Checks that `GpuInfo` contains the name, user, and parent of this process.
fn check_process_info(info: &GpuInfo) {
    let process = info.processes.iter().find(|process| process.pid == std::process::id()).expect("this process");
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
    let found = |now: &[RunningProcess]| own_entry(&old, now, 42).map(|(entry, by_pid)| (entry.pid, by_pid));
    assert_eq!(found(&[old[0], entry(42, Some(300))]), Some((42, true)));
    assert_eq!(found(&[old[0], entry(9, Some(300))]), Some((9, false)));
    assert_eq!(found(&[old[0], entry(9, Some(300)), entry(10, Some(20))]), Some((9, false)));
    assert_eq!(found(&[old[0]]), None);
    assert_eq!(found(&[old[0], entry(9, Some(20))]), None);
    // With two candidates, the entry is ambiguous.
    assert_eq!(found(&[entry(9, Some(300)), entry(10, None)]), None);
    assert!(same_bus_id("00000000:1A:00.0", "0000:1a:00.0") && !same_bus_id("00000000:1A:00.0", "0000:1b:00.0"));
}
