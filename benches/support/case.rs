//! A question, put to each client in turn.

use std::fmt::Debug;
use std::hint::black_box;

/// What the clients do in one case, and who they are.
pub(crate) struct Case {
    pub name: &'static str,
    pub ours: Timed,
    pub raw: Timed,
    pub wrapper: Option<Timed>,
    /// How many metrics it reads; 1 where that is of no interest.
    pub reads: u64,
}

impl Case {
    /// A case of igpu and the bare call.
    pub(crate) fn new(name: &'static str, ours: Timed, raw: Timed) -> Self {
        Self { name, ours, raw, wrapper: None, reads: 1 }
    }

    /// With `nvml-wrapper`, where it makes the same call of the driver.
    #[must_use]
    pub(crate) fn wrapper(self, wrapper: Timed) -> Self {
        Self { wrapper: Some(wrapper), ..self }
    }

    /// A case that reads so many metrics at once.
    #[must_use]
    pub(crate) fn reads(self, metrics: usize) -> Self {
        Self { reads: metrics as u64, ..self }
    }

    /// That everybody gets the same answer, so that what is timed is right.
    ///
    /// # Panics
    /// They do not.
    pub(crate) fn check(&mut self) {
        let raw = self.raw.value();
        assert_eq!(self.ours.value(), raw, "{}: igpu", self.name);
        if let Some(wrapper) = &mut self.wrapper {
            assert_eq!(wrapper.value(), raw, "{}: nvml-wrapper", self.name);
        }
    }

    /// The clients that take part, by name; the bare call is always the second.
    pub(crate) fn clients(&mut self) -> Vec<(&'static str, &mut Timed)> {
        let wrapper = self.wrapper.as_mut().map(|wrapper| ("nvml-wrapper", wrapper));
        [("igpu", &mut self.ours), ("raw", &mut self.raw)].into_iter().chain(wrapper).collect()
    }
}

/// One client's way to the answer, behind one indirect call for a whole block of calls.
pub(crate) struct Timed(Box<dyn TimedLoop>);

trait TimedLoop {
    fn run(&mut self, calls: u64, last: Option<&mut String>);
}

struct CallLoop<F, S> {
    call: F,
    show: S,
}

impl<T, F: FnMut() -> T, S: Fn(T) -> String> TimedLoop for CallLoop<F, S> {
    /// The one place that calls, so that the compiler puts each client's way in line here.
    #[inline(never)]
    fn run(&mut self, calls: u64, last: Option<&mut String>) {
        for left in (0..calls).rev() {
            let value = (self.call)();
            black_box(&value);
            if left == 0 {
                if let Some(last) = last {
                    *last = (self.show)(value);
                }
                return;
            }
        }
    }
}

impl Timed {
    /// So many calls in a row.
    pub(crate) fn run(&mut self, calls: u64) {
        self.0.run(calls, None);
    }

    /// The answer of one call, to compare.
    pub(crate) fn value(&mut self) -> String {
        let mut value = String::new();
        self.0.run(1, Some(&mut value));
        value
    }
}

/// A client whose answer compares as it is.
pub(crate) fn timed<T: Debug>(call: impl FnMut() -> T + 'static) -> Timed {
    timed_as(call, |value| format!("{value:?}"))
}

/// A client whose answer is made comparable, which is not timed.
pub(crate) fn timed_as<T>(call: impl FnMut() -> T + 'static, show: impl Fn(T) -> String + 'static) -> Timed {
    Timed(Box::new(CallLoop { call, show }))
}
