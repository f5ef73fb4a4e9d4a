//! Process lists: igpu fills a list that was allocated before, the direct call fills a buffer of the exact size, and
//! `nvml-wrapper` queries the count and fills a new `Vec`.

use super::case::{Case, timed};
use super::{Clients, assert_success};
use igpu::ProcessList;
use nvml_sys as sys;
use nvml_wrapper::enums::device::UsedGpuMemory;

/// The index of a GPU, its number of processes, and the names of its two cases.
const GPUS: [(u32, usize, &str, &str); 3] = [
    (2, 1, "compute_processes, 1", "compute_processes, 1, entries not read"),
    (3, 16, "compute_processes, 16", "compute_processes, 16, entries not read"),
    (4, 256, "compute_processes, 256", "compute_processes, 256, entries not read"),
];

/// Returns the cases: lists of 1, 16, and 256 processes, with and without reading the PID and the memory of every
/// entry.
pub(crate) fn cases(clients: &Clients) -> Vec<Case> {
    let cases = GPUS.into_iter().flat_map(|(gpu, size, name, unread)| {
        [read_entries(clients, gpu, size, name), count_entries(clients, gpu, size, unread)]
    });
    cases.chain([unknown_stride()]).collect()
}

/// A host that has had at most one process on a GPU. igpu then does not know the size of the driver's entries, and
/// searches the whole buffer for what the driver has written. This case loads another driver, because the entry size of
/// the driver of the other cases is known.
fn unknown_stride() -> Case {
    let clients =
        Clients::load_scenario("[[gpu]]\n[[gpu]]\n[[gpu]]\n[[gpu.process]]\npid = 4000001\nmemory_mib = 300\n");
    let gpu = clients.gpu(2);
    let mut list = ProcessList::with_capacity(ProcessList::RECOMMENDED_CAPACITY);
    let igpu_call = timed(move || {
        gpu.compute_processes(&mut list).unwrap();
        list.len()
    });
    let mut call = direct_call(&clients, 2, ProcessList::RECOMMENDED_CAPACITY);
    let gpu = clients.wrapper_device(2);
    let wrapper = timed(move || gpu.running_compute_processes().unwrap().len());
    Case::new("compute_processes, 1, unknown stride", igpu_call, timed(move || call().len())).wrapper(wrapper)
}

fn read_entries(clients: &Clients, index: u32, size: usize, name: &'static str) -> Case {
    let gpu = clients.gpu(index);
    let mut list = ProcessList::with_capacity(size);
    let igpu_call = timed(move || {
        gpu.compute_processes(&mut list).unwrap();
        list.iter().fold((0, 0u64), |sum, process| {
            (sum.0 ^ process.pid, sum.1.wrapping_add(process.used_gpu_memory_bytes.unwrap_or_default()))
        })
    });
    let mut call = direct_call(clients, index, size);
    let raw = timed(move || {
        call().iter().fold((0, 0u64), |sum, process| {
            let memory = if process.usedGpuMemory == u64::MAX { 0 } else { process.usedGpuMemory };
            (sum.0 ^ process.pid, sum.1.wrapping_add(memory))
        })
    });
    let gpu = clients.wrapper_device(index);
    let wrapper = timed(move || {
        gpu.running_compute_processes().unwrap().iter().fold((0, 0u64), |sum, process| {
            let UsedGpuMemory::Used(memory) = process.used_gpu_memory else { return sum };
            (sum.0 ^ process.pid, sum.1.wrapping_add(memory))
        })
    });
    Case::new(name, igpu_call, raw).wrapper(wrapper)
}

fn count_entries(clients: &Clients, index: u32, size: usize, name: &'static str) -> Case {
    let gpu = clients.gpu(index);
    let mut list = ProcessList::with_capacity(size);
    let igpu_call = timed(move || {
        gpu.compute_processes(&mut list).unwrap();
        list.len()
    });
    let mut call = direct_call(clients, index, size);
    let gpu = clients.wrapper_device(index);
    let wrapper = timed(move || gpu.running_compute_processes().unwrap().len());
    Case::new(name, igpu_call, timed(move || call().len())).wrapper(wrapper)
}

/// Returns the direct call with a buffer of the exact size.
fn direct_call(
    clients: &Clients,
    index: u32,
    size: usize,
) -> impl FnMut() -> &'static [sys::nvmlProcessInfo_t] + 'static {
    let (gpu, function) = (clients.gpu(index).handle(), clients.raw.nvmlDeviceGetComputeRunningProcesses_v3.unwrap());
    let buffer = vec![sys::nvmlProcessInfo_t::default(); size].leak().as_mut_ptr();
    move || {
        let mut count = size as u32;
        // SAFETY: NVML remains initialized, because `Clients::load` leaks a handle; the buffer has `size` entries and
        // is never freed; the callers do not use the slice after the next call.
        unsafe {
            assert_success(function(gpu, &mut count, buffer));
            std::slice::from_raw_parts(buffer, count as usize)
        }
    }
}
