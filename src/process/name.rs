//! Process names, as psutil returns them.

use arrayvec::ArrayString;

use super::io::ProcDir;
use super::parse::Argv0;
use crate::text::from_utf8_lossy;

/// The maximum number of bytes that are read of a command line, which is the kernel's limit for one argument. See
/// [`Argv0`].
const MAX_CMDLINE_BYTES: usize = 128 * 1024;

/// Returns the name of a process whose kernel name is `comm`. The result is the basename of `argv[0]` if the kernel has
/// truncated the name, and `comm` otherwise.
pub(super) fn process_name(process: &ProcDir, comm: &[u8]) -> ArrayString<64> {
    if may_be_truncated(comm) {
        let mut argv0 = Argv0::default();
        let complete = process
            .open(c"cmdline")
            .is_some_and(|file| file.for_each_chunk(MAX_CMDLINE_BYTES, |data| argv0.feed(data)));
        if let Some(name) = argv0.finish(complete).filter(|name| starts_with(name, comm)) {
            return from_utf8_lossy(name);
        }
    }
    from_utf8_lossy(comm)
}

/// Returns `true` if psutil would look for a longer name.
///
/// The kernel truncates names to 15 bytes, but psutil compares with 15 characters. A truncated name with letters of two
/// bytes therefore stays truncated.
fn may_be_truncated(comm: &[u8]) -> bool {
    decoded_units(comm).nth(14).is_some()
}

/// Returns `true` if the decoded `name` starts with the decoded `comm`. As in psutil, a character that the kernel has
/// truncated differs from the whole character.
fn starts_with(name: &[u8], comm: &[u8]) -> bool {
    let mut name = decoded_units(name);
    decoded_units(comm).all(|unit| name.next() == Some(unit))
}

/// A character, or a byte that is not part of a character.
#[derive(Clone, Copy, PartialEq)]
enum DecodedUnit {
    Char(char),
    Byte(u8),
}

fn decoded_units(bytes: &[u8]) -> impl Iterator<Item = DecodedUnit> {
    bytes.utf8_chunks().flat_map(|chunk| {
        chunk.valid().chars().map(DecodedUnit::Char).chain(chunk.invalid().iter().map(|&b| DecodedUnit::Byte(b)))
    })
}
