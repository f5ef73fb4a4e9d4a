//! The calls that a probe makes, in [`CALLS`]. None changes any setting.

use crate::{
    Device, EccCounterType, EccErrorType, FieldId, FieldValue, GpmSample, Nvml, PcieCounter, ProcessKind, ProcessList,
    ProcessUtilization, Result, Sample, SampleKind,
    metric::{Call, MAX_CALL_VALUES},
};

/// A call that a probe makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbedCall {
    /// The method of [`Device`], with its argument if there are several: `clock(SM)`.
    pub name: &'static str,
    /// The function of NVML behind it; the newest version where there are several.
    pub function: &'static str,
    call: CallMethod,
}

#[derive(Clone, Copy, Debug)]
enum CallMethod {
    /// A call that reads metrics.
    Metrics(Call),
    /// Another method of [`Device`].
    Method(fn(&Device, &mut CallBuffers) -> Result<()>),
}

/// The memory that the calls fill, made once for each GPU.
#[derive(Debug)]
pub(super) struct CallBuffers {
    processes: ProcessList,
    usage: Vec<ProcessUtilization>,
    samples: Vec<Sample>,
    power: [FieldValue; 3],
    gpm: Result<GpmSample>,
}

impl CallBuffers {
    /// CallBuffers for the answers of a GPU of this driver.
    pub(super) fn new(nvml: &Nvml) -> Self {
        let power = [FieldId::POWER_AVERAGE, FieldId::POWER_INSTANT, FieldId::TOTAL_ENERGY];
        Self {
            processes: ProcessList::with_capacity(ProcessList::RECOMMENDED_CAPACITY),
            usage: vec![ProcessUtilization::default(); ProcessList::RECOMMENDED_CAPACITY],
            samples: vec![Sample::default(); 256],
            power: power.map(|field| FieldValue::new(field, FieldId::SCOPE_GPU)),
            gpm: GpmSample::new(nvml),
        }
    }
}

impl ProbedCall {
    /// Makes the call.
    ///
    /// # Errors
    /// The driver's own answer.
    pub(super) fn make(&self, device: &Device, room: &mut CallBuffers) -> Result<()> {
        match self.call {
            CallMethod::Metrics(call) => call.read(device, &mut [f64::NAN; MAX_CALL_VALUES]),
            CallMethod::Method(method) => method(device, room),
        }
    }
}

const fn metrics(name: &'static str, call: Call) -> ProbedCall {
    ProbedCall { name, function: call.function(), call: CallMethod::Metrics(call) }
}

const fn call(
    name: &'static str,
    function: &'static str,
    method: fn(&Device, &mut CallBuffers) -> Result<()>,
) -> ProbedCall {
    ProbedCall { name, function, call: CallMethod::Method(method) }
}

pub(super) const FIELDS: &str = "nvmlDeviceGetFieldValues";
pub(super) const SAMPLES: &str = "nvmlDeviceGetSamples";

/// The name of the call that takes a GPM sample.
pub(super) const GPM: &str = "gpm_sample_get";

/// All probed calls, in the order of reports.
pub(super) static CALLS: &[ProbedCall] = &[
    metrics("utilization_rates", Call::UtilizationRates),
    metrics("encoder_utilization", Call::EncoderUtilization),
    metrics("decoder_utilization", Call::DecoderUtilization),
    metrics("memory_info", Call::MemoryInfo),
    metrics("power_usage", Call::PowerUsage),
    call("power_average", FIELDS, |gpu, _| gpu.power_average_mw().map(drop)),
    call("power_instant", FIELDS, |gpu, _| gpu.power_instant_mw().map(drop)),
    call("field_values(185, 186, 83)", FIELDS, |gpu, room| gpu.field_values(&mut room.power)),
    call("total_energy", "nvmlDeviceGetTotalEnergyConsumption", |gpu, _| gpu.total_energy_mj().map(drop)),
    call("enforced_power_limit", "nvmlDeviceGetEnforcedPowerLimit", |gpu, _| gpu.enforced_power_limit_mw().map(drop)),
    metrics("temperature", Call::Temperature),
    call("memory_temperature", FIELDS, |gpu, _| gpu.memory_temperature().map(drop)),
    metrics("fan_speed", Call::FanSpeed),
    metrics("clock(GRAPHICS)", Call::ClockGraphics),
    metrics("clock(SM)", Call::ClockSm),
    metrics("clock(MEMORY)", Call::ClockMemory),
    metrics("clock(VIDEO)", Call::ClockVideo),
    metrics("performance_state", Call::PerformanceState),
    metrics("clocks_event_reasons", Call::ClocksEventReasons),
    metrics("pcie_link_generation", Call::PcieLinkGeneration),
    metrics("pcie_link_width", Call::PcieLinkWidth),
    call("pcie_bytes(TX)", FIELDS, |gpu, _| gpu.pcie_bytes(PcieCounter::TX).map(drop)),
    call("pcie_throughput(TX)", "nvmlDeviceGetPcieThroughput", |gpu, _| {
        gpu.pcie_throughput_kb_per_s(PcieCounter::TX).map(drop)
    }),
    metrics("pcie_replay_counter", Call::PcieReplayCounter),
    call("field(138, all links)", FIELDS, |gpu, _| gpu.field(FieldId(138), FieldId::SCOPE_ALL_LINKS).map(drop)),
    call("total_ecc_errors", "nvmlDeviceGetTotalEccErrors", |gpu, _| {
        gpu.total_ecc_errors(EccErrorType::CORRECTED, EccCounterType::VOLATILE).map(drop)
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

fn samples(gpu: &Device, kind: SampleKind, room: &mut CallBuffers) -> Result<()> {
    gpu.samples(kind, 0, &mut room.samples).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric, MetricSource};

    #[test]
    fn probe_covers_every_metric_call() {
        let probed =
            |call: Call| CALLS.iter().any(|entry| matches!(entry.call, CallMethod::Metrics(known) if known == call));
        for metric in Metric::all() {
            if let MetricSource::Call(call, _) = metric.info().source {
                assert!(probed(call), "{metric} is read by {call:?}, which no entry of CALLS makes");
            }
        }
    }
}
