//! The header: what it is made of, and that compilers take it.

use std::{fs, process::Command};

use crate::tools::{WARNINGS, compiler, has, root, run, scratch};

#[cfg(feature = "cbindgen")]
#[path = "../../examples/regenerate_header.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod regenerate;

#[cfg(feature = "cbindgen")]
#[test]
fn the_header_is_what_the_sources_give() {
    let kept = fs::read_to_string(root().join("include/igpu.h")).unwrap();
    let fresh = regenerate::header().unwrap();
    let differs = fresh.lines().zip(kept.lines()).position(|(a, b)| a != b);
    let first = differs.map(|line| line + 1);
    assert!(
        fresh == kept,
        "igpu.h differs from src/capi, first at line {first:?}: run the example `regenerate_header`"
    );
}

#[test]
fn compilers_take_the_header() {
    // By itself, twice, and in both languages.
    let text = "#include <igpu.h>\n#include <igpu.h>\nigpu_status (*function)(igpu_driver *) = igpu_driver_close;\n";
    for (name, cpp) in [("header.c", false), ("header.cpp", true)] {
        let source = scratch().join(name);
        fs::write(&source, text).unwrap();
        let flags = |command: &mut Command| {
            run(command.args(WARNINGS).arg("-fsyntax-only").arg("-I").arg(root().join("include")).arg(&source));
        };
        flags(&mut compiler(cpp));
        let (clang, standard) = if cpp { ("clang++", "-std=c++17") } else { ("clang", "-std=c11") };
        if has(clang) {
            flags(Command::new(clang).arg(standard));
        }
    }
}
