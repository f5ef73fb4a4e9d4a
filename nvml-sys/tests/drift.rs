//! The checked-in bindings are what the pinned header gives, byte for byte. Needs the header (`NVML_HEADER`) and libclang.
#![cfg(feature = "bindgen")]

#[test]
fn bindings_are_what_the_header_gives() {
    let header = std::env::var_os("NVML_HEADER").expect("set NVML_HEADER to the nvml.h that nvml.pin names");
    let fresh = nvml_sys::generate::bindings(header.as_ref(), &[]).unwrap();
    let kept = include_str!("../src/bindings.rs");
    let differs = fresh.lines().zip(kept.lines()).position(|(a, b)| a != b);
    assert!(
        fresh == kept,
        "bindings.rs differs from what the header gives, first at line {:?}: run the example `regenerate`",
        differs.map(|line| line + 1)
    );
}
