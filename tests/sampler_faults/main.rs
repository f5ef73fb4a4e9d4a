//! What goes wrong while a sampler runs, and what it then says and does: on the stepped clock, and on the real one where
//! there are threads, of which order and accounting are asserted.

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

fn fault(function: &str, more: &str) -> String {
    format!("[[fault]]\nfunction = \"{function}\"\n{more}\n")
}

#[test]
fn suspended_metric_retries_every_30_s() {
    let sim = sim(&format!("[[gpu]]\nprocess = []\n{}", fault("nvmlDeviceGetFanSpeed", "return = \"UNKNOWN\"")));
    let mut sampler = sim.builder().metrics(&[Metric::FAN_SPEED, Metric::TEMPERATURE]).build().unwrap();
    control::reset_counters();
    let records = run(&mut sampler, 600.0);
    // Two, and then one each 30 s.
    let calls = control::calls("nvmlDeviceGetFanSpeed");
    assert!((20..=22).contains(&calls), "{calls} calls in 10 minutes");
    assert_eq!(events(&records, Event::METRIC_SUSPENDED).len(), 1, "told once");
    // Each 500 ms, and a little more often while its sensor's period was looked for.
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
    // This GPU tells no memory temperature either: its batch would be empty.
    assert_eq!(
        ["nvmlDeviceGetFanSpeed", "nvmlDeviceGetFieldValues", "nvmlDeviceGetTemperatureV"].map(control::calls),
        [2, 2, 100]
    );
}

#[test]
fn alternately_refused_metric_stays_active() {
    let sim = sim(&format!(
        "[[gpu]]\nprocess = []\nclocks = {{ sm_mhz = 1400 }}\n{}",
        fault("nvmlDeviceGetClockInfo", "return = \"UNKNOWN\"\nevery_nth_call = 2")
    ));
    let cadence = Duration::from_millis(100);
    let mut sampler = sim.builder().metrics(&[Metric::CLOCK_SM]).interval(Metric::CLOCK_SM, cadence).build().unwrap();
    let records = run(&mut sampler, 20.0);
    assert_eq!(events(&records, Event::METRIC_SUSPENDED), []);
    let got: Vec<&Record> = values(&records, Metric::CLOCK_SM).collect();
    assert_eq!(got.len(), 100);
    assert!(got.iter().all(|record| record.value == 1400.0));
    // What was got before is not called fresh again because a refusal came between.
    assert_eq!(got.iter().filter(|record| record.is_fresh()).count(), 1);
}

#[test]
fn unknown_codes_are_refusals() {
    for code in [4711_u32, 999, u32::MAX] {
        let sim = sim(&format!(
            "[[gpu]]\nprocess = []\n{}",
            fault("nvmlDeviceGet*", &format!("return = {code}\nfrom_s = 5\nuntil_s = 6"))
        ));
        let mut sampler = sim.builder().metrics(&[Metric::TEMPERATURE, Metric::POWER_INSTANT]).build().unwrap();
        let records = run(&mut sampler, 40.0);
        assert_eq!(events(&records, Event::GPU_LOST), [], "code {code}");
        let rests = events(&records, Event::METRIC_SUSPENDED);
        assert_eq!(rests.len(), 2, "code {code}");
        assert!(rests.iter().all(|event| event.value == f64::from(code)), "{rests:?}");
        assert!(sampler.frame().latest(0, Metric::TEMPERATURE).is_some_and(|record| record.at > now() - SECOND));
    }
}

#[test]
fn gpu_reset_restarts_counters() {
    // From 10 to 15 s the driver asks for a reset; the energy counter, 100 J a second before, then begins at zero.
    let mut steps: Vec<String> = (0..10).map(|second| format!("[{second}, {}]", 900_000 + second * 100_000)).collect();
    steps.extend((15..30).map(|second| format!("[{second}, {}]", (second - 15) * 100_000)));
    let sim = sim(&format!(
        "[[gpu]]\ncount = 2\nprocess = []\n[[gpu.field]]\nid = 83\ntype = \"ulonglong\"\nvalue = {{ steps = [{}] }}\n\
         [[gpu_lost]]\ngpu = 0\nfrom_s = 10\nuntil_s = 15\nreturn = \"RESET_REQUIRED\"\n",
        steps.join(", ")
    ));
    let mut sampler = sim.builder().metrics(&[Metric::ENERGY, Metric::TEMPERATURE]).build().unwrap();
    let records = run(&mut sampler, 30.0);
    let of = |gpu: u16| records.iter().filter(move |record| record.gpu == gpu).copied().collect::<Vec<_>>();
    let lost = events(&of(0), Event::GPU_LOST);
    assert_eq!(lost.iter().map(|event| event.value).collect::<Vec<_>>(), [f64::from(ReturnCode::RESET_REQUIRED.0)]);
    let back = events(&of(0), Event::GPU_RECOVERED);
    assert_eq!(back.len(), 1);
    let after = (back[0].at - 100 * SECOND) as f64 * 1e-9;
    assert!((15.0..=16.1).contains(&after), "back at {after} s");
    let mine = of(0);
    let joules: Vec<&Record> = values(&mine, Metric::ENERGY).collect();
    assert!(joules.windows(2).all(|pair| pair[1].value >= pair[0].value), "energy never goes back");
    assert_eq!(joules.iter().filter(|record| record.flags.contains(Flags::RESET)).count(), 1);
    // 900 J before the reset, 1400 J after it.
    assert_eq!(joules.last().map(|record| record.value), Some(2300.0));
    // Nothing of it concerns the other GPU.
    assert_eq!(events(&of(1), Event::GPU_LOST).len() + events(&of(1), Event::GPU_RECOVERED).len(), 0);
    assert!(values(&of(1), Metric::TEMPERATURE).count() >= 60);
}

type GetSamplesFn = unsafe extern "C" fn(
    nvmlDevice_t,
    nvmlSamplingType_t,
    c_ulonglong,
    *mut nvmlValueType_t,
    *mut c_uint,
    *mut nvmlSample_t,
) -> nvmlReturn_t;

/// The simulator's `nvmlDeviceGetSamples`.
fn own_samples() -> GetSamplesFn {
    // SAFETY: the simulator's function of this name has this signature.
    unsafe { std::mem::transmute::<*const c_void, GetSamplesFn>(nvml_sim::resolve(c"nvmlDeviceGetSamples")) }
}

/// Where the kernel says whether a GPU sleeps: the simulator's first GPU is at 0000:01:00.0.
const STATUS: &str = "/sys/bus/pci/devices/0000:01:00.0/power/runtime_status";

/// In a child before its program: a `/sys` of its own, in a mount namespace of its own. With rights it needs no user
/// namespace.
fn own_sysfs() -> std::io::Result<()> {
    // SAFETY: these calls take numbers and C strings, and the child has one thread.
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
        // SAFETY: the child has the one thread that runs this.
        unsafe { command.pre_exec(own_sysfs) };
        match command.output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && said.contains("child: slept and woke"), "{said}\n{error}");
            }
            Err(error) => eprintln!("{TEST} is left out: no mount namespace here ({error})"),
        }
        return;
    }
    let sim = sim("[[gpu]]\nprocess = []\n[[gpu]]\nprocess = []\npci = { bus = 2 }\n");
    let cadence = Duration::from_millis(100);
    let build = |asleep: bool| {
        let builder = sim.builder().metrics(&[Metric::TEMPERATURE]).interval(Metric::TEMPERATURE, cadence);
        builder.skip_suspended(asleep).build().unwrap()
    };
    let (mut polite, mut rude) = (build(true), build(false));
    let count = |records: &[Record], gpu: u16| values(records, Metric::TEMPERATURE).filter(|it| it.gpu == gpu).count();
    let records = run(&mut polite, 2.0);
    assert_eq!((count(&records, 0), count(&records, 1)), (20, 20), "awake, and one that sysfs does not know");
    fs::write(STATUS, "suspended\n").unwrap();
    control::reset_counters();
    let records = run(&mut polite, 5.0);
    let asleep = events(&records, Event::GPU_SUSPENDED);
    assert_eq!(asleep.iter().map(|event| event.gpu).collect::<Vec<_>>(), [0]);
    // The kernel is asked ten times a second, so that a call may come too late.
    assert!(count(&records, 0) <= 1, "{} values of a GPU that sleeps", count(&records, 0));
    assert!((49..=51).contains(&count(&records, 1)));
    assert!(control::calls("nvmlDeviceGetTemperatureV") <= 52);
    assert!(polite.sample().records().iter().all(|record| record.gpu == 1), "all, but what sleeps");
    // Waking up is no call, and no loss.
    for status in ["resuming\n", "active\n"] {
        fs::write(STATUS, status).unwrap();
    }
    let records = run(&mut polite, 2.0);
    assert_eq!(events(&records, Event::GPU_RESUMED).iter().map(|event| event.gpu).collect::<Vec<_>>(), [0]);
    assert!(count(&records, 0) >= 18);
    // Who did not ask for it is told nothing.
    fs::write(STATUS, "suspended\n").unwrap();
    let records = run(&mut rude, 2.0);
    assert_eq!((count(&records, 0), events(&records, Event::GPU_SUSPENDED)), (20, Vec::new()));
    println!("child: slept and woke");
}
