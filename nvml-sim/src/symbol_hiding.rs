//! Hiding of symbols from clients, by changes to names in the symbol table of this library.
//!
//! To find a symbol, the dynamic linker compares the requested name with the text in `.dynstr`. If the first byte of a
//! name is changed there, the symbol is not found. The change is made in memory rather than in the installed file,
//! because the file is loaded before `NVML_SIM_SCENARIO` selects its scenario, and because the next scenario or a fault
//! hides other names.

use libc::{PROT_EXEC, PROT_READ, PROT_WRITE};
use nvml_sim_core::{ScenarioError, resolve};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSegment, ReadCache, SegmentFlags, elf};
use std::ffi::{CStr, OsStr, c_int, c_void};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The first byte of a hidden name, which replaces `n`.
const HIDDEN_FIRST_BYTE: u8 = 1;

/// This library as loaded by the dynamic linker.
pub(crate) struct OwnLibrary {
    pub path: PathBuf,
    base: usize,
}

/// The addresses of the names of NVML's functions in the memory of this library.
struct NameTable {
    /// The functions with the addresses of their names.
    names: Vec<(&'static CStr, usize)>,
    /// The first and last address of the pages that contain the names.
    pages: (usize, usize),
    /// The protection of these pages.
    protection: c_int,
}

/// Hides the names that the scenario or an active fault removes, and restores all other names.
///
/// # Errors
/// Fails if the library's file cannot be read, or if the names in memory cannot be changed.
pub(crate) fn apply() -> Result<(), ScenarioError> {
    static NAMES: OnceLock<NameTable> = OnceLock::new();
    // The lock prevents one thread from making the pages read-only while another thread writes to them.
    static APPLY_LOCK: Mutex<()> = Mutex::new(());
    let _lock = APPLY_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let is_hidden = |name: &CStr| resolve(name).is_null();
    if NAMES.get().is_none() && !nvml_sys::NAMES.iter().any(|name| is_hidden(name)) {
        return Ok(());
    }
    let names = match NAMES.get() {
        Some(names) => names,
        None => {
            let found = find_names().map_err(|error| ScenarioError::new(format!("cannot hide symbols: {error}")))?;
            NAMES.get_or_init(|| found)
        }
    };
    names.protect(names.protection | PROT_WRITE)?;
    for (name, address) in &names.names {
        let first = if is_hidden(name) { HIDDEN_FIRST_BYTE } else { b'n' };
        // SAFETY: the address is that of a byte in a page of this library, which was made writable above. There is no
        // Rust reference to the byte, and the dynamic linker only reads it.
        unsafe { AtomicU8::from_ptr(*address as *mut u8) }.store(first, Relaxed);
    }
    names.protect(names.protection)
}

impl NameTable {
    fn protect(&self, protection: c_int) -> Result<(), ScenarioError> {
        let (start, end) = self.pages;
        // SAFETY: the pages belong to a segment of this library, and stay readable.
        if unsafe { libc::mprotect(start as *mut c_void, end - start, protection) } == 0 {
            return Ok(());
        }
        Err(ScenarioError::new(format!("cannot hide symbols: {}", std::io::Error::last_os_error())))
    }
}

/// Finds the names in this library's file, and their addresses in memory.
fn find_names() -> Result<NameTable, String> {
    let library = own_library().ok_or("this library has no path")?;
    let file = File::open(&library.path).map_err(|error| format!("{}: {error}", library.path.display()))?;
    let file = ReadCache::new(file);
    let elf = ElfFile64::<Endianness, _>::parse(&file).map_err(|error| error.to_string())?;
    let strings = elf.section_by_name(".dynstr").ok_or("no section .dynstr")?;
    let within = |start: u64, size: u64| (start..start + size).contains(&strings.address());
    let segment = elf.segments().find(|segment| within(segment.address(), segment.size())).ok_or("no segment")?;

    let table = elf.elf_dynamic_symbol_table();
    let mut names = Vec::new();
    for symbol in table.iter() {
        let name = table.symbol_name(elf.endian(), symbol).map_err(|error| error.to_string())?;
        if let Some(known) = nvml_sys::NAMES.iter().find(|known| known.to_bytes() == name) {
            let address = strings.address() + u64::from(symbol.st_name.get(elf.endian()));
            names.push((*known, library.base + address as usize));
        }
    }
    // SAFETY: sysconf takes a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let start = library.base + strings.address() as usize;
    let end = start + strings.size() as usize;
    let pages = (start / page * page, end.next_multiple_of(page));
    Ok(NameTable { names, pages, protection: protection(segment.flags()) })
}

fn protection(flags: SegmentFlags) -> c_int {
    let SegmentFlags::Elf { p_flags, .. } = flags else { return PROT_READ };
    let bit = |flag: elf::ProgramFlags, protection| if p_flags.0 & flag.0 != 0 { protection } else { 0 };
    bit(elf::PF_R, PROT_READ) | bit(elf::PF_W, PROT_WRITE) | bit(elf::PF_X, PROT_EXEC)
}

/// Returns the path and load address of this library. The first call, when the library is loaded, makes a relative path
/// absolute.
pub(crate) fn own_library() -> Option<&'static OwnLibrary> {
    static OWN: OnceLock<Option<OwnLibrary>> = OnceLock::new();
    OWN.get_or_init(find_own_library).as_ref()
}

fn find_own_library() -> Option<OwnLibrary> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: the address is that of a function in this library, and `info` is a live Dl_info.
    let found = unsafe { libc::dladdr(own_library as *const c_void, &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the name is a C string of the dynamic linker, which stays valid while the library is loaded.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(info.dli_fname) }.to_bytes()));
    Some(OwnLibrary { path: std::path::absolute(path).ok()?, base: info.dli_fbase as usize })
}
