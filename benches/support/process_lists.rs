//! Process lists: igpu into memory made once, the bare call into a buffer of the right size, `nvml-wrapper` into a new
//! `Vec` after asking for the count.

use super::case::{Case, timed};
use super::{Clients, assert_success};
use igpu::ProcessList;
use nvml_sys as sys;
use nvml_wrapper::enums::device::UsedGpuMemory;

/// Which GPU has how many processes.
const SIZES: [(u32, usize, &str, &str); 3] = [
    (2, 1, "compute_processes, 1", "compute_processes, 1, entries not read"),
    (3, 16, "compute_processes, 16", "compute_processes, 16, entries not read"),
    (4, 256, "compute_processes, 256", "compute_processes, 256, entries not read"),
];

/// Lists of 1, 16 and 256 processes, each with and without a look at the pid and the memory of every entry.
pub(crate) fn cases(clients: &Clients) -> Vec<Case> {
    let cases = SIZES.into_iter().flat_map(|(gpu, size, name, unread)| {
        [read_entries(clients, gpu, size, name), count_entries(clients, gpu, size, unread)]
    });
    cases.chain([unknown_stride()]).collect()
}

/// A machine that has had one process and no more: igpu does not know yet how wide the driver's entries are, and looks
/// for what it writes in room for [`ProcessList::RECOMMENDED_CAPACITY`]. A driver of its own, as the other one is known by now.
fn unknown_stride() -> Case {
    let clients =
        Clients::load_scenario("[[gpu]]\n[[gpu]]\n[[gpu]]\n[[gpu.process]]\npid = 4000001\nmemory_mib = 300\n");
    let gpu = clients.gpu(2);
    let mut list = ProcessList::with_capacity(ProcessList::RECOMMENDED_CAPACITY);
    let ours = timed(move || {
        gpu.compute_processes(&mut list).unwrap();
        list.len()
    });
    let mut call = direct_call(&clients, 2, ProcessList::RECOMMENDED_CAPACITY);
    let gpu = clients.wrapper_device(2);
    let wrapper = timed(move || gpu.running_compute_processes().unwrap().len());
    Case::new("compute_processes, 1, unknown stride", ours, timed(move || call().len())).wrapper(wrapper)
}

fn read_entries(clients: &Clients, index: u32, size: usize, name: &'static str) -> Case {
    let gpu = clients.gpu(index);
    let mut list = ProcessList::with_capacity(size);
    let ours = timed(move || {
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
    Case::new(name, ours, raw).wrapper(wrapper)
}

fn count_entries(clients: &Clients, index: u32, size: usize, name: &'static str) -> Case {
    let gpu = clients.gpu(index);
    let mut list = ProcessList::with_capacity(size);
    let ours = timed(move || {
        gpu.compute_processes(&mut list).unwrap();
        list.len()
    });
    let mut call = direct_call(clients, index, size);
    let gpu = clients.wrapper_device(index);
    let wrapper = timed(move || gpu.running_compute_processes().unwrap().len());
    Case::new(name, ours, timed(move || call().len())).wrapper(wrapper)
}

/// The bare call, by one whose buffer has just the right size.
fn direct_call(
    clients: &Clients,
    index: u32,
    size: usize,
) -> impl FnMut() -> &'static [sys::nvmlProcessInfo_t] + 'static {
    let (gpu, function) = (clients.gpu(index).handle(), clients.raw.nvmlDeviceGetComputeRunningProcesses_v3.unwrap());
    let buffer = vec![sys::nvmlProcessInfo_t::default(); size].leak().as_mut_ptr();
    move || {
        let mut count = size as u32;
        // SAFETY: NVML stays initialised (`Clients::load` leaks a handle); the buffer has room for
        // `size` entries, is never freed, and nobody looks at what an earlier call filled any more.
        unsafe {
            assert_success(function(gpu, &mut count, buffer));
            std::slice::from_raw_parts(buffer, count as usize)
        }
    }
}
