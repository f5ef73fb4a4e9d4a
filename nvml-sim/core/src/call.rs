//! The path of every call: counted, refused before init, struck by its faults, and only then answered.

use crate::counters::InFlight;
use crate::faults::{self, Effects};
use crate::scenario::model::Instance;
use crate::state::{self, Device, Sim};
use crate::{clock, counters};
use nvml_sys::{
    NVML_ERROR_INSUFFICIENT_SIZE, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_UNINITIALIZED,
    NVML_ERROR_UNKNOWN, NVML_SUCCESS, nvmlDevice_t, nvmlReturn_t,
};
use std::ffi::{c_char, c_uint};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a function answers.
pub(crate) type Answer<T = ()> = Result<T, nvmlReturn_t>;

/// One call on its way.
pub(crate) struct Call {
    pub sim: &'static Sim,
    pub effects: Effects,
    function: usize,
}

/// What a handle stands for.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub device: &'static Device,
    /// The MIG instance, where the handle is one's.
    pub instance: Option<&'static Instance>,
}

/// Runs a function that is not about one GPU.
#[inline]
pub(crate) fn run(function: usize, body: impl FnOnce(&Call) -> Answer) -> nvmlReturn_t {
    let _in_flight = InFlight::begin(function);
    finish(|| {
        let sim = ready(function)?;
        let effects = strike(function, None)?;
        body(&Call { sim, effects, function })
    })
}

/// Runs a function about the GPU or instance of `handle`.
#[inline]
pub(crate) fn run_on(
    function: usize,
    handle: nvmlDevice_t,
    body: impl FnOnce(&Call, Target) -> Answer,
) -> nvmlReturn_t {
    let _in_flight = InFlight::begin(function);
    finish(|| {
        let sim = ready(function)?;
        let target = sim.target(handle)?;
        let effects = strike(function, Some(target.device.index))?;
        body(&Call { sim, effects, function }, target)
    })
}

/// Runs a function that may be called before init: `body` gets the scenario, if one is in force.
pub(crate) fn run_early(function: usize, body: impl FnOnce(Option<&'static Sim>) -> Answer) -> nvmlReturn_t {
    let _in_flight = InFlight::begin(function);
    finish(|| {
        strike(function, None)?;
        body(state::current())
    })
}

/// Runs a function that the simulator does not model.
pub(crate) fn not_supported(function: usize) -> nvmlReturn_t {
    run(function, |_| Err(NVML_ERROR_NOT_SUPPORTED))
}

/// The code of an answer. A panic would be a bug of the simulator; it must not cross the C ABI.
#[inline]
fn finish(body: impl FnOnce() -> Answer) -> nvmlReturn_t {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => NVML_SUCCESS,
        Ok(Err(code)) => code,
        Err(_) => NVML_ERROR_UNKNOWN,
    }
}

#[inline]
fn ready(function: usize) -> Answer<&'static Sim> {
    if state::is_initialised()
        && let Some(sim) = state::current()
    {
        if let Some(costs) = &sim.costs_ns {
            clock::spend(costs.get(function).copied().unwrap_or(0));
        }
        return Ok(sim);
    }
    Err(refuse())
}

#[cold]
fn refuse() -> nvmlReturn_t {
    if state::was_initialised() {
        counters::after_shutdown();
    }
    NVML_ERROR_UNINITIALIZED
}

/// The effects of faults on this call, after those that are over before it is answered.
#[inline]
fn strike(function: usize, gpu: Option<u32>) -> Answer<Effects> {
    if !faults::any(function) {
        return Ok(Effects::default());
    }
    suffer(faults::effects(function, gpu, true, clock::now_ns()))
}

#[cold]
fn suffer(effects: Effects) -> Answer<Effects> {
    if effects.latency_us > 0 {
        sleep_us(effects.latency_us);
    }
    if effects.hang {
        loop {
            // SAFETY: pause takes nothing; it returns after a signal handler ran, so again.
            unsafe { libc::pause() };
        }
    }
    if let Some(changes) = effects.hold {
        faults::wait_for_change(changes);
    }
    match effects.code {
        Some(0) | None => Ok(effects),
        Some(number) => Err(code(number)),
    }
}

/// A code by its number, whether the header knows it or not.
pub(crate) const fn code(number: u32) -> nvmlReturn_t {
    nvml_sys::nvmlReturn_enum(number)
}

/// Takes this much time.
pub(crate) fn sleep_us(us: u64) {
    clock::sleep(us.saturating_mul(1000));
}

/// Handles are numbers, not addresses, so that a wild one is refused instead of read: mark, GPU, instance.
const HANDLE_MARK: usize = 0x4E56_0000;

/// The handle of a GPU (`instance` 0) or of its nth MIG instance, from 1.
pub(crate) fn handle(gpu: u32, instance: usize) -> nvmlDevice_t {
    (HANDLE_MARK | (gpu as usize) << 8 | instance) as nvmlDevice_t
}

impl Sim {
    #[inline]
    pub(crate) fn target(&self, handle: nvmlDevice_t) -> Answer<Target>
    where
        Self: 'static,
    {
        let number = handle as usize;
        if number & !0xFFFF != HANDLE_MARK {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        // SAFETY: a Sim is never freed once it is in force, and a call is only ever given one in force.
        let sim: &'static Self = unsafe { &*std::ptr::from_ref(self) };
        let device = sim.gpus.get(number >> 8 & 0xFF).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        let instance = match number & 0xFF {
            0 => None,
            nth => Some(device.instances().get(nth - 1).ok_or(NVML_ERROR_INVALID_ARGUMENT)?),
        };
        Ok(Target { device, instance })
    }
}

impl Call {
    /// The call turns out to be about this GPU, as one for its handle does: the faults of that GPU alone strike too.
    pub(crate) fn about(&self, gpu: u32) -> Answer {
        if faults::any(self.function) {
            suffer(faults::effects(self.function, Some(gpu), false, clock::now_ns()))?;
        }
        Ok(())
    }

    /// A number for the caller, or the one that a fault puts in its place.
    #[inline]
    pub(crate) fn scalar<T: Scalar>(&self, value: T) -> T {
        self.effects.value.map_or(value, T::from_i64)
    }

    /// Writes a number where the caller wants it.
    ///
    /// # Safety
    /// `place` must be null or writable for a `T`.
    #[inline]
    pub(crate) unsafe fn put<T: Scalar>(&self, place: *mut T, value: T) -> Answer {
        // SAFETY: as the caller vouches.
        unsafe { put(place, self.scalar(value)) }
    }

    /// Writes a text and its NUL into the caller's buffer of `length` bytes, or what a fault wants there.
    ///
    /// # Safety
    /// `place` must be null or writable for `length` bytes.
    pub(crate) unsafe fn put_text(&self, place: *mut c_char, length: c_uint, text: &str) -> Answer {
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
pub(crate) unsafe fn put<T>(place: *mut T, value: T) -> Answer {
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
