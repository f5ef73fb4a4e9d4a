//! Generators of files that are checked in. With `--check`, they only check that a file is up to date:
//!
//! ```sh
//! cargo run -p xtask --features header -- header [--check]
//! cargo run -p xtask --features bindings -- bindings [--check]
//! cargo run -p xtask -- stubs [--check]
//! ```
//!
//! Generators that need other packages are optional features, so that an ordinary build does not compile these
//! packages.

#[cfg(feature = "bindings")]
mod bindings;
#[cfg(feature = "header")]
mod header;
mod stubs;

use std::{fs, path::Path, process::ExitCode};

const USAGE: &str = "usage: cargo run -p xtask [--features GENERATOR] -- GENERATOR [--check]
  GENERATOR  bindings: nvml-sys/src/bindings.rs (set NVML_HEADER to the nvml.h pinned in nvml-sys/nvml.pin)
             header: capi/include/igpu.h
             stubs: nvml-sim/core/src/api/stubs.rs, without --features
  --check    fail if the file is not up to date";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (generator, check) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [generator] => (generator, false),
        [generator, "--check"] => (generator, true),
        _ => ("", false),
    };
    let result = generate(generator).and_then(|(file, text)| write_or_check(file, &text, check));
    result.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Returns the path and the text of a generated file.
fn generate(generator: &str) -> Result<(&'static str, String), String> {
    match generator {
        #[cfg(feature = "bindings")]
        "bindings" => Ok(("nvml-sys/src/bindings.rs", bindings::generate(root())?)),
        #[cfg(feature = "header")]
        "header" => Ok(("capi/include/igpu.h", header::generate(root())?)),
        "stubs" => Ok(("nvml-sim/core/src/api/stubs.rs", stubs::generate(root())?)),
        _ => Err(USAGE.to_owned()),
    }
}

/// Returns the root folder of the workspace.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Writes a generated file, or checks that the file has the generated text.
fn write_or_check(file: &str, generated: &str, check: bool) -> Result<(), String> {
    let path = root().join(file);
    if !check {
        return fs::write(path, generated).map_err(|error| format!("cannot write {file}: {error}"));
    }
    let current = fs::read_to_string(path).map_err(|error| format!("cannot read {file}: {error}"))?;
    if current == generated {
        println!("{file} is up to date");
        return Ok(());
    }
    let equal_lines = current.lines().zip(generated.lines()).take_while(|(old, new)| old == new).count();
    Err(format!("{file} is out of date from line {}\nhelp: regenerate it without --check", equal_lines + 1))
}
