use std::{
    cell::{Cell, UnsafeCell},
    ffi::c_char,
    fmt::{self, Write as _},
};

use crate::{error::Failure, text::fitting};

/// Room for a sentence; a longer one is cut.
const CAPACITY: usize = 1024;

/// What went wrong last in a thread, in memory that is the thread's from its start.
struct LastError {
    text: UnsafeCell<[u8; CAPACITY]>,
    code: Cell<u32>,
}

thread_local! {
    // Without a destructor and made at compile time, so that touching it registers and allocates nothing.
    static LAST: LastError = const { LastError { text: UnsafeCell::new([0; CAPACITY]), code: Cell::new(0) } };
}

/// What went wrong in the last call of this thread that failed, and what to do about it: one sentence in UTF-8, empty
/// before the first failure. It is not to be freed, and stays as it is until another call of this thread fails.
///
/// Never blocks; allocates nothing, but for this: where the program opened the library by `dlopen`, the C library makes each
/// thread's memory for it at the thread's first failure. A thread that opens a driver or makes a sampler has it made by that,
/// any other by calling this. Not for signal handlers.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_last_error() -> *const c_char {
    LAST.with(|last| last.text.get().cast_const().cast())
}

/// The driver's return code (`nvmlReturn_t`) of the last call of this thread that failed; 0 when that failure was not the
/// driver's.
///
/// As `igpu_last_error`.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_last_nvml_code() -> u32 {
    LAST.with(|last| last.code.get())
}

/// Has the C library make this thread's memory now.
pub(crate) fn allocate() {
    std::hint::black_box(igpu_last_nvml_code());
}

pub(crate) fn store(failure: &Failure) {
    LAST.with(|last| {
        last.code.set(match failure {
            Failure::Igpu(error) => error.code().map_or(0, |code| code.0),
            Failure::Status(..) | Failure::UnknownMetric(_) => 0,
        });
        // SAFETY: the memory is this thread's, nobody else holds a reference, and no signal handler comes here.
        let text = unsafe { &mut *last.text.get() };
        let mut sentence = MessageWriter { text, used: 0 };
        // What does not fit is cut.
        let _ = match failure {
            Failure::Status(_, words) => sentence.write_str(words),
            Failure::UnknownMetric(name) => {
                write!(sentence, "there is no metric called {name:?}; igpu_metric_get_info lists those that there are")
            }
            Failure::Igpu(error) => write!(sentence, "{error}"),
        };
    });
}

/// Writes into inline memory, always ended by a NUL.
struct MessageWriter<'a> {
    text: &'a mut [u8; CAPACITY],
    used: usize,
}

impl fmt::Write for MessageWriter<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = CAPACITY - 1 - self.used;
        let fits = fitting(part, room);
        self.text[self.used..self.used + fits.len()].copy_from_slice(fits.as_bytes());
        self.used += fits.len();
        self.text[self.used] = 0;
        if fits == part { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use igpu::Error;

    #[test]
    fn a_long_sentence_is_cut_at_a_character() {
        let place = "é".repeat(CAPACITY);
        store(&Failure::Igpu(Error::NotNvml { library: place }));
        // SAFETY: a C string of this thread.
        let text = unsafe { std::ffi::CStr::from_ptr(igpu_last_error()) }.to_str().expect("UTF-8");
        assert!(text.ends_with('é') && text.len() >= CAPACITY - 2, "{}", text.len());
        store(&Failure::UnknownMetric("x\"y".try_into().unwrap()));
        // SAFETY: likewise.
        let text = unsafe { std::ffi::CStr::from_ptr(igpu_last_error()) }.to_str().unwrap();
        assert!(text.starts_with("there is no metric called \"x\\\"y\";"), "{text}");
    }
}
