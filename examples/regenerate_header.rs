//! Writes `include/igpu.h` anew from `src/capi/`: `cargo run --features cbindgen --example regenerate_header`.

use std::{error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    Ok(std::fs::write(root().join("include/igpu.h"), header()?)?)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of the header. A test compares it with the one that is checked in.
pub fn header() -> Result<String, Box<dyn Error>> {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml"))?;
    let header = cbindgen::Builder::new().with_config(config).with_src(root().join("src/capi/mod.rs")).generate()?;
    let mut text = Vec::new();
    header.write(&mut text);
    let mut text = String::from_utf8(text)?;
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    Ok(text)
}
