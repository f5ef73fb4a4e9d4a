//! The steps that every call takes: counting, the check for initialization, faults, and then the function itself.

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

/// The result of an NVML function.
pub(crate) type NvmlResult<T = ()> = Result<T, nvmlReturn_t>;

/// The state of one call.
pub(crate) struct CallContext {
    pub simulation: &'static Simulation,
    pub effects: FaultEffects,
    function: usize,
}

/// The GPU or MIG instance that a handle refers to.
#[derive(Clone, Copy)]
pub(crate) struct CallTarget {
    pub gpu: &'static SimulatedGpu,
    /// The MIG instance, or `None` if the handle refers to a GPU.
    pub instance: Option<&'static MigInstanceModel>,
}

/// Runs a function that does not take a GPU handle.
#[inline]
pub(crate) fn run(function: usize, body: impl FnOnce(&CallContext) -> NvmlResult) -> nvmlReturn_t {
    let _in_flight = InFlight::begin(function);
    return_code_of(|| {
        let simulation = initialized_simulation(function)?;
        let effects = apply_faults(function, None)?;
        body(&CallContext { simulation, effects, function })
    })
}

/// Runs a function that takes the handle of a GPU or MIG instance.
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

/// Runs a function that may be called before initialization. `body` takes the call, if there is an active scenario.
pub(crate) fn run_before_init(function: usize, body: impl FnOnce(Option<CallContext>) -> NvmlResult) -> nvmlReturn_t {
    let _in_flight = InFlight::begin(function);
    return_code_of(|| {
        let effects = apply_faults(function, None)?;
        body(simulation::active().map(|simulation| CallContext { simulation, effects, function }))
    })
}

/// Runs a function that the simulator does not model.
pub(crate) fn not_supported(function: usize) -> nvmlReturn_t {
    run(function, |_| Err(NVML_ERROR_NOT_SUPPORTED))
}

/// Converts the result of `body` to a return code. A panic is a bug in the simulator. It is caught here because it must
/// not cross the C ABI.
#[inline]
pub(crate) fn return_code_of(body: impl FnOnce() -> NvmlResult) -> nvmlReturn_t {
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

/// Applies the faults that delay, block, or fail this call, and returns the effects on its results.
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
            // SAFETY: pause takes no arguments. It returns after a signal handler has run, hence the loop.
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

/// Converts a number to a return code. The header need not define a code of this number.
pub(crate) const fn return_code(number: u32) -> nvmlReturn_t {
    nvml_sys::nvmlReturn_enum(number)
}

/// Waits for `us` microseconds, as [`clock::sleep`] does.
pub(crate) fn sleep_us(us: u64) {
    clock::sleep(us.saturating_mul(1000));
}

/// The upper bits of every handle. A handle is a number (tag, GPU, instance) rather than an address, so that an invalid
/// handle is rejected instead of dereferenced.
const HANDLE_TAG: usize = 0x4E56_0000;

/// Returns the handle of a GPU (`instance` 0) or of its nth MIG instance, counted from 1.
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
        // SAFETY: an active `Simulation` is never freed, and calls are only given active ones.
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
    /// Applies the faults that select this GPU, for a call that has no handle as an argument but looks one up.
    pub(crate) fn apply_gpu_faults(&self, gpu: u32) -> NvmlResult {
        if faults::has_faults(self.function) {
            apply_effects(faults::effects(self.function, Some(gpu), false, clock::now_ns()))?;
        }
        Ok(())
    }

    /// Returns `value`, or the value of a fault that replaces it.
    #[inline]
    pub(crate) fn value_or_fault<T: Scalar>(&self, value: T) -> T {
        self.effects.value.map_or(value, T::from_i64)
    }

    /// Writes a number, or the value of a fault that replaces it, through the caller's pointer.
    ///
    /// # Safety
    /// `pointer` must be null or writable for a `T`.
    #[inline]
    pub(crate) unsafe fn put<T: Scalar>(&self, pointer: *mut T, value: T) -> NvmlResult {
        // SAFETY: the caller upholds the same requirement.
        unsafe { put(pointer, self.value_or_fault(value)) }
    }

    /// Writes a string and a NUL into the caller's buffer of `length` bytes. A fault can replace the string.
    ///
    /// # Safety
    /// `pointer` must be null or writable for `length` bytes.
    pub(crate) unsafe fn put_text(&self, pointer: *mut c_char, length: c_uint, text: &str) -> NvmlResult {
        let length = length as usize;
        if pointer.is_null() {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        let bytes = self.effects.bytes.unwrap_or(text.as_bytes());
        if self.effects.no_nul {
            for at in 0..length {
                let byte = if bytes.is_empty() { b'x' } else { bytes[at % bytes.len()] };
                // SAFETY: `at` is less than `length`, for which the caller guarantees that `pointer` is writable.
                unsafe { pointer.add(at).write(byte as c_char) };
            }
            return Ok(());
        }
        if bytes.len() >= length {
            return Err(NVML_ERROR_INSUFFICIENT_SIZE);
        }
        // SAFETY: the string and its NUL fit in `length`, which was checked above.
        unsafe {
            pointer.copy_from_nonoverlapping(bytes.as_ptr().cast(), bytes.len());
            pointer.add(bytes.len()).write(0);
        }
        Ok(())
    }
}

/// Writes a value through the caller's pointer. Returns NVML_ERROR_INVALID_ARGUMENT if the pointer is null.
///
/// # Safety
/// `pointer` must be null or writable for a `T`.
#[inline]
pub(crate) unsafe fn put<T>(pointer: *mut T, value: T) -> NvmlResult {
    if pointer.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    // SAFETY: the pointer is not null, so the caller guarantees that it is writable. A pointer of this type is aligned
    // in C.
    unsafe { pointer.write(value) };
    Ok(())
}

/// A number that a fault can replace.
pub(crate) trait Scalar: Copy {
    /// Returns the lower bits of `value`, as a conversion in C does.
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
