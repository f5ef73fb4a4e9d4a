//! The version of the library as text.

/// The version of igpu, the version of the `nvml.h` from which the bindings were generated, and the commit of the
/// source, for example `0.2.0 (nvml.h 13.5.37, commit 1a2b3c…)`.
///
/// The commit is `unknown` if igpu was built neither from a git checkout nor from a published package.
pub const VERSION: &str = match std::str::from_utf8(&BYTES) {
    Ok(text) => text,
    Err(_) => env!("CARGO_PKG_VERSION"),
};

const PARTS: [&str; 6] =
    [env!("CARGO_PKG_VERSION"), " (nvml.h ", nvml_sys::HEADER_VERSION, ", commit ", env!("IGPU_COMMIT"), ")"];

/// The concatenation of the parts. `concat!` cannot be used because it accepts only literals.
const BYTES: [u8; length(&PARTS)] = {
    let mut bytes = [0; length(&PARTS)];
    let mut unwritten: &mut [u8] = &mut bytes;
    let mut part = 0;
    while part < PARTS.len() {
        let (target, remainder) = unwritten.split_at_mut(PARTS[part].len());
        target.copy_from_slice(PARTS[part].as_bytes());
        unwritten = remainder;
        part += 1;
    }
    bytes
};

/// Returns the total length of the parts in bytes.
const fn length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len();
        part += 1;
    }
    length
}
