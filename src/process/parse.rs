//! Parsers of the files under `/proc` and of `/etc/passwd`: bytes in, no path, no allocation, no panic on any input.

use arrayvec::ArrayVec;

/// What is used of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// The kernel's name of the process, field 2 without its parentheses. Any bytes but NUL: spaces, parentheses and
    /// newlines occur. At most 15 bytes for a user's process, more for some kernel threads.
    pub comm: &'a [u8],
    /// Field 3, one letter: `R` running, `S` sleeping, `Z` zombie and so on.
    pub state: u8,
    /// Pid of the parent, field 4; 0 for none in this pid namespace.
    pub ppid: u32,
    /// Start in clock ticks since boot, field 22.
    pub start_time: u64,
}

/// Parses the line of `/proc/PID/stat`; `None` where it is not one.
///
/// The name is what stands between the first `(` and the last `)`: what follows it holds letters and numbers only, while
/// the name may hold anything.
pub fn stat(data: &[u8]) -> Option<Stat<'_>> {
    let open = data.iter().position(|&byte| byte == b'(')?;
    let close = data.iter().rposition(|&byte| byte == b')')?;
    let comm = data.get(open + 1..close)?;
    let mut fields = words(data.get(close + 1..)?);
    let state = match fields.next()? {
        &[letter] => letter,
        _ => return None,
    };
    let ppid = u32::try_from(number(fields.next()?)?).ok()?;
    // Field 5 is next and field 22 is wanted.
    let start_time = number(fields.nth(17)?)?;
    Some(Stat { comm, state, ppid, start_time })
}

/// The real uid in the beginning of `/proc/PID/status`: the first number of the line `Uid:`; `None` without one.
pub fn real_uid(data: &[u8]) -> Option<u32> {
    // The kernel escapes newlines in `Name:`, so a process cannot fake a line of its own.
    let line = data.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut fields = words(line);
    let uid = u32::try_from(number(fields.next()?)?).ok()?;
    // A line cut short may hold half of a number: the next field shows that it is whole.
    fields.next().map(|_| uid)
}

/// The name and uid in one line of `/etc/passwd`; `None` for comments, NIS markers (`+`, `-`) and broken lines.
pub fn passwd(line: &[u8]) -> Option<(&[u8], u32)> {
    let mut fields = line.trim_ascii_start().split(|&byte| byte == b':');
    let name = fields.next()?;
    (!matches!(name.first()?, b'#' | b'+' | b'-')).then_some(())?;
    let uid = u32::try_from(number(fields.nth(1)?)?).ok()?;
    // As for `real_uid`: the group shows that the uid is whole.
    fields.next().map(|_| (name, uid))
}

/// Finds the basename of `argv[0]` in a command line that arrives in pieces of any size, in constant memory.
///
/// The kernel separates arguments by NUL and ends with one. A process may write over its own (`setproctitle` does), and
/// then what is there is read as psutil reads it: data that do not end with NUL are separated by spaces, and so is a
/// single argument with spaces in it. Which of these holds shows at the last byte only, so both readings are kept until
/// then.
#[derive(Clone, Debug, Default)]
pub struct Argv0 {
    until_nul: Basename,
    until_space: Basename,
    nul_before_last: bool,
    last: Option<u8>,
}

impl Argv0 {
    /// Takes the next piece of the command line.
    pub fn feed(&mut self, data: &[u8]) {
        for &byte in data {
            self.nul_before_last |= self.last == Some(0);
            self.last = Some(byte);
            self.until_nul.push(byte, 0);
            self.until_space.push(byte, b' ');
        }
    }

    /// The basename of `argv[0]` (what follows its last `/`, possibly nothing), cut to its first 80 bytes; `None` for an
    /// empty command line, which is what kernel threads and zombies have.
    ///
    /// `whole` says that all of the command line was fed. If not, its end is taken to be the kernel's own.
    pub fn finish(&self, whole: bool) -> Option<&[u8]> {
        let ends_with_nul = self.last? == 0 || !whole;
        let one_argument = !self.nul_before_last && whole;
        // Without a NUL inside and without a space the two readings are the same.
        let spaces = !ends_with_nul || (one_argument && self.until_space.ended);
        let name = if spaces { &self.until_space.name } else { &self.until_nul.name };
        // The reading by spaces of one argument without spaces would hold the NUL at the end.
        Some(name)
    }
}

/// The part after the last `/` of what was pushed before the first separator.
///
/// 80 bytes are more than any name to compare with or to show can use, also when its last character is cut.
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
            // A full name is cut: what does not fit is not needed.
            let _ = self.name.try_push(byte);
        }
    }
}

fn words(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

/// A decimal number without sign, `None` on overflow.
fn number(digits: &[u8]) -> Option<u64> {
    (!digits.is_empty()).then_some(())?;
    digits.iter().try_fold(0_u64, |value, &byte| {
        byte.is_ascii_digit().then_some(())?;
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}
