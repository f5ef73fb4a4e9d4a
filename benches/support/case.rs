//! Benchmark cases: one operation, implemented with each client.

use std::fmt::Debug;
use std::hint::black_box;

/// An operation that returns the same values through each client.
pub(crate) struct Case {
    pub name: &'static str,
    pub igpu: Timed,
    /// The direct driver call, or what the name of the case states.
    pub raw: Timed,
    /// `nvml-wrapper`, if it makes the same driver call.
    pub wrapper: Option<Timed>,
    /// The number of metric values that a call reads. It is 1 in cases that `--rate` excludes.
    pub values_per_call: u64,
}

impl Case {
    /// Creates a case with igpu and the direct call.
    pub(crate) fn new(name: &'static str, igpu: Timed, raw: Timed) -> Self {
        Self { name, igpu, raw, wrapper: None, values_per_call: 1 }
    }

    /// Adds `nvml-wrapper`, for operations with the same driver call.
    #[must_use]
    pub(crate) fn wrapper(self, wrapper: Timed) -> Self {
        Self { wrapper: Some(wrapper), ..self }
    }

    /// Sets the number of metric values that a call reads.
    #[must_use]
    pub(crate) fn values_per_call(self, count: usize) -> Self {
        Self { values_per_call: count as u64, ..self }
    }

    /// Checks that all clients return the same value.
    ///
    /// # Panics
    /// Panics if the values differ.
    pub(crate) fn check(&mut self) {
        let raw = self.raw.value();
        assert_eq!(self.igpu.value(), raw, "{}: igpu", self.name);
        if let Some(wrapper) = &mut self.wrapper {
            assert_eq!(wrapper.value(), raw, "{}: nvml-wrapper", self.name);
        }
    }

    /// Returns the clients with their names. The direct call is the second.
    pub(crate) fn clients(&mut self) -> Vec<(&'static str, &mut Timed)> {
        let wrapper = self.wrapper.as_mut().map(|wrapper| ("nvml-wrapper", wrapper));
        [("igpu", &mut self.igpu), ("raw", &mut self.raw)].into_iter().chain(wrapper).collect()
    }
}

/// The operation of one client. A block of calls takes only one indirect call, so that the cost of the indirection is
/// negligible.
pub(crate) struct Timed(Box<dyn TimedLoop>);

trait TimedLoop {
    fn run(&mut self, calls: u64, last: Option<&mut String>);
}

struct CallLoop<F, S> {
    call: F,
    show: S,
}

impl<T, F: FnMut() -> T, S: Fn(T) -> String> TimedLoop for CallLoop<F, S> {
    // All calls are made here, in one loop for each operation, so that the compiler can inline the operation.
    #[inline(never)]
    fn run(&mut self, calls: u64, last: Option<&mut String>) {
        for remaining in (0..calls).rev() {
            let value = (self.call)();
            black_box(&value);
            if remaining == 0 {
                if let Some(last) = last {
                    *last = (self.show)(value);
                }
                return;
            }
        }
    }
}

impl Timed {
    /// Makes this many calls.
    pub(crate) fn run(&mut self, calls: u64) {
        self.0.run(calls, None);
    }

    /// Makes one call and returns its value as text.
    pub(crate) fn value(&mut self) -> String {
        let mut value = String::new();
        self.0.run(1, Some(&mut value));
        value
    }
}

/// Creates an operation whose values are compared by their `Debug` text.
pub(crate) fn timed<T: Debug>(call: impl FnMut() -> T + 'static) -> Timed {
    timed_as(call, |value| format!("{value:?}"))
}

/// Creates an operation whose values are compared by the text that `show` returns. `show` is not timed.
pub(crate) fn timed_as<T>(call: impl FnMut() -> T + 'static, show: impl Fn(T) -> String + 'static) -> Timed {
    Timed(Box::new(CallLoop { call, show }))
}
