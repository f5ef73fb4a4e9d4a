//! Compilers accept the header. `xtask` checks that it is up to date.

use std::{fs, process::Command};

use crate::tools::{WARNINGS, compiler, has, include, run, scratch};

/// Includes the header first, and twice.
const PROGRAM: &str =
    "#include <igpu.h>\n#include <igpu.h>\nigpu_status (*function)(igpu_driver *) = igpu_driver_close;\n";

#[test]
fn header_is_c11() {
    compile("header.c", compiler(false), "clang", "-std=c11");
}

#[test]
#[ignore = "needs a C++ compiler"]
fn header_is_cplusplus17() {
    compile("header.cpp", compiler(true), "clang++", "-std=c++17");
}

/// Compiles a program that includes the header, with the system's compiler and, if available, with clang.
fn compile(name: &str, mut compiler: Command, clang: &str, standard: &str) {
    let source = scratch().join(name);
    fs::write(&source, PROGRAM).unwrap();
    let check = |command: &mut Command| {
        run(command.args(WARNINGS).arg("-fsyntax-only").arg("-I").arg(include()).arg(&source));
    };
    check(&mut compiler);
    if has(clang) {
        check(Command::new(clang).arg(standard));
    }
}
