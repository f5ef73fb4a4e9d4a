//! The version as one constant text.

/// The version of this library, of the `nvml.h` that its bindings were generated from, and the commit that it was built
/// from: `0.2.0 (nvml.h 13.5.37, commit 1a2b3c…)`. The commit is `unknown` when it was built neither in a git checkout nor
/// from a published package.
pub const VERSION: &str = match std::str::from_utf8(&BYTES) {
    Ok(text) => text,
    Err(_) => env!("CARGO_PKG_VERSION"),
};

const PARTS: [&str; 6] =
    [env!("CARGO_PKG_VERSION"), " (nvml.h ", nvml_sys::HEADER_VERSION, ", commit ", env!("IGPU_COMMIT"), ")"];

/// The parts one after the other. `concat!` takes literals alone.
const BYTES: [u8; length(&PARTS)] = {
    let mut bytes = [0; length(&PARTS)];
    let mut rest: &mut [u8] = &mut bytes;
    let mut part = 0;
    while part < PARTS.len() {
        let (place, after) = rest.split_at_mut(PARTS[part].len());
        place.copy_from_slice(PARTS[part].as_bytes());
        rest = after;
        part += 1;
    }
    bytes
};

const fn length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len();
        part += 1;
    }
    length
}
