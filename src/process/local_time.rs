//! Formatting of local times.
#![allow(unsafe_code, reason = "the C library has the local time zone")]

use std::fmt::Write as _;

use arrayvec::ArrayString;

/// Formats a time in seconds since the epoch as local time, `YYYY-MM-DD HH:MM:SS`. Fractions are truncated.
///
/// Returns the same text as Python's `datetime.fromtimestamp(int(seconds)).strftime('%Y-%m-%d %H:%M:%S')` for the years
/// 1000 to 9999. Returns `None` if the time is not finite or is outside the years 1 to 9999.
///
/// The C library determines the time zone (`TZ`, `/etc/localtime`) and may read files at the first use. Do not call
/// this function on the sampling path.
pub fn format_local_time(seconds: f64) -> Option<ArrayString<32>> {
    // This range contains the years 1 to 9999. The cast truncates toward zero, as Python's `int()` does.
    (seconds.abs() < 1e12).then_some(())?;
    let seconds = seconds as libc::time_t;
    // SAFETY: `tm` is a plain C struct, for which all zero bytes are a valid value.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid during the call, and `localtime_r` writes only to `parts`.
    let result = unsafe { libc::localtime_r(&seconds, &mut parts) };
    if result.is_null() {
        return None;
    }
    let year = i64::from(parts.tm_year) + 1900;
    (1..=9999).contains(&year).then_some(())?;
    let mut text = ArrayString::new();
    let libc::tm { tm_mon, tm_mday, tm_hour, tm_min, tm_sec, .. } = parts;
    write!(text, "{year:04}-{:02}-{tm_mday:02} {tm_hour:02}:{tm_min:02}:{tm_sec:02}", tm_mon + 1).ok()?;
    Some(text)
}
