//! Writes `nvml-sys/src/bindings.rs` anew: `NVML_HEADER=/path/to/nvml.h cargo run -p nvml-sys --features bindgen --example regenerate`

fn main() -> Result<(), String> {
    let header = std::env::var_os("NVML_HEADER").ok_or("set NVML_HEADER to the nvml.h that nvml.pin names")?;
    let text = nvml_sys::generate::bindings(header.as_ref(), &[])?;
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bindings.rs");
    std::fs::write(target, text).map_err(|e| format!("{target} cannot be written: {e}"))
}
