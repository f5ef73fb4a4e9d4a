//! Parsers for the files in `/proc` and for `/etc/passwd`. They take bytes, do not allocate, and do not panic on any
//! input.

use arrayvec::ArrayVec;

/// The fields of `/proc/PID/stat` that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Field 2, the kernel's name of the process without the parentheses. It can contain all bytes except NUL,
    /// including spaces, parentheses, and newlines. It has at most 15 bytes for user processes, and more for some
    /// kernel threads.
    pub comm: &'a [u8],
    /// Field 3, the state as a letter, for example `R` (running), `S` (sleeping), or `Z` (zombie).
    pub state: u8,
    /// Field 4, the process ID of the parent, or 0 if the process has no parent in this PID namespace.
    pub ppid: u32,
    /// Field 22, the start time in clock ticks since boot.
    pub start_time_ticks: u64,
}

/// Parses the contents of `/proc/PID/stat`. Returns `None` if they are malformed.
///
/// The name extends from the first `(` to the last `)`, because the name can contain parentheses and the fields after
/// it cannot.
pub fn stat(data: &[u8]) -> Option<Stat<'_>> {
    let open = data.iter().position(|&byte| byte == b'(')?;
    let close = data.iter().rposition(|&byte| byte == b')')?;
    let comm = data.get(open + 1..close)?;
    let mut fields = fields_of(data.get(close + 1..)?);
    let state = match fields.next()? {
        &[letter] => letter,
        _ => return None,
    };
    let ppid = u32::try_from(parse_decimal(fields.next()?)?).ok()?;
    // The next field is field 5, so `nth(17)` is field 22.
    let start_time_ticks = parse_decimal(fields.nth(17)?)?;
    Some(Stat { comm, state, ppid, start_time_ticks })
}

/// Returns the real uid from the beginning of `/proc/PID/status`. It is the first number of the line `Uid:`. Returns
/// `None` if that line is missing.
pub fn real_uid(data: &[u8]) -> Option<u32> {
    // The kernel escapes newlines in the line `Name:`, so the name of a process cannot forge a line.
    let line = data.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut fields = fields_of(line);
    let uid = u32::try_from(parse_decimal(fields.next()?)?).ok()?;
    // If the line is truncated, the number may be incomplete. The presence of the next field proves that it is
    // complete.
    fields.next().map(|_| uid)
}

/// Returns the name and the uid from a line of `/etc/passwd`. Returns `None` for comments, NIS markers (`+`, `-`), and
/// malformed lines.
pub fn passwd(line: &[u8]) -> Option<(&[u8], u32)> {
    let mut fields = line.trim_ascii_start().split(|&byte| byte == b':');
    let name = fields.next()?;
    (!matches!(name.first()?, b'#' | b'+' | b'-')).then_some(())?;
    let uid = u32::try_from(parse_decimal(fields.nth(1)?)?).ok()?;
    // As in `real_uid`, the next field (the gid) proves that the uid is complete.
    fields.next().map(|_| (name, uid))
}

/// An incremental parser that finds the basename of `argv[0]` in a command line, in constant memory.
///
/// The kernel terminates each argument with a NUL. A process can overwrite its command line, for example with
/// `setproctitle`. The result is then the same as psutil's: arguments are separated by spaces if the data do not end
/// with a NUL, or if there is a single argument that contains spaces. The parser can decide this only at the last byte,
/// and therefore keeps the basename for both separators.
#[derive(Clone, Debug, Default)]
pub struct Argv0 {
    until_nul: Basename,
    until_space: Basename,
    nul_before_last: bool,
    last: Option<u8>,
}

impl Argv0 {
    /// Processes the next part of the command line.
    pub fn feed(&mut self, data: &[u8]) {
        for &byte in data {
            self.nul_before_last |= self.last == Some(0);
            self.last = Some(byte);
            self.until_nul.push(byte, 0);
            self.until_space.push(byte, b' ');
        }
    }

    /// Returns the basename of `argv[0]`, truncated to 80 bytes. The basename is the part after the last `/`, which can
    /// be empty. Returns `None` if the command line is empty, as for kernel threads and zombies.
    ///
    /// `complete` must be `true` if the whole command line was passed to the parser. Otherwise, the command line is
    /// assumed to end with a NUL.
    pub fn finish(&self, complete: bool) -> Option<&[u8]> {
        let ends_with_nul = self.last? == 0 || !complete;
        let one_argument = !self.nul_before_last && complete;
        // A single argument without spaces has the same basename for both separators, but `until_space` would include
        // the NUL at the end.
        let separated_by_spaces = !ends_with_nul || (one_argument && self.until_space.ended);
        let name = if separated_by_spaces { &self.until_space.name } else { &self.until_nul.name };
        Some(name)
    }
}

/// The bytes before the first separator and after the last `/` before it, truncated to 80 bytes.
///
/// 80 bytes are sufficient: `ProcessInfo::name` keeps 64 bytes, and the kernel's names, with which the basename is
/// compared, are shorter. A character that is truncated after 80 bytes affects neither.
#[derive(Clone, Debug, Default)]
struct Basename {
    name: ArrayVec<u8, 80>,
    ended: bool,
}

impl Basename {
    fn push(&mut self, byte: u8, separator: u8) {
        if self.ended {
        } else if byte == separator {
            self.ended = true;
        } else if byte == b'/' {
            self.name.clear();
        } else {
            // Bytes that exceed the capacity are not needed.
            let _ = self.name.try_push(byte);
        }
    }
}

fn fields_of(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

/// Parses a decimal number without a sign. Returns `None` on overflow.
fn parse_decimal(digits: &[u8]) -> Option<u64> {
    (!digits.is_empty()).then_some(())?;
    digits.iter().try_fold(0_u64, |value, &byte| {
        byte.is_ascii_digit().then_some(())?;
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}
