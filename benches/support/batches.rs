//! Calls that fill a buffer, and calls that return another device.

use super::case::{Case, Timed, timed};
use super::{Clients, assert_success};
use igpu::{Device, FieldId, FieldValue, ProcessUtilization, Sample, SampleKind};
use nvml_sys as sys;
use nvml_wrapper::enum_wrappers::device::Sampling;
use nvml_wrapper::enums::device::SampleValue;

/// Fields that a sampler reads from an H100.
const FIELDS: [FieldId; 6] = [
    FieldId::POWER_AVERAGE,
    FieldId::POWER_INSTANT,
    FieldId::TOTAL_ENERGY,
    FieldId::MEMORY_TEMP,
    FieldId::PCIE_TX_BYTES,
    FieldId::PCIE_RX_BYTES,
];
/// The capacity of the buffer for samples, which is at least that of each sample buffer of the simulated driver.
const BUFFER_CAPACITY: usize = 120;

/// Returns the cases of field values, sample buffers, process utilization, and MIG devices.
pub(crate) fn cases(clients: &Clients) -> Vec<Case> {
    vec![
        field_values(clients),
        samples(clients),
        process_utilization(clients),
        mig_device(clients),
        mig_parent(clients),
    ]
}

fn field_values(clients: &Clients) -> Case {
    let gpu = clients.gpu(0);
    let mut batch = FIELDS.map(|field| FieldValue::new(field, 0));
    let igpu_call = timed(move || {
        gpu.field_values(&mut batch).unwrap();
        batch.iter().map(|value| value.value().unwrap().as_u64()).sum::<u64>()
    });
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetFieldValues.unwrap());
    let mut batch = FIELDS.map(|field| sys::nvmlFieldValue_t { fieldId: field.0, ..Default::default() });
    let raw = timed(move || {
        // SAFETY: NVML remains initialized, because `Clients::load` leaks a handle; the pointer and the length are
        // those of `batch`.
        assert_success(unsafe { function(gpu, batch.len() as i32, batch.as_mut_ptr()) });
        let read = |value: &sys::nvmlFieldValue_t| {
            assert_success(value.nvmlReturn);
            // SAFETY: the union was zeroed before the call, and every bit pattern is a valid number.
            unsafe { value.value.ullVal }
        };
        batch.iter().map(read).sum::<u64>()
    });
    let gpu = clients.wrapper_device(0);
    let fields = FIELDS.map(|field| nvml_wrapper::structs::device::FieldId(field.0));
    let wrapper = timed(move || {
        let batch = gpu.field_values_for(&fields).unwrap();
        batch.into_iter().map(|value| number(&value.unwrap().value.unwrap())).sum::<u64>()
    });
    Case::new("field_values, 6 fields", igpu_call, raw).wrapper(wrapper)
}

/// Converts a value of `nvml-wrapper`.
fn number(value: &SampleValue) -> u64 {
    match value {
        SampleValue::F64(value) => *value as u64,
        SampleValue::U32(value) => u64::from(*value),
        SampleValue::U64(value) => *value,
        other => panic!("{other:?}"),
    }
}

fn samples(clients: &Clients) -> Case {
    let gpu = clients.gpu(0);
    let mut buffer = [Sample::default(); BUFFER_CAPACITY];
    let igpu_call = timed(move || {
        let samples = gpu.samples(SampleKind::TOTAL_POWER, 0, &mut buffer).unwrap();
        samples.iter().map(|sample| sample.unwrap().1.as_u64()).sum::<u64>()
    });
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetSamples.unwrap());
    let mut buffer = [sys::nvmlSample_t::default(); BUFFER_CAPACITY];
    let raw = timed(move || {
        let (mut value_type, mut count) = (sys::nvmlValueType_enum(0), BUFFER_CAPACITY as u32);
        let power = sys::NVML_TOTAL_POWER_SAMPLES;
        // SAFETY: as in `field_values`, with the pointer and the capacity of `buffer`.
        assert_success(unsafe { function(gpu, power, 0, &mut value_type, &mut count, buffer.as_mut_ptr()) });
        assert!(value_type == sys::NVML_VALUE_TYPE_UNSIGNED_INT);
        // SAFETY: the union was zeroed before the call, and every bit pattern is a valid number.
        buffer[..count as usize].iter().map(|sample| u64::from(unsafe { sample.sampleValue.uiVal })).sum::<u64>()
    });
    let gpu = clients.wrapper_device(0);
    let wrapper = timed(move || {
        let samples = gpu.samples(Sampling::Power, None).unwrap();
        samples.iter().map(|sample| number(&sample.value)).sum::<u64>()
    });
    Case::new("samples, buffer of 120", igpu_call, raw).wrapper(wrapper)
}

fn process_utilization(clients: &Clients) -> Case {
    let gpu = clients.gpu(3);
    let mut buffer = [ProcessUtilization::default(); 64];
    let igpu_call = timed(move || {
        let processes = gpu.process_utilization(0, &mut buffer).unwrap();
        (processes.len(), processes.iter().map(ProcessUtilization::sm).sum::<u32>())
    });
    let (gpu, function) = (clients.gpu(3).handle(), clients.raw.nvmlDeviceGetProcessUtilization.unwrap());
    let mut buffer = [sys::nvmlProcessUtilizationSample_t::default(); 64];
    let raw = timed(move || {
        let mut count = buffer.len() as u32;
        // SAFETY: as in `field_values`, with the pointer and the length of `buffer`.
        assert_success(unsafe { function(gpu, buffer.as_mut_ptr(), &mut count, 0) });
        (count as usize, buffer[..count as usize].iter().map(|entry| entry.smUtil).sum::<u32>())
    });
    let gpu = clients.wrapper_device(3);
    let wrapper = timed(move || {
        let processes = gpu.process_utilization_stats(0).unwrap();
        (processes.len(), processes.iter().map(|entry| entry.sm_util).sum::<u32>())
    });
    Case::new("process_utilization, 16", igpu_call, raw).wrapper(wrapper)
}

/// Creates and drops a device, which increments and decrements a reference count.
fn mig_device(clients: &Clients) -> Case {
    let gpu = clients.gpu(1);
    let igpu_call = timed(move || gpu.mig_device(0).unwrap().handle());
    let (gpu, function) = (clients.gpu(1).handle(), clients.raw.nvmlDeviceGetMigDeviceHandleByIndex.unwrap());
    let raw = timed(move || {
        let mut handle = sys::nvmlDevice_t::default();
        // SAFETY: as in `field_values`, with a pointer to a handle.
        assert_success(unsafe { function(gpu, 0, &mut handle) });
        handle
    });
    let gpu = clients.wrapper_device(1);
    // SAFETY: the handle is compared and not used for a call.
    let handle = |device: nvml_wrapper::Device| unsafe { device.handle() }.cast();
    let wrapper: Timed = timed(move || -> sys::nvmlDevice_t { handle(gpu.mig_device_by_index(0).unwrap()) });
    Case::new("mig_device", igpu_call, raw).wrapper(wrapper)
}

fn mig_parent(clients: &Clients) -> Case {
    let instance = clients.gpu(1).mig_device(0).unwrap();
    let handle = instance.handle();
    let igpu_call = timed(move || Device::handle(&instance.mig_parent().unwrap()));
    let function = clients.raw.nvmlDeviceGetDeviceHandleFromMigDeviceHandle.unwrap();
    let raw = timed(move || {
        let mut parent = sys::nvmlDevice_t::default();
        // SAFETY: as in `field_values`, with a pointer to a handle.
        assert_success(unsafe { function(handle, &mut parent) });
        parent
    });
    Case::new("mig_parent", igpu_call, raw)
}
