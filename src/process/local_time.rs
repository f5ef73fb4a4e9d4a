//! Local time as text.
#![allow(unsafe_code, reason = "only the C library knows the local time zone")]

use std::fmt::Write as _;

use arrayvec::ArrayString;

/// A time in seconds since the epoch as local time, `YYYY-MM-DD HH:MM:SS`, fractions cut off.
///
/// The same text as Python's `datetime.fromtimestamp(int(seconds)).strftime('%Y-%m-%d %H:%M:%S')` gives for the years
/// 1000 to 9999. `None` for a time that is not finite or outside the years 1 to 9999. The time zone is the C library's
/// (`TZ`, `/etc/localtime`), which may read files at first use: for showing, not for sampling.
pub fn format_local_time(seconds: f64) -> Option<ArrayString<32>> {
    // The years 1 to 9999 lie well within; the cast is exact there and cuts towards zero, as Python's int().
    (seconds.abs() < 1e12).then_some(())?;
    let seconds = seconds as libc::time_t;
    // SAFETY: all zero is a value of the plain C struct `tm`.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, and the result lands in `parts`, not in shared memory.
    let done = unsafe { libc::localtime_r(&seconds, &mut parts) };
    if done.is_null() {
        return None;
    }
    let year = i64::from(parts.tm_year) + 1900;
    (1..=9999).contains(&year).then_some(())?;
    let mut text = ArrayString::new();
    let libc::tm { tm_mon, tm_mday, tm_hour, tm_min, tm_sec, .. } = parts;
    write!(text, "{year:04}-{:02}-{tm_mday:02} {tm_hour:02}:{tm_min:02}:{tm_sec:02}", tm_mon + 1).ok()?;
    Some(text)
}
