//! An allocator that counts the requests of each thread, for use as the `#[global_allocator]` of a test binary.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Returns the number of allocations, deallocations, and reallocations that this thread has made.
pub(crate) fn calls() -> u64 {
    CALLS.get()
}

/// The system's allocator, which counts requests and calls a function at each of them. The function must not allocate.
pub(crate) struct CountingAllocator(pub fn());

impl CountingAllocator {
    fn count(&self) {
        CALLS.set(CALLS.get() + 1);
        (self.0)();
    }
}

// SAFETY: all requests are forwarded to the system's allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: the caller upholds the requirements of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.count();
        // SAFETY: the caller upholds the requirements of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count();
        // SAFETY: the caller upholds the requirements of `GlobalAlloc::realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
