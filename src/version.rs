//! The version text of the library.

/// The versions of this library and of the `nvml.h` that its bindings were generated from, and the commit that it was
/// built from: `0.2.0 (nvml.h 13.5.37, commit 1a2b3c…)`. The commit is `unknown` if the source was neither a git
/// checkout nor a published package.
pub const VERSION: &str = match std::str::from_utf8(&BYTES) {
    Ok(text) => text,
    Err(_) => env!("CARGO_PKG_VERSION"),
};

const PARTS: [&str; 6] =
    [env!("CARGO_PKG_VERSION"), " (nvml.h ", nvml_sys::HEADER_VERSION, ", commit ", env!("IGPU_COMMIT"), ")"];

/// The parts, concatenated by hand because `concat!` takes only literals.
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
