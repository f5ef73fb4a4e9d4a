//! Field values: several values in one call, each with its own type and return code.

use super::{ecc, nvlink, power, settings, thermal};
use crate::clock;
use crate::dispatch::{self, CallTarget, NvmlResult};
use crate::scenario::model::{FieldModel, FieldValueType};
use crate::waveform::{round_u32, round_u64};
use nvml_sys::*;
use std::ffi::c_int;

export! {
    nvmlDeviceGetFieldValues(device: nvmlDevice_t, count: c_int, values: *mut nvmlFieldValue_t)
    on device => |call, target| {
        if values.is_null() || count <= 0 {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        let ns = clock::now_ns();
        for index in 0..count as usize {
            let entry = &mut *values.add(index);
            let latency = call.simulation.driver.field_latency_us;
            entry.timestamp = clock::wall_us(ns) as i64 - latency;
            entry.latencyUsec = latency;
            let found = match call.effects.field_code {
                Some((id, number)) if id == entry.fieldId && number != 0 => Err(dispatch::return_code(number)),
                _ if entry.fieldId > call.simulation.driver.max_field_id => Err(NVML_ERROR_NOT_SUPPORTED),
                _ => field_value(target, entry.fieldId, entry.scopeId, ns),
            };
            match found {
                Ok(TypedValue { kind, value }) => {
                    entry.nvmlReturn = NVML_SUCCESS;
                    entry.valueType = kind;
                    entry.value = match call.effects.value {
                        Some(number) if kind == NVML_VALUE_TYPE_DOUBLE => nvmlValue_t { dVal: number as f64 },
                        Some(number) => nvmlValue_t { sllVal: number },
                        None => value,
                    };
                }
                Err(code) => entry.nvmlReturn = code,
            }
        }
        Ok(())
    }
}

/// A value and its type.
struct TypedValue {
    kind: nvmlValueType_t,
    value: nvmlValue_t,
}

fn uint(value: u32) -> TypedValue {
    let mut all = nvmlValue_t { ullVal: 0 };
    all.uiVal = value;
    TypedValue { kind: NVML_VALUE_TYPE_UNSIGNED_INT, value: all }
}

fn ulonglong(value: u64) -> TypedValue {
    TypedValue { kind: NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, value: nvmlValue_t { ullVal: value } }
}

fn sint(value: i32) -> TypedValue {
    TypedValue { kind: NVML_VALUE_TYPE_SIGNED_INT, value: nvmlValue_t { siVal: value } }
}

fn double(value: f64) -> TypedValue {
    TypedValue { kind: NVML_VALUE_TYPE_DOUBLE, value: nvmlValue_t { dVal: value } }
}

fn field_value(target: CallTarget, id: u32, scope: u32, ns: u64) -> NvmlResult<TypedValue> {
    let gpu = &target.gpu.model;
    let own = |field: &&FieldModel| field.id == id && field.scope.is_none_or(|wanted| wanted == scope);
    if let Some(field) = gpu.field.iter().find(own) {
        return scenario_value(field, target.gpu.waveform_time_s(ns));
    }
    let t = target.gpu.waveform_time_s(ns);
    let limit = |watts: f64| uint(round_u32(1e3 * watts));
    match id {
        NVML_FI_DEV_ECC_CURRENT => Ok(uint(u32::from(gpu.ecc.ok_or(NVML_ERROR_NOT_SUPPORTED)?.enabled))),
        NVML_FI_DEV_ECC_PENDING => Ok(uint(u32::from(gpu.ecc.ok_or(NVML_ERROR_NOT_SUPPORTED)?.pending))),
        NVML_FI_DEV_ECC_SBE_VOL_TOTAL | NVML_FI_DEV_ECC_SBE_VOL_DEV => {
            Ok(ulonglong(ecc::enabled(target)?.volatile_corrected))
        }
        NVML_FI_DEV_ECC_DBE_VOL_TOTAL | NVML_FI_DEV_ECC_DBE_VOL_DEV => {
            Ok(ulonglong(ecc::enabled(target)?.volatile_uncorrected))
        }
        NVML_FI_DEV_ECC_SBE_AGG_TOTAL | NVML_FI_DEV_ECC_SBE_AGG_DEV => {
            Ok(ulonglong(ecc::enabled(target)?.aggregate_corrected))
        }
        NVML_FI_DEV_ECC_DBE_AGG_TOTAL | NVML_FI_DEV_ECC_DBE_AGG_DEV => {
            Ok(ulonglong(ecc::enabled(target)?.aggregate_uncorrected))
        }
        NVML_FI_DEV_RETIRED_SBE
        | NVML_FI_DEV_RETIRED_DBE
        | NVML_FI_DEV_RETIRED_PENDING
        | NVML_FI_DEV_REMAPPED_COR
        | NVML_FI_DEV_REMAPPED_UNC
        | NVML_FI_DEV_REMAPPED_PENDING
        | NVML_FI_DEV_REMAPPED_FAILURE => {
            ecc::enabled(target)?;
            Ok(uint(0))
        }
        NVML_FI_DEV_PERF_POLICY_POWER..=NVML_FI_DEV_PERF_POLICY_RELIABILITY => {
            let policy = nvmlPerfPolicyType_enum(id - NVML_FI_DEV_PERF_POLICY_POWER);
            Ok(ulonglong(settings::throttled_ns(target, policy, ns)?))
        }
        NVML_FI_DEV_MEMORY_TEMP => {
            Ok(uint(round_u32(gpu.temperature.memory_c.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?.value(t))))
        }
        NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT => {
            Ok(sint(thermal::relative_threshold_c(target, gpu.temperature.shutdown_threshold_c)?))
        }
        NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT => {
            Ok(sint(thermal::relative_threshold_c(target, gpu.temperature.slowdown_threshold_c)?))
        }
        NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT => {
            Ok(sint(thermal::relative_threshold_c(target, gpu.temperature.gpu_max_threshold_c)?))
        }
        // The limit of the memory is its maximum operating temperature.
        NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT => {
            thermal::margin_c(target)?;
            gpu.temperature.memory_max_threshold_c.map(|_| sint(0)).ok_or(NVML_ERROR_NOT_SUPPORTED)
        }
        NVML_FI_DEV_GPU_TEMP => Ok(double(thermal::gpu_celsius(target))),
        NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION | NVML_FI_DEV_ENERGY => {
            check_power_supported(target)?;
            Ok(ulonglong(target.gpu.energy_mj(ns).ok_or(NVML_ERROR_NOT_SUPPORTED)?))
        }
        NVML_FI_DEV_POWER_AVERAGE | NVML_FI_DEV_POWER_INSTANT => power_draw(target, id, scope, ns),
        NVML_FI_DEV_POWER_MIN_LIMIT
        | NVML_FI_DEV_POWER_MAX_LIMIT
        | NVML_FI_DEV_POWER_DEFAULT_LIMIT
        | NVML_FI_DEV_POWER_CURRENT_LIMIT
        | NVML_FI_DEV_POWER_REQUESTED_LIMIT
            if scope != NVML_POWER_SCOPE_GPU =>
        {
            Err(NVML_ERROR_NOT_SUPPORTED)
        }
        NVML_FI_DEV_POWER_MIN_LIMIT => Ok(limit(power::limits(target)?.min)),
        NVML_FI_DEV_POWER_MAX_LIMIT => Ok(limit(power::limits(target)?.max)),
        NVML_FI_DEV_POWER_DEFAULT_LIMIT => Ok(limit(power::limits(target)?.default)),
        NVML_FI_DEV_POWER_CURRENT_LIMIT | NVML_FI_DEV_POWER_REQUESTED_LIMIT => {
            Ok(limit(power::limits(target)?.current))
        }
        NVML_FI_DEV_PCIE_REPLAY_COUNTER => Ok(uint(gpu.pci.replay_counter)),
        NVML_FI_DEV_PCIE_COUNT_TX_BYTES => Ok(ulonglong(transferred(target, &gpu.pci.tx_kib_per_s, ns, 1024.0))),
        NVML_FI_DEV_PCIE_COUNT_RX_BYTES => Ok(ulonglong(transferred(target, &gpu.pci.rx_kib_per_s, ns, 1024.0))),
        NVML_FI_DEV_NVLINK_LINK_COUNT => Ok(uint(gpu.nvlink.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?.link_count)),
        NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON => Ok(uint(nvlink::check_link(target, 0)?.speed_mbps)),
        NVML_FI_DEV_NVLINK_SPEED_MBPS_L0..=NVML_FI_DEV_NVLINK_SPEED_MBPS_L5 => {
            Ok(uint(nvlink::check_link(target, id - NVML_FI_DEV_NVLINK_SPEED_MBPS_L0)?.speed_mbps))
        }
        NVML_FI_DEV_NVLINK_SPEED_MBPS_L6..=NVML_FI_DEV_NVLINK_SPEED_MBPS_L11 => {
            Ok(uint(nvlink::check_link(target, 6 + id - NVML_FI_DEV_NVLINK_SPEED_MBPS_L6)?.speed_mbps))
        }
        NVML_FI_DEV_NVLINK_GET_SPEED => Ok(uint(nvlink::check_link(target, scope)?.speed_mbps)),
        NVML_FI_DEV_NVLINK_GET_STATE => nvlink::check_link(target, scope).map(|_| uint(1)),
        NVML_FI_DEV_NVLINK_GET_VERSION => Ok(uint(nvlink::check_link(target, scope)?.version)),
        NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX..=NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_RX => {
            nvlink_throughput(target, id, scope, ns)
        }
        _ => Err(NVML_ERROR_NOT_SUPPORTED),
    }
}

fn check_power_supported(target: CallTarget) -> NvmlResult {
    if target.gpu.model.power.supported { Ok(()) } else { Err(NVML_ERROR_NOT_SUPPORTED) }
}

/// Returns the amount of data transferred since the start of the scenario: the integral of `waveform`, multiplied by
/// `factor`.
fn transferred(target: CallTarget, waveform: &crate::waveform::Waveform, ns: u64, factor: f64) -> u64 {
    round_u64(factor * waveform.integral(target.gpu.waveform_time_s(0), target.gpu.waveform_time_s(ns)))
}

/// Returns the power field `id` in milliwatts. The scope is the GPU, its module, or its memory.
fn power_draw(target: CallTarget, id: u32, scope: u32, ns: u64) -> NvmlResult<TypedValue> {
    check_power_supported(target)?;
    let power = &target.gpu.model.power;
    let instant = id == NVML_FI_DEV_POWER_INSTANT;
    let gpu =
        if instant { target.gpu.instant_mw(ns).ok_or(NVML_ERROR_NOT_SUPPORTED)? } else { target.gpu.average_mw(ns) };
    let (period, window) =
        if instant { (power.instant_refresh_ms, power.instant_window_ms) } else { (power.refresh_ms, power.window_ms) };
    let end = target.gpu.waveform_time_s(ns / (period * 1_000_000) * period * 1_000_000);
    let mean = |waveform: &crate::waveform::Waveform| round_u32(1e3 * waveform.mean(end - window as f64 / 1e3, end));
    match scope {
        NVML_POWER_SCOPE_GPU => Ok(uint(gpu)),
        NVML_POWER_SCOPE_MODULE => Ok(uint(gpu + mean(power.module_extra_w.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?))),
        // Real GPUs report the power of the memory as an average only.
        NVML_POWER_SCOPE_MEMORY if instant => Err(NVML_ERROR_NOT_SUPPORTED),
        NVML_POWER_SCOPE_MEMORY => Ok(uint(mean(power.memory_w.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?))),
        _ => Err(NVML_ERROR_INVALID_ARGUMENT),
    }
}

/// Returns an NVLink counter in KiB, of the link `scope`, or of all links if `scope` is 0xFFFFFFFF. The raw counters
/// include the protocol overhead, which is one eighth of the data.
fn nvlink_throughput(target: CallTarget, id: u32, scope: u32, ns: u64) -> NvmlResult<TypedValue> {
    let nvlink = target.gpu.model.nvlink.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    let sends = id == NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX || id == NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_TX;
    let raw = id == NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_TX || id == NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_RX;
    let waveform = if sends { &nvlink.tx_kib_per_s } else { &nvlink.rx_kib_per_s };
    let part = if scope == u32::MAX {
        1.0
    } else if scope < nvlink.link_count {
        1.0 / f64::from(nvlink.link_count)
    } else {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    };
    Ok(ulonglong(transferred(target, waveform, ns, part * if raw { 1.125 } else { 1.0 })))
}

/// Returns a field value that the scenario sets.
fn scenario_value(field: &FieldModel, t: f64) -> NvmlResult<TypedValue> {
    if let Some(number) = field.code.filter(|number| *number != 0) {
        return Err(dispatch::return_code(number));
    }
    let value = field.value.value(t);
    let mut all = nvmlValue_t { ullVal: 0 };
    let kind = match field.kind {
        FieldValueType::Double => {
            all.dVal = value;
            NVML_VALUE_TYPE_DOUBLE
        }
        FieldValueType::Uint => {
            all.uiVal = round_u32(value);
            NVML_VALUE_TYPE_UNSIGNED_INT
        }
        FieldValueType::Ulong => {
            all.ulVal = round_u64(value) as std::ffi::c_ulong;
            NVML_VALUE_TYPE_UNSIGNED_LONG
        }
        FieldValueType::Ulonglong => {
            all.ullVal = round_u64(value);
            NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
        }
        FieldValueType::Slonglong => {
            all.sllVal = value.round() as i64;
            NVML_VALUE_TYPE_SIGNED_LONG_LONG
        }
        FieldValueType::Sint => {
            all.siVal = value.round() as i32;
            NVML_VALUE_TYPE_SIGNED_INT
        }
        FieldValueType::Ushort => {
            all.usVal = value.round() as u16;
            NVML_VALUE_TYPE_UNSIGNED_SHORT
        }
        FieldValueType::Raw(number) => {
            all.ullVal = round_u64(value);
            nvmlValueType_enum(number)
        }
    };
    Ok(TypedValue { kind, value: all })
}
