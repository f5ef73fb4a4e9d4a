//! The table of open handles.
//!
//! A handle looks like a pointer to C, and is none: it is a slot in this table, the number of times that the slot was
//! given out, and what kind of handle it is. So a closed handle, one of another kind and a number that never was one are
//! told apart from an open one without touching memory that may be freed, as a magic word in the object itself would have
//! to be read there. One atomic word of each slot is a lock that is only ever tried: many may read, one may change, and
//! whoever comes in between is told that the handle is busy, and harms nothing. That makes two threads on one sampler, and
//! closing what is in use, statuses too. A use costs one or two atomic operations of some 5 ns.

use std::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use igpu::fork_generation;

use crate::{
    error::{Failure, Outcome},
    status::igpu_status,
};

const MAX_HANDLES: usize = 1024;

/// A type that the table can hold.
///
/// # Safety
/// No two types may have the same `TYPE`: the table casts an object's address to the type with the `TYPE` of its slot.
pub(crate) unsafe trait HandleType: Send {
    /// From 1 to 15: 0 is a free slot, and a handle has four bits for it.
    const TYPE: u8;
}

struct Slot {
    /// Bits 0 to 15: how many use it, [`EXCLUSIVE`] while one may change it. Bits 16 to 23: its kind, 0 while the slot
    /// is free. Bits 32 to 63: how often it was given out.
    state: AtomicU64,
    object: AtomicPtr<()>,
    /// How often the process had forked when it was opened.
    forks: AtomicU32,
}

const USERS_MASK: u64 = 0xffff;
const EXCLUSIVE: u64 = USERS_MASK;
const MAX_SHARED_USERS: u64 = USERS_MASK - 1;

static TABLE: [Slot; MAX_HANDLES] = [const {
    Slot { state: AtomicU64::new(0), object: AtomicPtr::new(std::ptr::null_mut()), forks: AtomicU32::new(0) }
}; MAX_HANDLES];

const fn word(generation: u32, kind: u8) -> u64 {
    (generation as u64) << 32 | (kind as u64) << 16
}

/// Bits 0 to 11: the slot. Bits 12 to 15: the kind. Above: how often the slot was given out, as far as there are bits.
fn handle_of(slot: usize, generation: u32, kind: u8) -> usize {
    slot | usize::from(kind) << 12 | (generation as usize) << 16
}

/// Numbers of times that fit into a handle.
const GENERATION_MASK: u32 = if usize::BITS > 32 { u32::MAX } else { u16::MAX as u32 };

const INVALID_HANDLE: Failure =
    Failure::Status(igpu_status::InvalidHandle, "this is no open handle of the kind: it was closed, or never was one");
const BUSY: Failure =
    Failure::Status(igpu_status::Busy, "the handle is in use by another thread; use it from one thread at a time");
const FORKED: Failure = Failure::Status(
    igpu_status::Forked,
    "the handle belongs to the parent process; call igpu_driver_open in the child after fork",
);

/// Puts an object into the table.
pub(crate) fn open<T: HandleType>(object: T) -> Outcome<*mut T> {
    const { assert!(T::TYPE >= 1 && T::TYPE <= 15) };
    for (number, slot) in TABLE.iter().enumerate() {
        let state = slot.state.load(Relaxed);
        if state & !(u64::from(u32::MAX) << 32) != 0 {
            continue;
        }
        let generation = ((state >> 32) as u32).wrapping_add(1) & GENERATION_MASK;
        // Of two who want the slot, one gets it: for it alone the exchange succeeds. Acquires what closing it left.
        let taken = word(generation, T::TYPE) | EXCLUSIVE;
        if slot.state.compare_exchange(state, taken, Acquire, Relaxed).is_ok() {
            slot.object.store(Box::into_raw(Box::new(object)).cast(), Relaxed);
            slot.forks.store(fork_generation(), Relaxed);
            slot.state.store(word(generation, T::TYPE), Release);
            return Ok(std::ptr::without_provenance_mut(handle_of(number, generation, T::TYPE)));
        }
    }
    Err(Failure::Status(igpu_status::TooManyHandles, "1024 handles are open; close those that are not used any more"))
}

/// A slot in use, until it goes.
struct HandleGuard {
    slot: &'static Slot,
    /// What it added to the state.
    users: u64,
    /// The state while nobody uses it.
    idle: u64,
}

impl Drop for HandleGuard {
    fn drop(&mut self) {
        if self.users == EXCLUSIVE {
            // While it does, nobody else comes in, so that the state need not be read.
            self.slot.state.store(self.idle, Release);
        } else {
            self.slot.state.fetch_sub(self.users, Release);
        }
    }
}

/// The slot of a handle, and its state while nobody uses it.
fn find<T: HandleType>(handle: *mut T) -> Outcome<(&'static Slot, u64)> {
    if handle.is_null() {
        return Err(Failure::Status(igpu_status::NullPointer, "the handle is NULL"));
    }
    let bits = handle.addr();
    let slot = TABLE.get(bits & 0xfff).ok_or(INVALID_HANDLE)?;
    let generation = (bits >> 16) as u32;
    if bits >> 12 & 0xf != usize::from(T::TYPE) || handle_of(bits & 0xfff, generation, T::TYPE) != bits {
        return Err(INVALID_HANDLE);
    }
    let idle = word(generation, T::TYPE);
    if slot.state.load(Acquire) & !USERS_MASK == idle { Ok((slot, idle)) } else { Err(INVALID_HANDLE) }
}

/// Enters a slot: as one of many readers, or as the one who may change it.
fn enter<T: HandleType>(handle: *mut T, change: bool) -> Outcome<HandleGuard> {
    let (slot, idle) = find(handle)?;
    if slot.forks.load(Relaxed) != fork_generation() {
        return Err(FORKED);
    }
    let mut state = idle;
    loop {
        let users = state & USERS_MASK;
        let more = match (change, users) {
            (true, 0) => EXCLUSIVE,
            (false, 0..MAX_SHARED_USERS) => 1,
            _ => return Err(BUSY),
        };
        // Acquires what the last to change the object left.
        match slot.state.compare_exchange_weak(state, state + more, Acquire, Relaxed) {
            Ok(_) => return Ok(HandleGuard { slot, users: more, idle }),
            Err(now) if now & !USERS_MASK == idle => state = now,
            Err(_) => return Err(INVALID_HANDLE),
        }
    }
}

/// Uses what a handle stands for, alone.
pub(crate) fn with_mut<T: HandleType, R>(handle: *mut T, body: impl FnOnce(&mut T) -> Outcome<R>) -> Outcome<R> {
    let guard = enter(handle, true)?;
    // SAFETY: `open` put an object of this kind there, which is a T by the contract of `HandleType`. `guard` gives exclusive
    // access until it is dropped, and closing requires the same access.
    body(unsafe { &mut *guard.slot.object.load(Relaxed).cast() })
}

/// Uses what a handle stands for beside others; async-signal-safe if `body` is.
pub(crate) fn with<T: HandleType + Sync, R>(handle: *mut T, body: impl FnOnce(&T) -> Outcome<R>) -> Outcome<R> {
    let guard = enter(handle, false)?;
    // SAFETY: as above, but that others may read it too.
    body(unsafe { &*guard.slot.object.load(Relaxed).cast() })
}

/// Takes an object out of the table. In the child of a fork the handle is closed and `None` given: what the object is part
/// of, a thread say, did not come along, so that it is left as it lies.
pub(crate) fn close<T: HandleType>(handle: *mut T) -> Outcome<Option<Box<T>>> {
    match enter(handle, true) {
        Ok(guard) => {
            let object = guard.slot.object.swap(std::ptr::null_mut(), Relaxed);
            free(guard.slot);
            // The slot is somebody else's from here on.
            std::mem::forget(guard);
            // SAFETY: `open` made it of a box of this type, and nobody can find it any more.
            Ok(Some(unsafe { Box::from_raw(object.cast()) }))
        }
        Err(Failure::Status(igpu_status::Forked, _)) => {
            free(find(handle)?.0);
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Leaves only how often the slot was given out.
fn free(slot: &Slot) {
    slot.state.store(slot.state.load(Relaxed) & u64::from(u32::MAX) << 32, Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(u32);
    struct Other;
    // SAFETY: no other type has this number.
    unsafe impl HandleType for One {
        const TYPE: u8 = 14;
    }
    // SAFETY: no other type has this number.
    unsafe impl HandleType for Other {
        const TYPE: u8 = 15;
    }

    fn status<R>(outcome: Outcome<R>) -> igpu_status {
        outcome.err().map_or(igpu_status::Ok, |failure| failure.status())
    }

    #[test]
    fn a_closed_handle_stays_closed() {
        let first = open(One(1)).unwrap();
        assert_eq!(with_mut(first, |one| Ok(one.0)).unwrap(), 1);
        assert_eq!(status(with_mut(first.cast::<Other>(), |_| Ok(()))), igpu_status::InvalidHandle);
        assert_eq!(close(first).unwrap().map(|one| one.0), Some(1));
        assert_eq!(status(close(first)), igpu_status::InvalidHandle);
        // Its slot is given out again, under another handle.
        let second = open(One(2)).unwrap();
        assert_ne!(first, second);
        assert_eq!(status(with_mut(first, |_| Ok(()))), igpu_status::InvalidHandle);
        assert_eq!(with(second, |one| Ok(one.0)).unwrap(), 2);
        assert!(close(second).is_ok());
    }

    #[test]
    fn what_never_was_a_handle_is_none() {
        for bits in [1, 0xfff, 0xefff, 0x1_e3ff, usize::MAX, 0x7fff_ffff_e000] {
            assert_eq!(
                status(with_mut::<One, _>(std::ptr::without_provenance_mut(bits), |_| Ok(()))),
                igpu_status::InvalidHandle
            );
        }
        assert_eq!(status(with_mut::<One, _>(std::ptr::null_mut(), |_| Ok(()))), igpu_status::NullPointer);
    }

    #[test]
    fn one_changes_or_many_read() {
        let handle = open(One(1)).unwrap();
        with_mut(handle, |_| {
            assert_eq!(status(with_mut(handle, |_| Ok(()))), igpu_status::Busy);
            assert_eq!(status(with(handle, |_| Ok(()))), igpu_status::Busy);
            assert_eq!(status(close(handle)), igpu_status::Busy);
            Ok(())
        })
        .unwrap();
        with(handle, |_| {
            assert_eq!(status(with(handle, |_| Ok(()))), igpu_status::Ok);
            assert_eq!(status(with_mut(handle, |_| Ok(()))), igpu_status::Busy);
            assert_eq!(status(close(handle)), igpu_status::Busy);
            Ok(())
        })
        .unwrap();
        // A panic within gives it back.
        let panicked = std::panic::catch_unwind(|| with_mut::<_, ()>(handle, |_| panic!("on purpose")));
        assert!(panicked.is_err());
        assert!(close(handle).is_ok());
    }

    #[test]
    fn threads_that_open_and_close_get_places_of_their_own() {
        std::thread::scope(|scope| {
            for number in 0..4 {
                scope.spawn(move || {
                    for round in 0..2000 {
                        let value = number * 10_000 + round;
                        let handle = open(One(value)).unwrap();
                        assert_eq!(with_mut(handle, |one| Ok(one.0)).unwrap(), value);
                        assert_eq!(close(handle).unwrap().map(|one| one.0), Some(value));
                        assert_eq!(status(close(handle)), igpu_status::InvalidHandle);
                    }
                });
            }
        });
    }
}
