//! Tests of process lists in all versions and entry sizes, and of drivers with unusual lists.

use super::*;

fn entry(pid: u32, memory: Option<u64>, instances: Option<(u32, u32)>) -> RunningProcess {
    RunningProcess {
        pid,
        used_gpu_memory_bytes: memory,
        gpu_instance_id: instances.map(|ids| ids.0),
        compute_instance_id: instances.map(|ids| ids.1),
    }
}

/// Returns three processes of each kind: with all values, without memory, and without instances.
const MIXED: &str = "
    { pid = 7, memory_mib = 5, gpu_instance_id = 2, compute_instance_id = 3, kind = KIND }, { pid = 4294967295, memory_mib = 'unavailable', kind = KIND },
    { pid = 9, memory_mib = 0, kind = KIND },";

fn mixed() -> String {
    ["'compute'", "'graphics'", "'mps'"].map(|kind| MIXED.replace("KIND", kind)).concat()
}

#[test]
fn every_list_version_is_read() {
    let names = |version: &str| {
        ["Compute", "Graphics", "MPSCompute"]
            .map(|kind| format!("'nvmlDeviceGet{kind}RunningProcesses{version}'"))
            .join(",")
    };
    let third = String::new();
    let second = names("_v3");
    let first = format!("{},{}", names("_v3"), names("_v2"));
    for (hidden, stride, instances) in
        [(&third, 24, true), (&third, 32, true), (&second, 24, true), (&first, 24, false)]
    {
        let (driver, nvml) = sim_from_toml(&format!(
            "driver = {{ process_info_bytes = {stride}, missing_functions = [{hidden}] }}\n[[gpu]]\nprocess = [{}]",
            mixed()
        ));
        let gpu = nvml.device(0).unwrap();
        let expected = [
            entry(7, Some(5 * MIB), instances.then_some((2, 3))),
            entry(u32::MAX, None, None),
            entry(9, Some(0), None),
        ];
        for kind in [ProcessKind::Mps, ProcessKind::Compute, ProcessKind::Graphics] {
            for capacity in [3, 4, 7, ProcessList::RECOMMENDED_CAPACITY] {
                let mut list = ProcessList::with_capacity(capacity);
                gpu.processes(kind, &mut list).unwrap();
                assert_eq!(list.iter().collect::<Vec<_>>(), expected, "{kind} {stride} {hidden}");
                assert_eq!((list.len(), list.total(), list.capacity()), (3, 3, capacity));
            }
            let mut list = ProcessList::with_capacity(2);
            gpu.processes(kind, &mut list).unwrap();
            assert_eq!((list.len(), list.total(), list.is_empty()), (0, 3, true), "the driver writes no entries");
            let mut none = ProcessList::with_capacity(0);
            gpu.processes(kind, &mut none).unwrap();
            assert_eq!((none.len(), none.total(), none.iter().count()), (0, 3, 0));
        }
        let version = if hidden.is_empty() {
            "_v3"
        } else if *hidden == second {
            "_v2"
        } else {
            ""
        };
        let own = format!("nvmlDeviceGetComputeRunningProcesses{version}");
        driver.reset_counters();
        gpu.compute_processes(&mut ProcessList::with_capacity(9)).unwrap();
        assert_eq!((driver.calls(&own), driver.total_calls()), (1, 1), "one call, by the newest version");
    }
}

/// The entry size is detected if the first list has one process, hundreds, or none, or does not fit.
#[test]
fn stride_is_detected_from_first_list() {
    for stride in [24, 32] {
        for first in [0, 1, 2, 300, 2000] {
            let (driver, nvml) = sim_from_toml(&format!(
                "driver = {{ process_info_bytes = {stride} }}\n[[gpu]]
                process = [{{ pid = 50, memory_mib = 1, count = {first}, until_s = 1 }},
                           {{ pid = 5000, memory_mib = 2, count = 40, from_s = 1 }}]"
            ));
            let gpu = nvml.device(0).unwrap();
            let mut list = ProcessList::with_capacity(ProcessList::RECOMMENDED_CAPACITY);
            driver.set_time(Duration::ZERO);
            gpu.compute_processes(&mut list).unwrap();
            let fits = if first <= ProcessList::RECOMMENDED_CAPACITY { first } else { 0 };
            let expected: Vec<_> = (0..fits as u32).map(|nth| entry(50 + nth, Some(MIB), None)).collect();
            assert_eq!(list.iter().collect::<Vec<_>>(), expected, "{first} of width {stride}");
            assert_eq!(list.total(), first);
            driver.set_time(Duration::from_secs(2));
            gpu.compute_processes(&mut list).unwrap();
            let expected: Vec<_> = (0..40).map(|nth| entry(5000 + nth, Some(2 * MIB), None)).collect();
            assert_eq!(list.iter().collect::<Vec<_>>(), expected, "after {first} of width {stride}");
        }
    }
}

#[test]
fn growing_process_list_is_truncated() {
    let (driver, nvml) = sim_from_toml("[[gpu]]\nprocess = [{ pid = 10, memory_mib = 1, count = 3 }]");
    driver
        .add_faults("[[fault]]\nfunction = 'nvmlDeviceGetComputeRunningProcesses_v3'\nextra_processes_per_call = 2")
        .unwrap();
    let gpu = nvml.device(0).unwrap();
    let mut list = ProcessList::with_capacity(6);
    let counts: Vec<_> = (0..4)
        .map(|_| {
            gpu.compute_processes(&mut list).unwrap();
            (list.len(), list.total(), list.iter().count())
        })
        .collect();
    assert_eq!(counts, [(3, 3, 3), (5, 5, 5), (0, 7, 0), (0, 9, 0)]);
    driver.clear_faults();
    gpu.compute_processes(&mut list).unwrap();
    assert_eq!(list.iter().map(|it| it.pid).collect::<Vec<_>>(), [10, 11, 12]);
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetComputeRunningProcesses_v3'\nreturn = 3").unwrap();
    assert_eq!(error_code(gpu.compute_processes(&mut list)), ReturnCode::NOT_SUPPORTED);
    assert_eq!((list.len(), list.total()), (0, 0));
}

/// Loads a driver in which `list` replaces the compute process list.
type List = unsafe extern "C" fn(nvml_sys::nvmlDevice_t, *mut u32, *mut nvml_sys::nvmlProcessInfo_t) -> nvmlReturn_t;

fn with_list(driver: &SharedDriver, list: List) -> Nvml {
    let open = library(driver);
    let resolve = move |name: &CStr| match name.to_bytes() {
        b"nvmlDeviceGetComputeRunningProcesses_v3" => list as *const c_void,
        _ => symbol(open, name),
    };
    // SAFETY: the simulator's functions and `list` have the signatures in nvml.h.
    unsafe { Nvml::builder().resolver(resolve) }.load().unwrap()
}

/// Writes entries of a given size.
///
/// # Safety
/// `infos` must be writable for all entries.
unsafe fn fill<const WORDS: usize>(infos: *mut nvml_sys::nvmlProcessInfo_t, entries: u32) {
    for nth in 0..entries as usize {
        let words = [70 + nth as u64, 8 * MIB, u64::MAX, 0];
        // SAFETY: the caller guarantees that this entry is writable.
        unsafe { infos.cast::<u64>().add(nth * WORDS).copy_from_nonoverlapping(words.as_ptr(), WORDS) };
    }
}

/// Clears the whole buffer, and then writes two entries.
unsafe extern "C" fn clearing<const WORDS: usize>(
    _device: nvml_sys::nvmlDevice_t,
    count: *mut u32,
    infos: *mut nvml_sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    // SAFETY: the caller passes a valid count, and a buffer for this number of entries of the largest size.
    unsafe {
        infos.cast::<u64>().write_bytes(0, *count as usize * WORDS);
        *count = 2;
        fill::<WORDS>(infos, 2);
    }
    nvml_sys::NVML_SUCCESS
}

/// Fills the buffer with some of 100 processes, and returns NVML_ERROR_INSUFFICIENT_SIZE.
unsafe extern "C" fn filling<const WORDS: usize>(
    _device: nvml_sys::nvmlDevice_t,
    count: *mut u32,
    infos: *mut nvml_sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    // SAFETY: the caller passes a valid count, and a buffer for this number of entries of the largest size.
    unsafe {
        fill::<WORDS>(infos, (*count).min(100));
        let fits = *count >= 100;
        *count = 100;
        if fits { nvml_sys::NVML_SUCCESS } else { nvml_sys::NVML_ERROR_INSUFFICIENT_SIZE }
    }
}

/// Fills the whole buffer, and then reports `COUNT` entries. Succeeds if `FIT` is true.
unsafe extern "C" fn claiming<const COUNT: u32, const FIT: bool>(
    _device: nvml_sys::nvmlDevice_t,
    count: *mut u32,
    infos: *mut nvml_sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    // SAFETY: the caller passes a valid count, and a buffer for this number of entries of the largest size.
    unsafe {
        fill::<3>(infos, *count);
        *count = COUNT;
    }
    if FIT { nvml_sys::NVML_SUCCESS } else { nvml_sys::NVML_ERROR_INSUFFICIENT_SIZE }
}

#[test]
fn unusual_driver_lists_are_read() {
    let (driver, _nvml) = sim_from_toml("[[gpu]]");
    let pids = |list: &ProcessList| list.iter().map(|it| it.pid).collect::<Vec<_>>();
    for function in [clearing::<3> as List, clearing::<4>] {
        let gpu = with_list(&driver, function).device(0).unwrap();
        let mut list = ProcessList::with_capacity(16);
        for _ in 0..2 {
            gpu.compute_processes(&mut list).unwrap();
            assert_eq!(list.iter().collect::<Vec<_>>(), [70, 71].map(|pid| entry(pid, Some(8 * MIB), None)));
        }
    }
    for function in [filling::<3> as List, filling::<4>] {
        let gpu = with_list(&driver, function).device(0).unwrap();
        let mut list = ProcessList::with_capacity(16);
        // The written entries are returned, although the list is truncated.
        for _ in 0..2 {
            gpu.compute_processes(&mut list).unwrap();
            assert_eq!((pids(&list), list.total()), ((70..86).collect(), 100));
        }
        let mut list = ProcessList::with_capacity(100);
        gpu.compute_processes(&mut list).unwrap();
        assert_eq!((pids(&list), list.total()), ((70..170).collect(), 100));
    }
    // The first driver reports a small list as too large for the buffer, the second reports more entries than fit.
    for (function, total) in [(claiming::<1, false> as List, 1), (claiming::<{ u32::MAX }, true>, u32::MAX as usize)] {
        let nvml = with_list(&driver, function);
        let mut list = ProcessList::with_capacity(16);
        nvml.device(0).unwrap().compute_processes(&mut list).unwrap();
        assert!(list.len() <= list.total().min(16));
        assert_eq!(list.total(), total);
        let mut info = igpu::GpuInfo::new(&nvml, 0, 16).unwrap();
        info.update().unwrap();
        assert_eq!(info.processes.omitted_count(), info.processes.total() - info.processes.len());
        assert!(!info.to_string().is_empty());
    }
}
