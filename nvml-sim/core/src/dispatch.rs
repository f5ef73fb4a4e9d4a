//! The path of every call: counted, refused before init, struck by its faults, and only then answered.

use crate::counters::InFlight;
use crate::faults::{self, FaultEffects};
use crate::scenario::model::MigInstanceModel;
use crate::simulation::{self, SimulatedGpu, Simulation};
use crate::{clock, counters};
use nvml_sys::{
    NVML_ERROR_INSUFFICIENT_SIZE, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_UNINITIALIZED,
    NVML_ERROR_UNKNOWN, NVML_SUCCESS, nvmlDevice_t, nvmlReturn_t,
};
use std::ffi::{c_char, c_uint};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a function answers.
pub(crate) type NvmlResult<T = ()> = Result<T, nvmlReturn_t>;

/// One call on its way.
pub(crate) struct CallContext {
    pub simulation: &'static Simulation,
    pub effects: FaultEffects,
    function: usize,
}

/// What a handle stands for.
#[derive(Clone, Copy)]
pub(crate) struct CallTarget {
    pub gpu: &'static SimulatedGpu,
    /// The MIG instance, where the handle is one's.
    pub instance: Option<&'static MigInstanceModel>,
}

/// Runs a function that is not about one GPU.
#[inline]
pub(crate) fn run(function: usize, body: impl FnOnce(&CallContext) -> NvmlResult) -> nvmlReturn_t {
    let _in_flight = InFlight::begin(function);
    return_code_of(|| {
        let simulation = initialized_simulation(function)?;
        let effects = apply_faults(function, None)?;
        body(&CallContext { simulation, effects, function })
    })
}

/// Runs a function about the GPU or instance of `handle`.
#[inline]
pub(crate) fn run_on_device(
    function: usize,
    handle: nvmlDevice_t,
    body: impl FnOnce(&CallContext, CallTarget) -> NvmlResult,
) -> nvmlReturn_t {
    let _in_flight = InFlight::begin(function);
    return_code_of(|| {
        let simulation = initialized_simulation(function)?;
        let target = simulation.target(handle)?;
        let effects = apply_faults(function, Some(target.gpu.index))?;
        body(&CallContext { simulation, effects, function }, target)
    })
}

/// Runs a function that may be called before init: `body` gets the scenario, if one is in force.
pub(crate) fn run_before_init(
    function: usize,
    body: impl FnOnce(Option<&'static Simulation>) -> NvmlResult,
) -> nvmlReturn_t {
    let _in_flight = InFlight::begin(function);
    return_code_of(|| {
        apply_faults(function, None)?;
        body(simulation::active())
    })
}

/// Runs a function that the simulator does not model.
pub(crate) fn not_supported(function: usize) -> nvmlReturn_t {
    run(function, |_| Err(NVML_ERROR_NOT_SUPPORTED))
}

/// The code of an answer. A panic would be a bug of the simulator; it must not cross the C ABI.
#[inline]
fn return_code_of(body: impl FnOnce() -> NvmlResult) -> nvmlReturn_t {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => NVML_SUCCESS,
        Ok(Err(code)) => code,
        Err(_) => NVML_ERROR_UNKNOWN,
    }
}

#[inline]
fn initialized_simulation(function: usize) -> NvmlResult<&'static Simulation> {
    if simulation::is_initialized()
        && let Some(simulation) = simulation::active()
    {
        if let Some(costs) = &simulation.cpu_time_ns {
            clock::spend(costs.get(function).copied().unwrap_or(0));
        }
        return Ok(simulation);
    }
    Err(uninitialized_error())
}

#[cold]
fn uninitialized_error() -> nvmlReturn_t {
    if simulation::was_initialized() {
        counters::after_shutdown();
    }
    NVML_ERROR_UNINITIALIZED
}

/// The effects of faults on this call, after those that are over before it is answered.
#[inline]
fn apply_faults(function: usize, gpu: Option<u32>) -> NvmlResult<FaultEffects> {
    if !faults::has_faults(function) {
        return Ok(FaultEffects::default());
    }
    apply_effects(faults::effects(function, gpu, true, clock::now_ns()))
}

#[cold]
fn apply_effects(effects: FaultEffects) -> NvmlResult<FaultEffects> {
    if effects.latency_us > 0 {
        sleep_us(effects.latency_us);
    }
    if effects.hang {
        loop {
            // SAFETY: pause takes nothing; it returns after a signal handler ran, so again.
            unsafe { libc::pause() };
        }
    }
    if let Some(changes) = effects.block {
        faults::wait_for_change(changes);
    }
    match effects.code {
        Some(0) | None => Ok(effects),
        Some(number) => Err(return_code(number)),
    }
}

/// A code by its number, whether the header knows it or not.
pub(crate) const fn return_code(number: u32) -> nvmlReturn_t {
    nvml_sys::nvmlReturn_enum(number)
}

/// Takes this much time.
pub(crate) fn sleep_us(us: u64) {
    clock::sleep(us.saturating_mul(1000));
}

/// Handles are numbers, not addresses, so that a wild one is refused instead of read: mark, GPU, instance.
const HANDLE_TAG: usize = 0x4E56_0000;

/// The handle of a GPU (`instance` 0) or of its nth MIG instance, from 1.
pub(crate) fn handle(gpu: u32, instance: usize) -> nvmlDevice_t {
    (HANDLE_TAG | (gpu as usize) << 8 | instance) as nvmlDevice_t
}

impl Simulation {
    #[inline]
    pub(crate) fn target(&self, handle: nvmlDevice_t) -> NvmlResult<CallTarget>
    where
        Self: 'static,
    {
        let number = handle as usize;
        if number & !0xFFFF != HANDLE_TAG {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        // SAFETY: a Simulation is never freed once it is in force, and a call only ever gets one in force.
        let simulation: &'static Self = unsafe { &*std::ptr::from_ref(self) };
        let gpu = simulation.gpus.get(number >> 8 & 0xFF).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        let instance = match number & 0xFF {
            0 => None,
            nth => Some(gpu.mig_instances().get(nth - 1).ok_or(NVML_ERROR_INVALID_ARGUMENT)?),
        };
        Ok(CallTarget { gpu, instance })
    }
}

impl CallContext {
    /// The call turns out to be about this GPU, as one for its handle does: the faults of that GPU alone strike too.
    pub(crate) fn apply_gpu_faults(&self, gpu: u32) -> NvmlResult {
        if faults::has_faults(self.function) {
            apply_effects(faults::effects(self.function, Some(gpu), false, clock::now_ns()))?;
        }
        Ok(())
    }

    /// A number for the caller, or the one that a fault puts in its place.
    #[inline]
    pub(crate) fn value_or_fault<T: Scalar>(&self, value: T) -> T {
        self.effects.value.map_or(value, T::from_i64)
    }

    /// Writes a number where the caller wants it.
    ///
    /// # Safety
    /// `place` must be null or writable for a `T`.
    #[inline]
    pub(crate) unsafe fn put<T: Scalar>(&self, place: *mut T, value: T) -> NvmlResult {
        // SAFETY: as the caller vouches.
        unsafe { put(place, self.value_or_fault(value)) }
    }

    /// Writes a text and its NUL into the caller's buffer of `length` bytes, or what a fault wants there.
    ///
    /// # Safety
    /// `place` must be null or writable for `length` bytes.
    pub(crate) unsafe fn put_text(&self, place: *mut c_char, length: c_uint, text: &str) -> NvmlResult {
        let length = length as usize;
        if place.is_null() {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        let bytes = self.effects.bytes.unwrap_or(text.as_bytes());
        if self.effects.no_nul {
            for at in 0..length {
                let byte = if bytes.is_empty() { b'x' } else { bytes[at % bytes.len()] };
                // SAFETY: `at` is below the length that the caller vouches for.
                unsafe { place.add(at).write(byte as c_char) };
            }
            return Ok(());
        }
        if bytes.len() >= length {
            return Err(NVML_ERROR_INSUFFICIENT_SIZE);
        }
        // SAFETY: the text and its NUL fit, as was just asked.
        unsafe {
            place.copy_from_nonoverlapping(bytes.as_ptr().cast(), bytes.len());
            place.add(bytes.len()).write(0);
        }
        Ok(())
    }
}

/// Writes a value where the caller wants it.
///
/// # Safety
/// `place` must be null or writable for a `T`.
#[inline]
pub(crate) unsafe fn put<T>(place: *mut T, value: T) -> NvmlResult {
    if place.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    // SAFETY: not null, so writable as the caller vouches; NVML asks no alignment that C would not give.
    unsafe { place.write(value) };
    Ok(())
}

/// A number that a fault can put another in the place of.
pub(crate) trait Scalar: Copy {
    /// The number's lower bits, as C would convert it.
    fn from_i64(value: i64) -> Self;
}

impl Scalar for u32 {
    fn from_i64(value: i64) -> Self {
        value as Self
    }
}

impl Scalar for i32 {
    fn from_i64(value: i64) -> Self {
        value as Self
    }
}

impl Scalar for u64 {
    fn from_i64(value: i64) -> Self {
        value as Self
    }
}
