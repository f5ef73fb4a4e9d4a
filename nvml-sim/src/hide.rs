//! Symbols that are really missing: a shared library that spoils names in its own symbol table.
//!
//! A client asks the dynamic linker for a name; the linker compares it with the text in `.dynstr`. With the first byte
//! of a name changed there, the symbol cannot be found by anyone. Done when a scenario starts, undone by the next.

use crate::{functions, state};
use std::ffi::{CStr, c_int, c_void};

/// What the names begin with while hidden.
const SPOILED: u8 = 1;
const SONAME: &CStr = c"libnvidia-ml.so.1";

/// Where this code was loaded.
#[derive(Default)]
struct Image {
    base: usize,
    strings: usize,
    strings_size: usize,
    soname: Option<usize>,
    /// The pages of the strings, and how they are protected.
    segment: Option<(usize, usize, c_int)>,
}

/// Whether this code is the shared library that stands in for the driver's, and not part of some program.
pub(crate) fn is_own_library() -> bool {
    image().is_some()
}

/// Makes the names as the scenario and the faults in force want them.
pub(crate) fn apply() {
    let Some(image) = image() else { return };
    let Some((start, length, protection)) = image.segment else { return };
    // SAFETY: the pages are those of a segment of this library; they stay readable all the while.
    if unsafe { libc::mprotect(start as *mut c_void, length, protection | libc::PROT_WRITE) } != 0 {
        return;
    }
    // SAFETY: `.dynstr` is that long, in those pages; the linker reads its bytes and none of its length changes.
    let strings = unsafe { std::slice::from_raw_parts_mut(image.strings as *mut u8, image.strings_size) };
    for entry in strings.split_mut(|byte| *byte == 0) {
        let Some((first, rest)) = entry.split_first_mut() else { continue };
        if !rest.starts_with(b"vml") || (*first != b'n' && *first != SPOILED) {
            continue;
        }
        let is = |number: &usize| functions::name(*number).as_bytes()[1..] == *rest;
        if let Some(number) = (0..functions::COUNT).find(is) {
            *first = if state::hides(number) { SPOILED } else { b'n' };
        }
    }
    // SAFETY: as above; back to what it was.
    unsafe { libc::mprotect(start as *mut c_void, length, protection) };
}

/// This library, if it is one of its own; `None` where the code is linked into a program or another library.
fn image() -> Option<Image> {
    let mut found = Image::default();
    // SAFETY: `visit` takes the pointer to `found` that it is given here, and the walk ends before this returns.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    let soname = found.soname?;
    // SAFETY: an offset in `.dynstr`, where the linker left a C string.
    let soname = unsafe { CStr::from_ptr((found.strings + soname) as *const _) };
    (soname == SONAME && found.segment.is_some()).then_some(found)
}

unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _size: usize, found: *mut c_void) -> c_int {
    // SAFETY: the walk gives each call a valid description.
    let info = unsafe { &*info };
    // SAFETY: `image` passes its own `Image`.
    let found = unsafe { &mut *found.cast::<Image>() };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the headers of a loaded object, as many as it says.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize) };
    let base = info.dlpi_addr as usize;
    let within = |address: usize, header: &libc::Elf64_Phdr| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        header.p_type == libc::PT_LOAD && (start..start + header.p_memsz as usize).contains(&address)
    };
    let here = visit as *const () as usize;
    if !headers.iter().any(|header| within(here, header)) {
        return 0;
    }
    found.base = base;
    let Some(dynamic) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) else { return 1 };
    let mut entry = base.wrapping_add(dynamic.p_vaddr as usize) as *const [usize; 2];
    loop {
        // SAFETY: the dynamic section is a row of (tag, value) that ends with a tag of 0.
        let [tag, value] = unsafe { *entry };
        // The tags of the ELF standard: DT_STRTAB, DT_STRSZ, DT_SONAME.
        match tag {
            0 => break,
            // Some linkers have put the address itself there, some leave the offset.
            5 => found.strings = if value < base { base + value } else { value },
            10 => found.strings_size = value,
            14 => found.soname = Some(value),
            _ => {}
        }
        // SAFETY: not yet at the end.
        entry = unsafe { entry.add(1) };
    }
    // SAFETY: sysconf takes a number that exists.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    found.segment = headers.iter().find(|header| within(found.strings, header)).map(|header| {
        let start = found.strings / page * page;
        let end = (found.strings + found.strings_size).div_ceil(page) * page;
        let flag = |bit: u32, protection: c_int| if header.p_flags & bit != 0 { protection } else { 0 };
        (start, end - start, flag(4, libc::PROT_READ) | flag(2, libc::PROT_WRITE) | flag(1, libc::PROT_EXEC))
    });
    1
}
