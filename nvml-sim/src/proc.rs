//! A process's name, read without the heap: a call of the driver must not disturb a client's allocator.

use std::fmt;
use std::io::Write;

/// Prints into `buffer`; what does not fit is cut.
pub(crate) fn print<'a>(buffer: &'a mut [u8], what: fmt::Arguments<'_>) -> &'a str {
    let whole = buffer.len();
    let mut rest = &mut *buffer;
    // Short of room is no error here.
    let _ = rest.write_fmt(what);
    let used = whole - rest.len();
    std::str::from_utf8(&buffer[..used]).unwrap_or_default()
}

/// What the process was started as: the first word of its command line, or the kernel's name of it.
pub(crate) fn command(pid: u32, buffer: &mut [u8]) -> Option<&[u8]> {
    let length = read(pid, "cmdline", buffer)?;
    let word = buffer[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
    if word > 0 {
        return Some(&buffer[..word]);
    }
    let length = read(pid, "comm", buffer)?;
    Some(buffer[..length].trim_ascii_end())
}

fn read(pid: u32, file: &str, buffer: &mut [u8]) -> Option<usize> {
    let mut path = [0u8; 48];
    let path = print(&mut path, format_args!("/proc/{pid}/{file}\0"));
    // SAFETY: the path ends in NUL.
    let opened = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if opened < 0 {
        return None;
    }
    // SAFETY: the buffer is writable for its length, the descriptor is the one just opened.
    let got = unsafe { libc::read(opened, buffer.as_mut_ptr().cast(), buffer.len()) };
    // SAFETY: ours, and closed once.
    unsafe { libc::close(opened) };
    usize::try_from(got).ok()
}
