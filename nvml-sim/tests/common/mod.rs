//! Shared helpers of the tests: an initialized driver, and short forms of NVML calls.

#![allow(dead_code, reason = "each test binary uses some of the helpers")]

use nvml_sim::SharedDriver;
use nvml_sys::*;
use std::time::Duration;

/// An initialized driver whose clock is stopped at 0.
pub(crate) struct TestDriver {
    pub driver: SharedDriver,
    pub nvml: Functions,
}

impl std::ops::Deref for TestDriver {
    type Target = SharedDriver;

    fn deref(&self) -> &SharedDriver {
        &self.driver
    }
}

/// Creates a driver. The argument is TOML if it contains a line break, and otherwise the name of a built-in scenario.
pub(crate) fn sim(scenario: &str) -> TestDriver {
    let driver =
        if scenario.contains('\n') { SharedDriver::from_toml(scenario) } else { SharedDriver::from_name(scenario) };
    let driver = driver.unwrap();
    driver.set_time(Duration::ZERO);
    let sim = TestDriver { nvml: driver.functions(), driver };
    // SAFETY: nvmlInit_v2 takes no arguments.
    assert_eq!(unsafe { sim.nvml.nvmlInit_v2.unwrap()() }, NVML_SUCCESS);
    sim
}

impl TestDriver {
    pub(crate) fn gpu(&self, index: u32) -> nvmlDevice_t {
        let mut device = std::ptr::null_mut();
        // SAFETY: the pointer is to a live handle.
        let code = unsafe { self.nvml.nvmlDeviceGetHandleByIndex_v2.unwrap()(index, &raw mut device) };
        assert_eq!(code, NVML_SUCCESS);
        device
    }

    pub(crate) fn at(&self, seconds: f64) {
        self.driver.set_time(Duration::from_secs_f64(seconds));
    }

    pub(crate) fn power(&self, index: u32) -> Result<u32, nvmlReturn_t> {
        number(self.nvml.nvmlDeviceGetPowerUsage, self.gpu(index))
    }

    /// Calls a process list function whose entries have `stride` bytes (16, 24, or 32), with a buffer for `capacity`
    /// entries. Returns the return code, the count that the call writes, and the entries.
    pub(crate) fn list(
        &self,
        call: ListCall,
        device: nvmlDevice_t,
        stride: usize,
        capacity: u32,
    ) -> (nvmlReturn_t, u32, Vec<ProcessEntry>) {
        let mut bytes = vec![0xAAu8; 32 * capacity as usize + 32];
        let mut count = capacity;
        // SAFETY: the buffer is large enough for `capacity` entries of the largest size.
        let code = unsafe { call(device, &raw mut count, bytes.as_mut_ptr().cast()) };
        let mut rows = Vec::new();
        if code == NVML_SUCCESS {
            for at in (0..count as usize).map(|row| row * stride) {
                let word = |from: usize| u32::from_ne_bytes(bytes[at + from..at + from + 4].try_into().unwrap());
                let memory = u64::from_ne_bytes(bytes[at + 8..at + 16].try_into().unwrap());
                let (gi, ci) = if stride > 16 { (word(16), word(20)) } else { (0, 0) };
                rows.push(ProcessEntry { pid: word(0), memory, gi, ci });
            }
            // The call has written nothing after the last entry.
            assert!(bytes[count as usize * stride..].iter().all(|byte| *byte == 0xAA));
        }
        (code, count, rows)
    }

    pub(crate) fn field(&self, device: nvmlDevice_t, id: u32, scope: u32) -> nvmlFieldValue_t {
        let mut value = nvmlFieldValue_t {
            fieldId: id,
            scopeId: scope,
            timestamp: 0,
            latencyUsec: 0,
            valueType: nvmlValueType_enum(77),
            nvmlReturn: nvmlReturn_enum(77),
            value: nvmlValue_t { ullVal: 0 },
        };
        // SAFETY: the pointer is to one live entry.
        let code = unsafe { self.nvml.nvmlDeviceGetFieldValues.unwrap()(device, 1, &raw mut value) };
        assert_eq!(code, NVML_SUCCESS);
        value
    }

    /// Returns the timestamps and values in a sample buffer, or the error code.
    pub(crate) fn samples(
        &self,
        device: nvmlDevice_t,
        kind: nvmlSamplingType_t,
        last_seen: u64,
        capacity: u32,
    ) -> Result<Vec<(u64, u32)>, nvmlReturn_t> {
        let mut samples =
            vec![nvmlSample_t { timeStamp: 0, sampleValue: nvmlValue_t { ullVal: 0 } }; capacity as usize];
        let mut count = capacity;
        let mut value_type = nvmlValueType_enum(77);
        // SAFETY: the buffer has capacity for `count` samples.
        let code = unsafe {
            self.nvml.nvmlDeviceGetSamples.unwrap()(
                device,
                kind,
                last_seen,
                &raw mut value_type,
                &raw mut count,
                samples.as_mut_ptr(),
            )
        };
        if code != NVML_SUCCESS {
            return Err(code);
        }
        assert_eq!(value_type, NVML_VALUE_TYPE_UNSIGNED_INT);
        // SAFETY: the type of the values was checked above.
        let value = |sample: &nvmlSample_t| (sample.timeStamp, unsafe { sample.sampleValue.uiVal });
        Ok(samples[..count as usize].iter().map(value).collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ProcessEntry {
    pub pid: u32,
    pub memory: u64,
    pub gi: u32,
    pub ci: u32,
}

pub(crate) type ListCall = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_t) -> nvmlReturn_t;

/// Converts a function that writes entries in the first layout to the type of the current functions.
pub(crate) fn v1(
    call: Option<unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_v1_t) -> nvmlReturn_t>,
) -> ListCall {
    // SAFETY: the two types differ only in the type to which a pointer points.
    unsafe { std::mem::transmute(call.unwrap()) }
}

pub(crate) type NumberCall = Option<unsafe extern "C" fn(nvmlDevice_t, *mut u32) -> nvmlReturn_t>;

pub(crate) fn number(call: NumberCall, device: nvmlDevice_t) -> Result<u32, nvmlReturn_t> {
    let mut value = 0;
    // SAFETY: the pointer is to a live number.
    match unsafe { call.unwrap()(device, &raw mut value) } {
        NVML_SUCCESS => Ok(value),
        code => Err(code),
    }
}

pub(crate) type TextCall = Option<unsafe extern "C" fn(nvmlDevice_t, *mut std::ffi::c_char, u32) -> nvmlReturn_t>;

/// Calls a function that returns a string, and returns the whole buffer of 96 bytes, or the error code.
pub(crate) fn text(call: TextCall, device: nvmlDevice_t) -> Result<[u8; 96], nvmlReturn_t> {
    let mut buffer = [0xAAu8; 96];
    // SAFETY: the arguments are a buffer and its length.
    match unsafe { call.unwrap()(device, buffer.as_mut_ptr().cast(), 96) } {
        NVML_SUCCESS => Ok(buffer),
        code => Err(code),
    }
}

pub(crate) fn string(call: TextCall, device: nvmlDevice_t) -> String {
    let buffer = text(call, device).unwrap();
    std::ffi::CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().to_owned()
}
