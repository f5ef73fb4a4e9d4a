//! Writes `include/igpu.h` anew from `src/capi/`: `cargo run --features cbindgen --example regenerate_header`. Or into the
//! file that is named: a test compares that with the one checked in.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::args_os().nth(1).map_or(root.join("include/igpu.h"), Into::into);
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let header = cbindgen::Builder::new().with_config(config).with_src(root.join("src/capi/mod.rs")).generate()?;
    let mut text = Vec::new();
    header.write(&mut text);
    let mut text = String::from_utf8(text)?;
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    std::fs::write(target, text)?;
    Ok(())
}
