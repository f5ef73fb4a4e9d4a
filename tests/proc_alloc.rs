//! Reading owners allocates nothing: a binary of its own, for the counting allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use igpu::process::{Owner, ProcReader};

/// The system's allocator, counting the calls of each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: hands everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn owners_are_read_without_allocating() {
    let mut reader = ProcReader::new();
    let mut nowhere = ProcReader::with_root("/nonexistent");
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let mut owner = Owner::default();
    let mut named = 0;
    let mut read = |reader: &mut ProcReader| {
        // Self, a child, init, pids that do not exist, and whatever runs or ends meanwhile.
        for pid in [std::process::id(), child.id(), 1, 0, u32::MAX, i32::MAX as u32].into_iter().chain(2..400) {
            reader.owner(pid, &mut owner);
            named += u32::from(owner.name.is_some());
            let _ = reader.start_time_ticks(pid);
        }
    };
    let before = CALLS.get();
    // The first calls count too: nothing is set up late.
    for _ in 0..20 {
        read(&mut reader);
        reader.refresh();
        read(&mut nowhere);
        nowhere.refresh();
    }
    let calls = CALLS.get() - before;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(named >= 40, "nothing was read: {named}");
    assert_eq!(calls, 0);
}
