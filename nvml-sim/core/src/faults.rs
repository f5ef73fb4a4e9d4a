//! The faults in force: found without a lock, and not looked at for a function that has none.

use crate::functions;
use crate::scenario::fault::{Fault, Latency};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

/// A fault and how many calls it was for.
pub(crate) struct ActiveFault {
    fault: Fault,
    hits: AtomicU64,
    functions: [bool; functions::COUNT],
}

type FaultSet = Vec<&'static ActiveFault>;

/// Sets that were once in force stay for ever: a call may still read one, and tests make few.
static ACTIVE: AtomicPtr<FaultSet> = AtomicPtr::new(std::ptr::null_mut());
static HAS_FAULTS: [AtomicBool; functions::COUNT] = [const { AtomicBool::new(false) }; functions::COUNT];
/// How many times the active faults have changed.
static CHANGE_COUNT: AtomicU64 = AtomicU64::new(0);
/// Writers alone take it.
static WRITER_LOCK: Mutex<()> = Mutex::new(());

/// What faults do to one call.
#[derive(Clone, Copy, Default)]
pub(crate) struct FaultEffects {
    pub code: Option<u32>,
    /// Id and code of a field value.
    pub field_code: Option<(u32, u32)>,
    pub hang: bool,
    /// The number of changes before the call, which waits for the next one.
    pub block: Option<u64>,
    pub latency_us: u64,
    pub process_info_bytes: Option<usize>,
    pub extra_processes: u64,
    pub bytes: Option<&'static [u8]>,
    pub no_nul: bool,
    pub value: Option<i64>,
}

/// Whether any fault is for this function.
#[inline]
pub(crate) fn has_faults(function: usize) -> bool {
    HAS_FAULTS[function].load(Ordering::Acquire)
}

/// The effects on this call, about the GPU of that index if about any, at that time; without `any_gpu` those alone of
/// faults that are for that GPU.
#[cold]
pub(crate) fn effects(function: usize, gpu: Option<u32>, any_gpu: bool, ns: u64) -> FaultEffects {
    let mut effects = FaultEffects::default();
    // Read before the set: otherwise a call that finds an old set would miss the next change.
    let changes = CHANGE_COUNT.load(Ordering::SeqCst);
    // SAFETY: a set is written once before its pointer is published, and never freed.
    let Some(set) = (unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }) else { return effects };
    let t = ns as f64 / 1e9;
    for armed in set.iter().filter(|armed| armed.functions[function]) {
        let fault = &armed.fault;
        let here = if fault.gpu.is_none() { any_gpu } else { fault.gpu == gpu };
        if !here || fault.from_s.is_some_and(|at| t < at) || fault.until_s.is_some_and(|until| t >= until) {
            continue;
        }
        let nth = armed.hits.fetch_add(1, Ordering::Relaxed) + 1;
        let from = fault.from_call.unwrap_or(1);
        let chosen = fault.nth_call.is_none_or(|wanted| wanted == nth)
            && nth >= from
            && fault.call_count.is_none_or(|count| nth - from < count)
            && fault.every_nth_call.is_none_or(|every| nth % every == 0);
        if chosen {
            effects.add(fault, nth);
            effects.block = effects.block.or(fault.block_until_faults_change.then_some(changes));
        }
    }
    effects
}

impl FaultEffects {
    /// Of two faults for one call the later one decides.
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

/// Puts these in force, instead of or after those that are.
pub(crate) fn install(faults: impl IntoIterator<Item = Fault>, keep: bool) {
    let _writer = WRITER_LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut set: FaultSet = Vec::new();
    if keep {
        // SAFETY: as in `effects`.
        set.extend(unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }.into_iter().flatten());
    }
    for fault in faults {
        let functions = std::array::from_fn(|number| fault.applies_to(functions::name(number)));
        set.push(Box::leak(Box::new(ActiveFault { fault, hits: AtomicU64::new(0), functions })));
    }
    let flags: [bool; functions::COUNT] =
        std::array::from_fn(|number| set.iter().any(|armed| armed.functions[number] && !armed.fault.missing));
    ACTIVE.store(Box::into_raw(Box::new(set)), Ordering::Release);
    for (flag, value) in HAS_FAULTS.iter().zip(flags) {
        flag.store(value, Ordering::Release);
    }
    CHANGE_COUNT.fetch_add(1, Ordering::SeqCst);
}

/// Whether a fault in force takes this symbol away.
pub(crate) fn is_missing(function: usize) -> bool {
    // SAFETY: as in `effects`.
    unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }
        .is_some_and(|set| set.iter().any(|armed| armed.fault.missing && armed.functions[function]))
}
