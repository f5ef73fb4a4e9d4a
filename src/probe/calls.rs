//! The calls that are probed: one entry of [`CALLS`] each. None changes anything.

use crate::{
    Clock, Device, EccCounter, EccError, FieldId, FieldValue, GpmSample, Nvml, PcieCounter, ProcessKind, ProcessList,
    ProcessUtilization, Result, Sample, SampleKind, TemperatureSensor,
};

/// A call that is probed.
#[derive(Clone, Copy, Debug)]
pub struct ProbedCall {
    /// The method of [`Device`], with what it is asked for where that makes a difference: `clock(SM)`.
    pub name: &'static str,
    /// The function of NVML behind it; the newest version where there are several.
    pub function: &'static str,
    call: fn(&Device, &mut Room) -> Result<()>,
}

/// The memory that the calls fill, made once for each GPU.
#[derive(Debug)]
pub struct Room {
    processes: ProcessList,
    usage: Vec<ProcessUtilization>,
    samples: Vec<Sample>,
    power: [FieldValue; 3],
    gpm: Result<GpmSample>,
}

impl Room {
    /// Room for the answers of a GPU of this driver.
    #[must_use]
    pub fn new(nvml: &Nvml) -> Self {
        let power = [FieldId::POWER_AVERAGE, FieldId::POWER_INSTANT, FieldId::TOTAL_ENERGY];
        Self {
            processes: ProcessList::with_capacity(ProcessList::LARGEST),
            usage: vec![ProcessUtilization::default(); ProcessList::LARGEST],
            samples: vec![Sample::default(); 256],
            power: power.map(|field| FieldValue::new(field, FieldId::SCOPE_GPU)),
            gpm: nvml.gpm_sample(),
        }
    }
}

impl ProbedCall {
    /// Makes the call.
    ///
    /// # Errors
    /// The driver's own answer.
    pub fn make(&self, device: &Device, room: &mut Room) -> Result<()> {
        (self.call)(device, room)
    }
}

const fn call(name: &'static str, function: &'static str, call: fn(&Device, &mut Room) -> Result<()>) -> ProbedCall {
    ProbedCall { name, function, call }
}

pub(super) const FIELDS: &str = "nvmlDeviceGetFieldValues";
const CLOCK: &str = "nvmlDeviceGetClockInfo";
pub(super) const SAMPLES: &str = "nvmlDeviceGetSamples";

/// The name of the call that takes a GPM sample.
pub(super) const GPM: &str = "gpm_sample_get";

/// All calls that are probed, in the order in which reports have them.
pub static CALLS: &[ProbedCall] = &[
    call("utilization_rates", "nvmlDeviceGetUtilizationRates", |gpu, _| gpu.utilization_rates().map(drop)),
    call("encoder_utilization", "nvmlDeviceGetEncoderUtilization", |gpu, _| gpu.encoder_utilization().map(drop)),
    call("decoder_utilization", "nvmlDeviceGetDecoderUtilization", |gpu, _| gpu.decoder_utilization().map(drop)),
    call("memory_info", "nvmlDeviceGetMemoryInfo_v2", |gpu, _| gpu.memory_info().map(drop)),
    call("power_usage", "nvmlDeviceGetPowerUsage", |gpu, _| gpu.power_usage().map(drop)),
    call("power_average", FIELDS, |gpu, _| gpu.power_average().map(drop)),
    call("power_instant", FIELDS, |gpu, _| gpu.power_instant().map(drop)),
    call("field_values(185, 186, 83)", FIELDS, |gpu, room| gpu.field_values(&mut room.power)),
    call("total_energy", "nvmlDeviceGetTotalEnergyConsumption", |gpu, _| gpu.total_energy().map(drop)),
    call("enforced_power_limit", "nvmlDeviceGetEnforcedPowerLimit", |gpu, _| gpu.enforced_power_limit().map(drop)),
    call("temperature", "nvmlDeviceGetTemperatureV", |gpu, _| gpu.temperature(TemperatureSensor::GPU).map(drop)),
    call("memory_temperature", FIELDS, |gpu, _| gpu.memory_temperature().map(drop)),
    call("fan_speed", "nvmlDeviceGetFanSpeed", |gpu, _| gpu.fan_speed().map(drop)),
    call("clock(GRAPHICS)", CLOCK, |gpu, _| gpu.clock(Clock::GRAPHICS).map(drop)),
    call("clock(SM)", CLOCK, |gpu, _| gpu.clock(Clock::SM).map(drop)),
    call("clock(MEMORY)", CLOCK, |gpu, _| gpu.clock(Clock::MEMORY).map(drop)),
    call("clock(VIDEO)", CLOCK, |gpu, _| gpu.clock(Clock::VIDEO).map(drop)),
    call("performance_state", "nvmlDeviceGetPerformanceState", |gpu, _| gpu.performance_state().map(drop)),
    call("clocks_event_reasons", "nvmlDeviceGetCurrentClocksEventReasons", |gpu, _| {
        gpu.clocks_event_reasons().map(drop)
    }),
    call("pcie_link_generation", "nvmlDeviceGetCurrPcieLinkGeneration", |gpu, _| gpu.pcie_link_generation().map(drop)),
    call("pcie_link_width", "nvmlDeviceGetCurrPcieLinkWidth", |gpu, _| gpu.pcie_link_width().map(drop)),
    call("pcie_bytes(TX)", FIELDS, |gpu, _| gpu.pcie_bytes(PcieCounter::TX).map(drop)),
    call("pcie_throughput(TX)", "nvmlDeviceGetPcieThroughput", |gpu, _| gpu.pcie_throughput(PcieCounter::TX).map(drop)),
    call("pcie_replay_counter", "nvmlDeviceGetPcieReplayCounter", |gpu, _| gpu.pcie_replay_counter().map(drop)),
    call("field(138, all links)", FIELDS, |gpu, _| gpu.field(FieldId(138), FieldId::SCOPE_ALL_LINKS).map(drop)),
    call("total_ecc_errors", "nvmlDeviceGetTotalEccErrors", |gpu, _| {
        gpu.total_ecc_errors(EccError::CORRECTED, EccCounter::VOLATILE).map(drop)
    }),
    call("samples(TOTAL_POWER)", SAMPLES, |gpu, room| samples(gpu, SampleKind::TOTAL_POWER, room)),
    call("samples(GPU_UTILIZATION)", SAMPLES, |gpu, room| samples(gpu, SampleKind::GPU_UTILIZATION, room)),
    call("compute_processes", "nvmlDeviceGetComputeRunningProcesses_v3", |gpu, room| {
        gpu.processes(ProcessKind::Compute, &mut room.processes)
    }),
    call("graphics_processes", "nvmlDeviceGetGraphicsRunningProcesses_v3", |gpu, room| {
        gpu.processes(ProcessKind::Graphics, &mut room.processes)
    }),
    call("mps_processes", "nvmlDeviceGetMPSComputeRunningProcesses_v3", |gpu, room| {
        gpu.processes(ProcessKind::Mps, &mut room.processes)
    }),
    call("process_utilization", "nvmlDeviceGetProcessUtilization", |gpu, room| {
        gpu.process_utilization(0, &mut room.usage).map(drop)
    }),
    call(GPM, "nvmlGpmSampleGet", |gpu, room| match &mut room.gpm {
        Ok(sample) => gpu.gpm_sample_get(sample),
        Err(why) => Err(why.clone()),
    }),
    call("mig_mode", "nvmlDeviceGetMigMode", |gpu, _| gpu.mig_mode().map(drop)),
    call("uuid", "nvmlDeviceGetUUID", |gpu, _| gpu.uuid().map(drop)),
];

fn samples(gpu: &Device, kind: SampleKind, room: &mut Room) -> Result<()> {
    gpu.samples(kind, 0, &mut room.samples).map(drop)
}
