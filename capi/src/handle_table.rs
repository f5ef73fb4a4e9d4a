//! The table of open handles.
//!
//! In C, a handle is an opaque pointer. Its bits are not an address. They consist of the number of a slot in this
//! table, the slot's generation, and the type of the handle. Closed handles, handles of another type, and arbitrary
//! numbers are therefore detected without an access to memory that may have been freed. An atomic word in each slot is
//! a non-blocking reader–writer lock: several threads can share an object, or one thread can use it exclusively. All
//! other attempts fail with `IGPU_STATUS_BUSY`, including an attempt to close a handle that is in use. Each use takes
//! one or two atomic operations of about 5 ns.

use std::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use igpu::fork_generation;

use crate::{
    error::{Failure, Outcome},
    status::igpu_status,
};

/// The number of slots, which is the maximum number of open handles.
const MAX_HANDLES: usize = 1024;

/// A type that the table can store.
///
/// # Safety
/// No two types may have the same `TYPE`: the table casts an object's address to the type with the `TYPE` of its slot.
pub(crate) unsafe trait HandleType: Send {
    /// The number of the type, from 1 to 15. A handle has four bits for the number, and 0 marks a free slot.
    const TYPE: u8;
}

struct Slot {
    /// Bits 0 to 15: the number of users, or [`EXCLUSIVE`]. Bits 16 to 23: the type, 0 while the slot is free. Bits 32
    /// to 63: the generation, which is the number of times that the slot was used.
    state: AtomicU64,
    object: AtomicPtr<()>,
    /// The fork generation of the process that opened the handle.
    forks: AtomicU32,
}

const USERS_MASK: u64 = 0xffff;
/// The value of the user bits while one user has exclusive access.
const EXCLUSIVE: u64 = USERS_MASK;
const MAX_SHARED_USERS: u64 = USERS_MASK - 1;

static TABLE: [Slot; MAX_HANDLES] = [const {
    Slot { state: AtomicU64::new(0), object: AtomicPtr::new(std::ptr::null_mut()), forks: AtomicU32::new(0) }
}; MAX_HANDLES];

/// Returns the state of a slot that has no users.
const fn idle_state(generation: u32, handle_type: u8) -> u64 {
    (generation as u64) << 32 | (handle_type as u64) << 16
}

/// Returns the bits of a handle. Bits 0 to 11: the slot. Bits 12 to 15: the type. Bits from 16: the generation.
fn handle_bits(slot: usize, generation: u32, handle_type: u8) -> usize {
    slot | usize::from(handle_type) << 12 | (generation as usize) << 16
}

/// The bits of a generation that fit into a handle.
const GENERATION_MASK: u32 = if usize::BITS > 32 { u32::MAX } else { u16::MAX as u32 };

const INVALID_HANDLE: Failure =
    Failure::Status(igpu_status::InvalidHandle, "the handle is closed, was never open, or is of another type", "");
const BUSY: Failure = Failure::Status(
    igpu_status::Busy,
    "the handle is in use by another thread",
    "use a handle from one thread at a time",
);
const FORKED: Failure = Failure::Status(
    igpu_status::Forked,
    "the handle was opened before fork, in the parent process",
    "call igpu_driver_open in the child process",
);

/// Adds an object to the table, and returns its handle.
pub(crate) fn open<T: HandleType>(object: T) -> Outcome<*mut T> {
    const { assert!(T::TYPE >= 1 && T::TYPE <= 15) };
    for (number, slot) in TABLE.iter().enumerate() {
        let state = slot.state.load(Relaxed);
        if state & !(u64::from(u32::MAX) << 32) != 0 {
            continue;
        }
        let generation = ((state >> 32) as u32).wrapping_add(1) & GENERATION_MASK;
        // If several threads try the same slot, the exchange succeeds in only one of them. It acquires the writes of
        // the last close.
        let reserved = idle_state(generation, T::TYPE) | EXCLUSIVE;
        if slot.state.compare_exchange(state, reserved, Acquire, Relaxed).is_ok() {
            slot.object.store(Box::into_raw(Box::new(object)).cast(), Relaxed);
            slot.forks.store(fork_generation(), Relaxed);
            slot.state.store(idle_state(generation, T::TYPE), Release);
            return Ok(std::ptr::without_provenance_mut(handle_bits(number, generation, T::TYPE)));
        }
    }
    Err(Failure::Status(igpu_status::TooManyHandles, "1024 handles are open", "close handles that are no longer used"))
}

/// Shared or exclusive access to a slot, which is released on drop.
struct SlotGuard {
    slot: &'static Slot,
    /// The number that this access added to the state.
    users: u64,
    /// The state of the slot without users.
    idle: u64,
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        if self.users == EXCLUSIVE {
            // The state cannot have changed during exclusive access.
            self.slot.state.store(self.idle, Release);
        } else {
            self.slot.state.fetch_sub(self.users, Release);
        }
    }
}

/// Returns the slot of an open handle, and the slot's state without users.
fn find<T: HandleType>(handle: *mut T) -> Outcome<(&'static Slot, u64)> {
    if handle.is_null() {
        return Err(Failure::Status(igpu_status::NullPointer, "the handle is NULL", ""));
    }
    let bits = handle.addr();
    let slot = TABLE.get(bits & 0xfff).ok_or(INVALID_HANDLE)?;
    let generation = (bits >> 16) as u32;
    if bits >> 12 & 0xf != usize::from(T::TYPE) || handle_bits(bits & 0xfff, generation, T::TYPE) != bits {
        return Err(INVALID_HANDLE);
    }
    let idle = idle_state(generation, T::TYPE);
    if slot.state.load(Acquire) & !USERS_MASK == idle { Ok((slot, idle)) } else { Err(INVALID_HANDLE) }
}

/// Acquires shared or exclusive access to the slot of a handle.
fn acquire<T: HandleType>(handle: *mut T, exclusive: bool) -> Outcome<SlotGuard> {
    let (slot, idle) = find(handle)?;
    if slot.forks.load(Relaxed) != fork_generation() {
        return Err(FORKED);
    }
    let mut state = idle;
    loop {
        let added = match (exclusive, state & USERS_MASK) {
            (true, 0) => EXCLUSIVE,
            (false, 0..MAX_SHARED_USERS) => 1,
            _ => return Err(BUSY),
        };
        // Acquires the writes of the last exclusive user.
        match slot.state.compare_exchange_weak(state, state + added, Acquire, Relaxed) {
            Ok(_) => return Ok(SlotGuard { slot, users: added, idle }),
            Err(current) if current & !USERS_MASK == idle => state = current,
            Err(_) => return Err(INVALID_HANDLE),
        }
    }
}

/// Calls `body` with exclusive access to the object of a handle.
pub(crate) fn with_mut<T: HandleType, R>(handle: *mut T, body: impl FnOnce(&mut T) -> Outcome<R>) -> Outcome<R> {
    let guard = acquire(handle, true)?;
    // SAFETY: `open` stored an object of this type, by the contract of `HandleType`. `guard` gives exclusive access
    // until it is dropped, and closing the handle requires the same access.
    body(unsafe { &mut *guard.slot.object.load(Relaxed).cast() })
}

/// Calls `body` with shared access to the object of a handle. Async-signal-safe if `body` is.
pub(crate) fn with<T: HandleType + Sync, R>(handle: *mut T, body: impl FnOnce(&T) -> Outcome<R>) -> Outcome<R> {
    let guard = acquire(handle, false)?;
    // SAFETY: `open` stored an object of this type, by the contract of `HandleType`. `guard` excludes exclusive access
    // until it is dropped.
    body(unsafe { &*guard.slot.object.load(Relaxed).cast() })
}

/// Closes a handle, and returns its object. Returns `None` for NULL. Also returns `None` in a forked child: the slot is
/// freed, but the object is leaked, because parts of it, such as threads, do not exist in the child.
pub(crate) fn close<T: HandleType>(handle: *mut T) -> Outcome<Option<Box<T>>> {
    if handle.is_null() {
        return Ok(None);
    }
    match acquire(handle, true) {
        Ok(guard) => {
            let object = guard.slot.object.swap(std::ptr::null_mut(), Relaxed);
            free(guard.slot);
            // From this point, the slot may belong to another thread.
            std::mem::forget(guard);
            // SAFETY: `open` created the address from a box of this type, and the handle no longer leads to it.
            Ok(Some(unsafe { Box::from_raw(object.cast()) }))
        }
        Err(Failure::Status(igpu_status::Forked, ..)) => {
            free(find(handle)?.0);
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Marks a slot as free, but keeps its generation.
fn free(slot: &Slot) {
    slot.state.store(slot.state.load(Relaxed) & u64::from(u32::MAX) << 32, Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(u32);
    struct OtherType;
    // SAFETY: no other type has this `TYPE`.
    unsafe impl HandleType for Number {
        const TYPE: u8 = 14;
    }
    // SAFETY: no other type has this `TYPE`.
    unsafe impl HandleType for OtherType {
        const TYPE: u8 = 15;
    }

    fn status<R>(outcome: Outcome<R>) -> igpu_status {
        outcome.err().map_or(igpu_status::Ok, |failure| failure.status())
    }

    #[test]
    fn closed_handle_is_invalid() {
        let first = open(Number(1)).unwrap();
        assert_eq!(with_mut(first, |number| Ok(number.0)).unwrap(), 1);
        assert_eq!(status(with_mut(first.cast::<OtherType>(), |_| Ok(()))), igpu_status::InvalidHandle);
        assert_eq!(close(first).unwrap().map(|number| number.0), Some(1));
        assert_eq!(status(close(first)), igpu_status::InvalidHandle);
        // The slot is reused for a different handle.
        let second = open(Number(2)).unwrap();
        assert_ne!(first, second);
        assert_eq!(status(with_mut(first, |_| Ok(()))), igpu_status::InvalidHandle);
        assert_eq!(with(second, |number| Ok(number.0)).unwrap(), 2);
        assert!(close(second).is_ok());
    }

    #[test]
    fn arbitrary_number_is_invalid_handle() {
        for bits in [1, 0xfff, 0xefff, 0x1_e3ff, usize::MAX, 0x7fff_ffff_e000] {
            assert_eq!(
                status(with_mut::<Number, _>(std::ptr::without_provenance_mut(bits), |_| Ok(()))),
                igpu_status::InvalidHandle
            );
        }
        assert_eq!(status(with_mut::<Number, _>(std::ptr::null_mut(), |_| Ok(()))), igpu_status::NullPointer);
        assert!(close::<Number>(std::ptr::null_mut()).unwrap().is_none());
    }

    #[test]
    fn exclusive_use_excludes_other_uses() {
        let handle = open(Number(1)).unwrap();
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
        // A panic releases the slot.
        let panicked = std::panic::catch_unwind(|| with_mut::<_, ()>(handle, |_| panic!("on purpose")));
        assert!(panicked.is_err());
        assert!(close(handle).is_ok());
    }

    #[test]
    fn concurrent_handles_have_separate_slots() {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..2000 {
                        let value = thread * 10_000 + round;
                        let handle = open(Number(value)).unwrap();
                        assert_eq!(with_mut(handle, |number| Ok(number.0)).unwrap(), value);
                        assert_eq!(close(handle).unwrap().map(|number| number.0), Some(value));
                        assert_eq!(status(close(handle)), igpu_status::InvalidHandle);
                    }
                });
            }
        });
    }
}
