//! The driver calls that a probe times. [`CALLS`] lists them. They only read values, and change no settings.

use crate::{
    Device, EccCounterType, EccErrorType, FieldId, FieldValue, GpmSample, Nvml, PcieCounter, ProcessKind, ProcessList,
    ProcessUtilization, Result, Sample, SampleKind,
    metric::{Call, MAX_CALL_VALUES},
};

/// A driver call that a probe times.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbedCall {
    /// The name of the method of [`Device`]. Includes the argument if the method is called with several arguments, for
    /// example `clock(SM)`.
    pub name: &'static str,
    /// The newest version of the NVML function.
    pub function: &'static str,
    call: CallMethod,
}

#[derive(Clone, Copy, Debug)]
enum CallMethod {
    /// A call of the metric catalog.
    Metrics(Call),
    /// Another method of [`Device`].
    Method(fn(&Device, &mut CallBuffers) -> Result<()>),
}

/// The buffers that the calls fill. They are allocated once for each GPU.
#[derive(Debug)]
pub(super) struct CallBuffers {
    processes: ProcessList,
    usage: Vec<ProcessUtilization>,
    samples: Vec<Sample>,
    power: [FieldValue; 3],
    gpm: Result<GpmSample>,
}

impl CallBuffers {
    /// Allocates buffers for the calls to one GPU.
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
    /// Returns the driver's error.
    pub(super) fn make(&self, device: &Device, buffers: &mut CallBuffers) -> Result<()> {
        match self.call {
            CallMethod::Metrics(call) => call.read(device, &mut [f64::NAN; MAX_CALL_VALUES]),
            CallMethod::Method(method) => method(device, buffers),
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

pub(super) const FIELD_VALUES: &str = "nvmlDeviceGetFieldValues";
pub(super) const SAMPLES: &str = "nvmlDeviceGetSamples";

/// The name of the entry in [`CALLS`] that takes a GPM sample.
pub(super) const GPM_SAMPLE_GET: &str = "gpm_sample_get";

/// All timed calls, in the order in which reports list them.
pub(super) static CALLS: &[ProbedCall] = &[
    metrics("utilization_rates", Call::UtilizationRates),
    metrics("encoder_utilization", Call::EncoderUtilization),
    metrics("decoder_utilization", Call::DecoderUtilization),
    metrics("memory_info", Call::MemoryInfo),
    metrics("power_usage_mw", Call::PowerUsage),
    call("power_average_mw", FIELD_VALUES, |gpu, _| gpu.power_average_mw().map(drop)),
    call("power_instant_mw", FIELD_VALUES, |gpu, _| gpu.power_instant_mw().map(drop)),
    call("field_values(185, 186, 83)", FIELD_VALUES, |gpu, buffers| gpu.field_values(&mut buffers.power)),
    call("total_energy_mj", "nvmlDeviceGetTotalEnergyConsumption", |gpu, _| gpu.total_energy_mj().map(drop)),
    call("enforced_power_limit_mw", "nvmlDeviceGetEnforcedPowerLimit", |gpu, _| {
        gpu.enforced_power_limit_mw().map(drop)
    }),
    metrics("temperature", Call::Temperature),
    call("memory_temperature", FIELD_VALUES, |gpu, _| gpu.memory_temperature().map(drop)),
    metrics("fan_speed", Call::FanSpeed),
    metrics("clock(GRAPHICS)", Call::ClockGraphics),
    metrics("clock(SM)", Call::ClockSm),
    metrics("clock(MEMORY)", Call::ClockMemory),
    metrics("clock(VIDEO)", Call::ClockVideo),
    metrics("performance_state", Call::PerformanceState),
    metrics("clocks_event_reasons", Call::ClocksEventReasons),
    metrics("pcie_link_generation", Call::PcieLinkGeneration),
    metrics("pcie_link_width", Call::PcieLinkWidth),
    call("pcie_bytes(TX)", FIELD_VALUES, |gpu, _| gpu.pcie_bytes(PcieCounter::TX).map(drop)),
    call("pcie_throughput_kb_per_s(TX)", "nvmlDeviceGetPcieThroughput", |gpu, _| {
        gpu.pcie_throughput_kb_per_s(PcieCounter::TX).map(drop)
    }),
    metrics("pcie_replay_counter", Call::PcieReplayCounter),
    call("field(138, all links)", FIELD_VALUES, |gpu, _| gpu.field(FieldId(138), FieldId::SCOPE_ALL_LINKS).map(drop)),
    call("total_ecc_errors", "nvmlDeviceGetTotalEccErrors", |gpu, _| {
        gpu.total_ecc_errors(EccErrorType::CORRECTED, EccCounterType::VOLATILE).map(drop)
    }),
    call("samples(TOTAL_POWER)", SAMPLES, |gpu, buffers| samples(gpu, SampleKind::TOTAL_POWER, buffers)),
    call("samples(GPU_UTILIZATION)", SAMPLES, |gpu, buffers| samples(gpu, SampleKind::GPU_UTILIZATION, buffers)),
    call("compute_processes", "nvmlDeviceGetComputeRunningProcesses_v3", |gpu, buffers| {
        gpu.processes(ProcessKind::Compute, &mut buffers.processes)
    }),
    call("graphics_processes", "nvmlDeviceGetGraphicsRunningProcesses_v3", |gpu, buffers| {
        gpu.processes(ProcessKind::Graphics, &mut buffers.processes)
    }),
    call("mps_processes", "nvmlDeviceGetMPSComputeRunningProcesses_v3", |gpu, buffers| {
        gpu.processes(ProcessKind::Mps, &mut buffers.processes)
    }),
    call("process_utilization", "nvmlDeviceGetProcessUtilization", |gpu, buffers| {
        gpu.process_utilization(0, &mut buffers.usage).map(drop)
    }),
    call(GPM_SAMPLE_GET, "nvmlGpmSampleGet", |gpu, buffers| match &mut buffers.gpm {
        Ok(sample) => gpu.gpm_sample_get(sample),
        Err(error) => Err(error.clone()),
    }),
    call("mig_mode", "nvmlDeviceGetMigMode", |gpu, _| gpu.mig_mode().map(drop)),
    call("uuid", "nvmlDeviceGetUUID", |gpu, _| gpu.uuid().map(drop)),
];

fn samples(gpu: &Device, kind: SampleKind, buffers: &mut CallBuffers) -> Result<()> {
    gpu.samples(kind, 0, &mut buffers.samples).map(drop)
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
