//! Tests of the processes of a GPU: processes that start and exit, are not in `/proc`, or exceed the capacity.

use super::*;

fn list(nvml: &Nvml, capacity: usize) -> GpuInfo {
    GpuInfo::new(nvml, 0, capacity).unwrap()
}

fn pids(gpu: &GpuInfo) -> Vec<u32> {
    gpu.processes.iter().map(|process| process.pid).collect()
}

#[test]
fn processes_start_exit_and_vanish() {
    let (stays, mut ends) = (SleepProcess::new(), SleepProcess::new());
    let (driver, nvml) = sim_from_toml(&format!(
        "[[gpu]]\nprocess = [
            {{ pid = {}, memory_mib = 100 }}, {{ pid = {}, memory_mib = 200, from_s = 1 }},
            {{ pid = {FOREIGN}, memory_mib = 300, from_s = 2, until_s = 3 }}, {{ pid = {}, kind = 'graphics', memory_mib = 1 }},
            {{ pid = {}, kind = 'mps', memory_mib = 2, until_s = 2 }}]",
        stays.pid(),
        ends.pid(),
        stays.pid(),
        stays.pid(),
    ));
    driver.set_time(Duration::ZERO);
    let mut gpu = list(&nvml, 16);
    let mut at = |ms| {
        driver.set_time(Duration::from_millis(ms));
        gpu.update().unwrap();
        (pids(&gpu), gpu.processes.total(), gpu.processes.omitted_count())
    };
    let (one, two) = (stays.pid(), ends.pid());
    assert_eq!(at(0), (vec![one, one, one], 3, 0));
    assert_eq!(at(1000), (vec![one, two, one, one], 4, 0));
    assert_eq!(at(2500), (vec![one, two, FOREIGN, one], 4, 0));
    assert_eq!(at(3000), (vec![one, two, one], 3, 0));
    let kinds: Vec<_> = gpu.processes.iter().map(|process| process.kind).collect();
    assert_eq!(kinds, [ProcessKind::Compute, ProcessKind::Compute, ProcessKind::Graphics]);
    assert_eq!(gpu.processes[1].name.as_deref(), Some("sleep"));
    // If the driver lists a process that has exited, the values of the driver remain, but not those of `/proc`.
    ends.0.kill().unwrap();
    ends.0.wait().unwrap();
    gpu.update().unwrap();
    let ended = &gpu.processes[1];
    assert_eq!((ended.pid, ended.gpu_memory), (two, Some(200)));
    assert_eq!((&ended.name, &ended.user, ended.parent_pid, &ended.parent_name), (&None, &None, None, &None));
    assert_eq!(ended.create_time, None);
    assert_eq!(gpu.error(), None);
    assert!(gpu.processes.to_string().contains(&format!(
        "    {two:<6} | N/A                  | N/A                  | N/A      | N/A                  | 200   \n"
    )));
}

#[test]
fn process_info_matches_proc() {
    let child = SleepProcess::new();
    let (_driver, nvml) = sim_from_toml(&format!(
        "[[gpu]]\nprocess = [{{ pid = {}, memory_mib = 5.99 }}, {{ pid = 'self', gpu_instance_id = 3, compute_instance_id = 1 }}, {{ pid = 1, memory_mib = 0 }},
            {{ pid = {FOREIGN}, memory_mib = 1048576 }}, {{ pid = 4294967295, memory_mib = 1 }}]",
        child.pid()
    ));
    let gpu = list(&nvml, 16);
    let [sleeper, own, init, foreign, last] = &gpu.processes[..] else { panic!("{:?}", gpu.processes) };
    let stat = procfs::process::Process::new(child.pid() as i32).unwrap().stat().unwrap();
    let ticks = procfs::ticks_per_second() as f64;
    let created = procfs::boot_time_secs().unwrap() as f64 + stat.starttime as f64 / ticks;
    let user = std::process::Command::new("id").arg("-un").output().unwrap();
    assert_eq!((sleeper.name.as_deref(), sleeper.parent_pid), (Some("sleep"), Some(std::process::id())));
    assert_eq!(sleeper.user.as_deref(), Some(String::from_utf8(user.stdout).unwrap().trim()));
    assert_eq!((sleeper.create_time, sleeper.gpu_memory), (Some(created), Some(5)));
    // The kernel truncates the name of this test. The complete name is that of its file.
    let test_name = std::env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(test_name.len() > 15);
    assert_eq!(
        (own.name.as_deref(), sleeper.parent_name.as_deref()),
        (Some(test_name.as_str()), Some(test_name.as_str()))
    );
    assert_eq!((own.gpu_memory, own.gpu_instance_id, own.compute_instance_id), (None, Some(3), Some(1)));
    // Process 1 has no parent, which is not an error.
    assert_eq!((init.pid, init.parent_pid, init.parent_name, init.gpu_memory), (1, None, None, Some(0)));
    for (process, memory) in [(foreign, 1_048_576), (last, 1)] {
        assert_eq!((process.name, process.user, process.create_time), (None, None, None));
        assert_eq!(process.gpu_memory, Some(memory));
        assert!(!process.to_string().is_empty());
    }
    let shown = own.to_string();
    assert!(shown.ends_with("| N/A   "), "{shown:?}");
}

#[test]
fn long_process_list_is_truncated() {
    let (driver, nvml) = sim_from_toml(&format!(
        "[[gpu]]\nprocess = [{{ pid = {FOREIGN}, memory_mib = 1, count = 5 }}, {{ pid = 4_190_000, kind = 'graphics', count = 4 }},
            {{ pid = 4_180_000, kind = 'mps', count = 600, from_s = 10, until_s = 20 }},
            {{ pid = 4_170_000, count = 1500, from_s = 30 }}]"
    ));
    driver.set_time(Duration::ZERO);
    // The capacity is sufficient for the first list and a part of the second.
    let mut gpu = list(&nvml, 7);
    assert_eq!((gpu.processes.capacity(), gpu.processes.len(), gpu.processes.total()), (7, 7, 9));
    assert_eq!(gpu.processes.omitted_count(), 2);
    assert!(
        gpu.processes.to_string().ends_with("    2 more processes did not fit into the list\n"),
        "{}",
        gpu.processes
    );
    // The capacity is 0.
    let none = list(&nvml, 0);
    assert_eq!((none.processes.len(), none.processes.total(), none.processes.omitted_count()), (0, 9, 9));
    // Hundreds of processes of one kind do not displace those of the other kinds.
    driver.set_time(Duration::from_secs(10));
    gpu.update().unwrap();
    assert_eq!((gpu.processes.len(), gpu.processes.total()), (7, 609));
    driver.set_time(Duration::from_secs(25));
    gpu.update().unwrap();
    assert_eq!((gpu.processes.len(), gpu.processes.total()), (7, 9));
    let all = nvml.gpu_info(0).unwrap();
    assert_eq!((all.processes.len(), all.processes.omitted_count()), (9, 0));
    assert!(!all.processes.to_string().contains("more"));
    let mut large = nvml.gpu_info(0).unwrap();
    driver.set_time(Duration::from_secs(15));
    large.update().unwrap();
    assert_eq!((large.processes.len(), large.processes.omitted_count()), (609, 0));
    driver.set_time(Duration::from_secs(30));
    large.update().unwrap();
    assert_eq!((large.processes.len(), large.processes.total()), (4, 1509));
    assert!(large.to_string().contains("1505 more processes"));
}
