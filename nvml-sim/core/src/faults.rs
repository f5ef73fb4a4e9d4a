//! The active faults. Calls read them without a lock, and skip the search for a function that has no fault.

use crate::functions;
use crate::scenario::fault::{Fault, Latency};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

/// A fault and the number of calls that it has selected.
pub(crate) struct ActiveFault {
    fault: Fault,
    hits: AtomicU64,
    functions: [bool; functions::COUNT],
}

type FaultSet = Vec<&'static ActiveFault>;

/// The active faults. Earlier sets are never freed, because a call may still read one, and because tests make few sets.
static ACTIVE: AtomicPtr<FaultSet> = AtomicPtr::new(std::ptr::null_mut());
static HAS_FAULTS: [AtomicBool; functions::COUNT] = [const { AtomicBool::new(false) }; functions::COUNT];
/// The number of times that the active faults have changed.
static CHANGE_COUNT: AtomicU64 = AtomicU64::new(0);
/// Serializes changes. Calls do not take this lock.
static WRITER_LOCK: Mutex<()> = Mutex::new(());

/// The effects of all active faults on one call.
#[derive(Clone, Copy, Default)]
pub(crate) struct FaultEffects {
    pub code: Option<u32>,
    /// The id of a field value, and the code that its entry returns.
    pub field_code: Option<(u32, u32)>,
    pub hang: bool,
    /// The number of changes before the call, if the call waits for the next change.
    pub block: Option<u64>,
    pub latency_us: u64,
    pub process_info_bytes: Option<usize>,
    pub extra_processes: u64,
    pub bytes: Option<&'static [u8]>,
    pub no_nul: bool,
    pub value: Option<i64>,
}

/// Returns `true` if an active fault selects this function.
#[inline]
pub(crate) fn has_faults(function: usize) -> bool {
    HAS_FAULTS[function].load(Ordering::Acquire)
}

/// Returns the effects of the active faults on a call at the simulated time `ns`. `gpu` is the index of the GPU that
/// the call is about, if any. If `any_gpu` is `false`, faults that do not select a GPU are ignored.
#[cold]
pub(crate) fn effects(function: usize, gpu: Option<u32>, any_gpu: bool, ns: u64) -> FaultEffects {
    let mut effects = FaultEffects::default();
    // The count is read before the set. In the opposite order, a call that reads an old set could miss the change that
    // replaced it.
    let changes = CHANGE_COUNT.load(Ordering::SeqCst);
    // SAFETY: `install` completes a set before it publishes the pointer, and never frees it.
    let Some(set) = (unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }) else { return effects };
    let t = ns as f64 / 1e9;
    for active in set.iter().filter(|active| active.functions[function]) {
        let fault = &active.fault;
        let selects_gpu = if fault.gpu.is_none() { any_gpu } else { fault.gpu == gpu };
        if !selects_gpu || fault.from_s.is_some_and(|at| t < at) || fault.until_s.is_some_and(|until| t >= until) {
            continue;
        }
        let nth = active.hits.fetch_add(1, Ordering::Relaxed) + 1;
        let from = fault.from_call.unwrap_or(1);
        let is_selected = fault.nth_call.is_none_or(|wanted| wanted == nth)
            && nth >= from
            && fault.call_count.is_none_or(|count| nth - from < count)
            && fault.every_nth_call.is_none_or(|every| nth % every == 0);
        if is_selected {
            effects.add(fault, nth);
            effects.block = effects.block.or(fault.block_until_faults_change.then_some(changes));
        }
    }
    effects
}

impl FaultEffects {
    /// Adds the effects of a fault on its nth call. Where two faults set the same effect, the later fault takes
    /// precedence.
    fn add(&mut self, fault: &'static Fault, nth: u64) {
        match (fault.field_id, fault.code) {
            (Some(id), Some(code)) => self.field_code = Some((id, code)),
            (_, code) => self.code = code.or(self.code),
        }
        self.hang |= fault.hang;
        self.latency_us += fault.latency_us.as_ref().map_or(0, |latency: &Latency| latency.draw(nth));
        self.process_info_bytes = fault.process_info_bytes.or(self.process_info_bytes);
        self.extra_processes += fault.extra_processes_per_call.saturating_mul(nth - 1);
        self.bytes = fault.bytes.as_deref().or(fault.text.as_deref().map(str::as_bytes)).or(self.bytes);
        self.no_nul |= fault.no_nul;
        self.value = fault.value.or(self.value);
    }
}

/// Waits until the number of changes differs from `changes`.
pub(crate) fn wait_for_change(changes: u64) {
    while CHANGE_COUNT.load(Ordering::SeqCst) == changes {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Makes `faults` active. They are added to the active faults if `keep` is `true`, and replace them otherwise.
pub(crate) fn install(faults: impl IntoIterator<Item = Fault>, keep: bool) {
    let _writer = WRITER_LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut set: FaultSet = Vec::new();
    if keep {
        // SAFETY: the same invariant as in `effects`.
        set.extend(unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }.into_iter().flatten());
    }
    for fault in faults {
        let functions = std::array::from_fn(|number| fault.applies_to(functions::name(number)));
        set.push(Box::leak(Box::new(ActiveFault { fault, hits: AtomicU64::new(0), functions })));
    }
    let flags: [bool; functions::COUNT] =
        std::array::from_fn(|number| set.iter().any(|active| active.functions[number] && !active.fault.missing));
    ACTIVE.store(Box::into_raw(Box::new(set)), Ordering::Release);
    for (flag, value) in HAS_FAULTS.iter().zip(flags) {
        flag.store(value, Ordering::Release);
    }
    CHANGE_COUNT.fetch_add(1, Ordering::SeqCst);
}

/// Returns `true` if an active fault removes this symbol.
pub(crate) fn is_missing(function: usize) -> bool {
    // SAFETY: the same invariant as in `effects`.
    unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }
        .is_some_and(|set| set.iter().any(|active| active.fault.missing && active.functions[function]))
}
