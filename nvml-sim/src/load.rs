//! What happens when the shared library is loaded: it finds its scenario.

use crate::scenario::{Scenario, ScenarioError};
use crate::{hide, start};
use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Chooses the scenario: a built-in one's name, or the path of a TOML file.
pub(crate) const VARIABLE: &str = "NVML_SIM_SCENARIO";
/// The scenario beside the library.
pub(crate) const FILE: &str = "nvml-sim.toml";

/// The dynamic linker calls this before anyone can ask for a symbol.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    // Linked into a program, that program says when to start what.
    if !hide::is_own_library() {
        return;
    }
    // A panic must not cross into the linker; it has said what it is on stderr, and nvmlInit* will refuse.
    let _ = catch_unwind(|| match choose() {
        Ok(scenario) => start(&scenario),
        Err(error) => eprintln!("nvml-sim: {error}."),
    });
}

fn choose() -> Result<Scenario, ScenarioError> {
    if let Some(wanted) = std::env::var_os(VARIABLE).filter(|wanted| !wanted.is_empty()) {
        let wanted = wanted.to_str().ok_or_else(|| ScenarioError::new(format!("{VARIABLE} is not UTF-8")))?;
        return Scenario::load(wanted).map_err(|error| ScenarioError::new(format!("{VARIABLE}: {error}")));
    }
    match own_path().map(|path| path.with_file_name(FILE)).filter(|path| path.is_file()) {
        Some(path) => load_file(&path),
        None => Scenario::named("workstation"),
    }
}

fn load_file(path: &Path) -> Result<Scenario, ScenarioError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ScenarioError::new(format!("cannot read {}: {error}", path.display())))?;
    Scenario::from_toml(&text).map_err(|error| ScenarioError::new(format!("{}: {error}", path.display())))
}

/// Where this library was loaded from.
fn own_path() -> Option<PathBuf> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: the address is of a function of this library, `info` is ours to write.
    let found = unsafe { libc::dladdr(at_load as *const c_void, &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the linker's C string, which lives as long as the library.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}
