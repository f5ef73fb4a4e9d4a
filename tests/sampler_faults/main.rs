//! Tests of the sampler under faults. Tests of background threads run on the real clock, and check only order and
//! counts. All other tests run on the stepped clock.

#[path = "../common/mod.rs"]
mod common;
mod costs;
#[path = "../common/fork.rs"]
mod fork;
mod forks;
mod hangs;
mod lost_gpus;
mod recovery;
mod sample_buffers;
#[path = "../common/sim.rs"]
mod sim;
#[path = "../common/wait.rs"]
mod wait;

use std::{
    ffi::{CStr, c_uint, c_ulonglong, c_void},
    fs,
    os::unix::process::CommandExt as _,
    process::Command,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use igpu::{
    Error, Nvml, ReturnCode,
    metric::Metric,
    sampler::{
        Background, Clocks, Event, Flags, Record, Sampler, SamplerBuilder, StopOutcome, UnsampledReason, monotonic,
    },
};
use nvml_sim::{
    SharedDriver,
    control::{self, Quantity},
};
use nvml_sys::{
    nvmlDevice_t, nvmlProcessUtilizationSample_t, nvmlReturn_t, nvmlSample_t, nvmlSamplingType_t, nvmlValueType_t,
};
use sim::{CLOCKS, SECOND, events, lock_sim, now, run, sim, sim_with_resolver, values};
use wait::wait_for;

/// Returns a fault of a function in the simulator's format. `keys` is the TOML text of further keys.
fn fault(function: &str, keys: &str) -> String {
    format!("[[fault]]\nfunction = \"{function}\"\n{keys}\n")
}

#[test]
fn suspended_metric_retries_every_30_s() {
    let sim = sim(&format!("[[gpu]]\nprocess = []\n{}", fault("nvmlDeviceGetFanSpeed", "return = \"UNKNOWN\"")));
    let mut sampler = sim.builder().metrics(&[Metric::FAN_SPEED, Metric::TEMPERATURE]).build().unwrap();
    control::reset_counters();
    let records = run(&mut sampler, 600.0);
    // Two calls suspend the metric, and one call is made every 30 s afterward.
    let calls = control::calls("nvmlDeviceGetFanSpeed");
    assert!((20..=22).contains(&calls), "{calls} calls in 10 minutes");
    assert_eq!(events(&records, Event::METRIC_SUSPENDED).len(), 1, "the suspension is reported once");
    // The other metric is read every 500 ms, and more often while its period is estimated.
    assert!((1200..1260).contains(&values(&records, Metric::TEMPERATURE).count()));
    let reason = sampler.frame().last_error(0, Metric::FAN_SPEED).and_then(Error::code);
    assert_eq!((reason, sampler.frame().latest(0, Metric::FAN_SPEED)), (Some(ReturnCode::UNKNOWN), None));
}

#[test]
fn sample_skips_suspended_metrics() {
    let sim = sim(&format!("[[gpu]]\nprocess = []\n{}", fault("nvmlDeviceGetFanSpeed", "return = \"NOT_SUPPORTED\"")));
    let metrics = [Metric::FAN_SPEED, Metric::TEMPERATURE, Metric::TEMPERATURE_MEMORY];
    let mut sampler = sim.builder().metrics(&metrics).build().unwrap();
    control::reset_counters();
    for _ in 0..100 {
        assert_eq!(sampler.sample().latest(0, Metric::TEMPERATURE).map(|record| record.value), Some(40.0));
        control::step(Duration::from_millis(100));
    }
    // The GPU does not support the memory temperature either, so the field batch is empty and is not read.
    assert_eq!(
        ["nvmlDeviceGetFanSpeed", "nvmlDeviceGetFieldValues", "nvmlDeviceGetTemperatureV"].map(control::calls),
        [2, 2, 100]
    );
}

#[test]
fn alternately_failing_metric_stays_active() {
    let sim = sim(&format!(
        "[[gpu]]\nprocess = []\nclocks = {{ sm_mhz = 1400 }}\n{}",
        fault("nvmlDeviceGetClockInfo", "return = \"UNKNOWN\"\nevery_nth_call = 2")
    ));
    let interval = Duration::from_millis(100);
    let mut sampler = sim.builder().metrics(&[Metric::CLOCK_SM]).interval(Metric::CLOCK_SM, interval).build().unwrap();
    let records = run(&mut sampler, 20.0);
    assert_eq!(events(&records, Event::METRIC_SUSPENDED), []);
    let clocks: Vec<&Record> = values(&records, Metric::CLOCK_SM).collect();
    assert_eq!(clocks.len(), 100);
    assert!(clocks.iter().all(|record| record.value == 1400.0));
    // A failure between two equal values does not make the second one fresh.
    assert_eq!(clocks.iter().filter(|record| record.is_fresh()).count(), 1);
}

#[test]
fn unknown_codes_suspend_metrics() {
    for code in [4711_u32, 999, u32::MAX] {
        let sim = sim(&format!(
            "[[gpu]]\nprocess = []\n{}",
            fault("nvmlDeviceGet*", &format!("return = {code}\nfrom_s = 5\nuntil_s = 6"))
        ));
        let mut sampler = sim.builder().metrics(&[Metric::TEMPERATURE, Metric::POWER_INSTANT]).build().unwrap();
        let records = run(&mut sampler, 40.0);
        assert_eq!(events(&records, Event::GPU_LOST), [], "code {code}");
        let suspensions = events(&records, Event::METRIC_SUSPENDED);
        assert_eq!(suspensions.len(), 2, "code {code}");
        assert!(suspensions.iter().all(|event| event.value == f64::from(code)), "{suspensions:?}");
        assert!(sampler.frame().latest(0, Metric::TEMPERATURE).is_some_and(|record| record.at > now() - SECOND));
    }
}

#[test]
fn gpu_reset_restarts_counters() {
    // From 10 s to 15 s, the driver returns `RESET_REQUIRED`. Afterward, the energy counter restarts at zero. The
    // counter increases by 100 J per second.
    let mut steps: Vec<String> = (0..10).map(|second| format!("[{second}, {}]", 900_000 + second * 100_000)).collect();
    steps.extend((15..30).map(|second| format!("[{second}, {}]", (second - 15) * 100_000)));
    let sim = sim(&format!(
        "[[gpu]]\ncount = 2\nprocess = []\n[[gpu.field]]\nid = 83\ntype = \"ulonglong\"\nvalue = {{ steps = [{}] }}\n\
         [[gpu_lost]]\ngpu = 0\nfrom_s = 10\nuntil_s = 15\nreturn = \"RESET_REQUIRED\"\n",
        steps.join(", ")
    ));
    let mut sampler = sim.builder().metrics(&[Metric::ENERGY, Metric::TEMPERATURE]).build().unwrap();
    let records = run(&mut sampler, 30.0);
    let of_gpu = |gpu: u16| records.iter().filter(move |record| record.gpu == gpu).copied().collect::<Vec<_>>();
    let lost = events(&of_gpu(0), Event::GPU_LOST);
    assert_eq!(lost.iter().map(|event| event.value).collect::<Vec<_>>(), [f64::from(ReturnCode::RESET_REQUIRED.0)]);
    let recovered = events(&of_gpu(0), Event::GPU_RECOVERED);
    assert_eq!(recovered.len(), 1);
    let seconds = (recovered[0].at - 100 * SECOND) as f64 * 1e-9;
    assert!((15.0..=16.1).contains(&seconds), "recovered at {seconds} s");
    let records_of_gpu = of_gpu(0);
    let joules: Vec<&Record> = values(&records_of_gpu, Metric::ENERGY).collect();
    assert!(joules.windows(2).all(|pair| pair[1].value >= pair[0].value), "the energy decreased");
    assert_eq!(joules.iter().filter(|record| record.flags.contains(Flags::RESET)).count(), 1);
    // The GPU draws 900 J before the reset, and 1400 J after it.
    assert_eq!(joules.last().map(|record| record.value), Some(2300.0));
    // The other GPU is not affected.
    assert_eq!(events(&of_gpu(1), Event::GPU_LOST).len() + events(&of_gpu(1), Event::GPU_RECOVERED).len(), 0);
    assert!(values(&of_gpu(1), Metric::TEMPERATURE).count() >= 60);
}

type GetSamplesFn = unsafe extern "C" fn(
    nvmlDevice_t,
    nvmlSamplingType_t,
    c_ulonglong,
    *mut nvmlValueType_t,
    *mut c_uint,
    *mut nvmlSample_t,
) -> nvmlReturn_t;

/// Returns the simulator's `nvmlDeviceGetSamples`.
fn simulator_get_samples() -> GetSamplesFn {
    // SAFETY: the simulator's function of this name has this signature.
    unsafe { std::mem::transmute::<*const c_void, GetSamplesFn>(nvml_sim::resolve(c"nvmlDeviceGetSamples")) }
}

/// The file with the runtime status of the simulator's first GPU, whose PCI address is 0000:01:00.0.
const STATUS: &str = "/sys/bus/pci/devices/0000:01:00.0/power/runtime_status";

/// Mounts an empty `/sys` in a new mount namespace, and creates the runtime status file in it.
///
/// A user namespace is created only if the process lacks the privileges for a mount namespace. This function runs in a
/// child process before `exec`.
fn mount_private_sysfs() -> std::io::Result<()> {
    // SAFETY: the calls take numbers and valid C strings, and the child has only one thread.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) != 0 {
            let uid = libc::getuid();
            if libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUSER) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        }
        let none = std::ptr::null();
        let private = libc::MS_REC | libc::MS_PRIVATE;
        if libc::mount(none, c"/".as_ptr(), none, private, none.cast()) != 0
            || libc::mount(c"tmpfs".as_ptr(), c"/sys".as_ptr(), c"tmpfs".as_ptr(), 0, none.cast()) != 0
        {
            return Err(std::io::Error::last_os_error());
        }
    }
    fs::create_dir_all(STATUS.trim_end_matches("/runtime_status"))?;
    fs::write(STATUS, "active\n")
}

#[test]
fn suspended_gpu_is_not_woken() {
    const TEST: &str = "suspended_gpu_is_not_woken";
    if !common::is_child() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TEST, "--nocapture", "--test-threads=1"]).env("IGPU_TEST_CHILD", "1");
        // SAFETY: the child has only one thread, so no other thread can hold a lock.
        unsafe { command.pre_exec(mount_private_sysfs) };
        match command.output() {
            Ok(output) => {
                let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && output_text.contains("child: passed"), "{output_text}\n{error}");
            }
            Err(error) => eprintln!("skipped {TEST}: cannot create a mount namespace ({error})"),
        }
        return;
    }
    let sim = sim("[[gpu]]\nprocess = []\n[[gpu]]\nprocess = []\npci = { bus = 2 }\n");
    let interval = Duration::from_millis(100);
    let build = |skip_suspended: bool| {
        let builder = sim.builder().metrics(&[Metric::TEMPERATURE]).interval(Metric::TEMPERATURE, interval);
        builder.skip_suspended(skip_suspended).build().unwrap()
    };
    let (mut skipping, mut waking) = (build(true), build(false));
    let count =
        |records: &[Record], gpu: u16| values(records, Metric::TEMPERATURE).filter(|record| record.gpu == gpu).count();
    let records = run(&mut skipping, 2.0);
    assert_eq!((count(&records, 0), count(&records, 1)), (20, 20), "GPU 0 is active, and GPU 1 has no status file");
    fs::write(STATUS, "suspended\n").unwrap();
    control::reset_counters();
    let records = run(&mut skipping, 5.0);
    let suspended = events(&records, Event::GPU_SUSPENDED);
    assert_eq!(suspended.iter().map(|event| event.gpu).collect::<Vec<_>>(), [0]);
    // The status is read ten times per second, so one call may be made after the GPU was suspended.
    assert!(count(&records, 0) <= 1, "{} values of a suspended GPU", count(&records, 0));
    assert!((49..=51).contains(&count(&records, 1)));
    assert!(control::calls("nvmlDeviceGetTemperatureV") <= 52);
    assert!(skipping.sample().records().iter().all(|record| record.gpu == 1), "`sample` skips suspended GPUs");
    // A GPU that is resumed was not lost.
    for status in ["resuming\n", "active\n"] {
        fs::write(STATUS, status).unwrap();
    }
    let records = run(&mut skipping, 2.0);
    assert_eq!(events(&records, Event::GPU_RESUMED).iter().map(|event| event.gpu).collect::<Vec<_>>(), [0]);
    assert!(count(&records, 0) >= 18);
    // Without `skip_suspended`, suspended GPUs are read and are not reported.
    fs::write(STATUS, "suspended\n").unwrap();
    let records = run(&mut waking, 2.0);
    assert_eq!((count(&records, 0), events(&records, Event::GPU_SUSPENDED)), (20, Vec::new()));
    println!("child: passed");
}
