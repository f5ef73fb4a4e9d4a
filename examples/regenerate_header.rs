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
    Ok(tidied(&String::from_utf8(text)?))
}

/// cbindgen leaves empty lines, and gives each parameter a line where all would fit into one.
fn tidied(text: &str) -> String {
    let mut tidy = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() && tidy.ends_with("\n\n") {
            continue;
        }
        tidy += line;
        let is_function = line.starts_with("igpu_status ") && line.ends_with(',');
        let parameters: Vec<&str> = if is_function {
            std::iter::from_fn(|| lines.next_if(|next| next.starts_with(' '))).collect()
        } else {
            vec![]
        };
        let one_line = parameters.iter().map(|parameter| parameter.trim_start().len() + 1).sum::<usize>();
        for parameter in &parameters {
            let fits = line.len() + one_line <= 120;
            tidy += &if fits { format!(" {}", parameter.trim_start()) } else { format!("\n{parameter}") };
        }
        tidy.push('\n');
    }
    tidy
}
