//! Every function of NVML has a number: its place in `nvml_sys::NAMES`. Found by the compiler, so that a call costs
//! an index and no search.

use std::ffi::CStr;

/// How many functions there are.
pub(crate) const COUNT: usize = nvml_sys::NAMES.len();

/// The number of a function, at compile time; a wrong name does not compile.
pub(crate) const fn number(name: &str) -> usize {
    let name = name.as_bytes();
    let mut place = 0;
    while place < COUNT {
        if same(nvml_sys::NAMES[place].to_bytes(), name) {
            return place;
        }
        place += 1;
    }
    panic!("not a function of nvml.h")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // From the end: the names differ there first.
    let mut place = a.len();
    while place > 0 {
        place -= 1;
        if a[place] != b[place] {
            return false;
        }
    }
    true
}

/// The number of a function at run time.
pub(crate) fn find(name: &CStr) -> Option<usize> {
    nvml_sys::NAMES.iter().position(|known| *known == name)
}

/// The name of a function.
pub(crate) fn name(number: usize) -> &'static str {
    // The names of C identifiers are ASCII.
    nvml_sys::NAMES.get(number).and_then(|name| name.to_str().ok()).unwrap_or_default()
}
