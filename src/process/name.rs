//! Names of processes, as psutil gives them.

use arrayvec::ArrayString;

use super::io::ProcDir;
use super::parse::Argv0;
use crate::text::lossy;

/// How much of a command line is read to name a process: the kernel's limit for one argument. See [`Argv0`].
const MAX_CMDLINE_BYTES: usize = 128 * 1024;

/// Returns the name of a process whose kernel name is `comm`: that name, or the basename of `argv[0]` if the kernel
/// truncated it.
pub(super) fn process_name(process: &ProcDir, comm: &[u8]) -> ArrayString<64> {
    if may_be_truncated(comm) {
        let mut argv0 = Argv0::default();
        let complete = process
            .open(c"cmdline")
            .is_some_and(|file| file.for_each_chunk(MAX_CMDLINE_BYTES, |data| argv0.feed(data)));
        if let Some(name) = argv0.finish(complete).filter(|name| starts_with(name, comm)) {
            return lossy(name);
        }
    }
    lossy(comm)
}

/// The kernel keeps 15 bytes; psutil asks for 15 *characters*, so a name with two-byte letters that was cut stays so.
fn may_be_truncated(comm: &[u8]) -> bool {
    decoded_units(comm).nth(14).is_some()
}

/// Whether the decoded `name` starts with the decoded `comm`: a letter that the kernel has cut in the middle differs from
/// the whole one, for psutil and so for us.
fn starts_with(name: &[u8], comm: &[u8]) -> bool {
    let mut name = decoded_units(name);
    decoded_units(comm).all(|unit| name.next() == Some(unit))
}

/// One character, or one byte that is not part of any.
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
