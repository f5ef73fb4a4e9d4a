//! The header is what compilers take. That it is what its sources give is a check of `xtask`.

use std::{fs, process::Command};

use crate::tools::{WARNINGS, compiler, has, include, run, scratch};

#[test]
fn compilers_take_the_header() {
    // By itself, twice, and in both languages.
    let text = "#include <igpu.h>\n#include <igpu.h>\nigpu_status (*function)(igpu_driver *) = igpu_driver_close;\n";
    for (name, cpp) in [("header.c", false), ("header.cpp", true)] {
        let source = scratch().join(name);
        fs::write(&source, text).unwrap();
        let flags = |command: &mut Command| {
            run(command.args(WARNINGS).arg("-fsyntax-only").arg("-I").arg(include()).arg(&source));
        };
        flags(&mut compiler(cpp));
        let (clang, standard) = if cpp { ("clang++", "-std=c++17") } else { ("clang", "-std=c11") };
        if has(clang) {
            flags(Command::new(clang).arg(standard));
        }
    }
}
