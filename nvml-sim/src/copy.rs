//! A copy of a shared library without what its running needs not.
//!
//! Debug information is nine tenths of a library that Cargo built for tests, and every test copies one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// Copies what the dynamic linker reads: everything up to the end of the last segment; the table of sections goes.
/// What is no ELF file of 64 bits is copied whole.
pub(crate) fn library(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut header = [0; HEADER];
    source.read_exact(&mut header)?;
    let Some(end) = end_of_segments(&mut source, &header)? else {
        std::fs::copy(from, to)?;
        return Ok(());
    };
    // Place, number and names of the sections: none.
    header[40..48].fill(0);
    header[60..64].fill(0);
    let mut target = File::create(to)?;
    target.write_all(&header)?;
    source.seek(SeekFrom::Start(HEADER as u64))?;
    io::copy(&mut source.take(end.saturating_sub(HEADER as u64)), &mut target)?;
    Ok(())
}

fn end_of_segments(source: &mut File, header: &[u8; HEADER]) -> io::Result<Option<u64>> {
    // The mark, 64 bits, little-endian.
    if !header.starts_with(b"\x7FELF\x02\x01") {
        return Ok(None);
    }
    let table = u64::from_le_bytes(std::array::from_fn(|at| header[32 + at]));
    let size = u16::from_le_bytes([header[54], header[55]]);
    let count = u16::from_le_bytes([header[56], header[57]]);
    if usize::from(size) != PROGRAM_HEADER {
        return Ok(None);
    }
    source.seek(SeekFrom::Start(table))?;
    let mut end = table + u64::from(count) * PROGRAM_HEADER as u64;
    for _ in 0..count {
        let mut segment = [0; PROGRAM_HEADER];
        source.read_exact(&mut segment)?;
        let offset = u64::from_le_bytes(std::array::from_fn(|at| segment[8 + at]));
        let length = u64::from_le_bytes(std::array::from_fn(|at| segment[32 + at]));
        end = end.max(offset.saturating_add(length));
    }
    Ok(Some(end))
}
