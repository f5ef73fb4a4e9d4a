//! Tests that compile the header and the examples in its documentation. `xtask` checks that the header is up to date.

use std::{fs, process::Command};

use crate::tools::{WARNINGS, compiler, has, include, on_built, run, scratch, workspace};

/// A program that includes the header twice, before any other header.
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

/// Declarations that the examples in documentation use.
const EXAMPLE_PROLOGUE: &str =
    "#define _GNU_SOURCE\n#include <igpu.h>\n#include <stdio.h>\n#include <time.h>\n#include <unistd.h>\n";

#[test]
fn documentation_examples_compile() {
    let header = fs::read_to_string(include().join("igpu.h")).unwrap();
    let comments: String =
        header.lines().filter_map(|line| line.strip_prefix("//")).map(|line| format!("{line}\n")).collect();
    let document = fs::read_to_string(workspace().join("docs/c-api.md")).unwrap();
    let examples = [c_blocks(&comments), c_blocks(&document)];
    assert!(examples.iter().all(|examples| examples.len() >= 3), "{examples:?}");
    for (number, example) in examples.iter().flatten().enumerate() {
        // Statements are the body of a function whose parameters are the handles that the example does not declare.
        let program = if example.contains("int main(") {
            example.clone()
        } else if example.contains("static void ") {
            format!("{EXAMPLE_PROLOGUE}{example}")
        } else {
            format!(
                "{EXAMPLE_PROLOGUE}int example(igpu_driver *driver, igpu_snapshot *snapshot, igpu_sampler *sampler, \
                 igpu_background *background) {{\n{{\n{example}}}\nreturn 0;\n}}\n"
            )
        };
        let source = scratch().join(format!("example-{number}.c"));
        fs::write(&source, program).unwrap();
        let mut command = compiler(false);
        // An example need not use all its variables.
        command.args(WARNINGS).args(["-Wno-unused", "-Wno-unused-parameter", "-fsyntax-only", "-I"]);
        run(command.arg(include()).arg(&source));
    }
}

#[test]
fn first_program_prints_documented_output() {
    let document = fs::read_to_string(workspace().join("docs/c-api.md")).unwrap();
    let program = c_blocks(&document).into_iter().find(|example| example.contains("int main(")).expect("a program");
    let source = scratch().join("first.c");
    fs::write(&source, program).unwrap();
    let output = on_built(source.to_str().expect("a path in UTF-8"), &[]);
    let documented = blocks(&document, "text").remove(0);
    assert!(output.starts_with(&documented), "{output}");
}

/// Returns the C examples in a Markdown text.
fn c_blocks(text: &str) -> Vec<String> {
    blocks(text, "c")
}

/// Returns the code blocks in a Markdown text that have this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line.trim() {
            fence if fence.strip_prefix("```") == Some(language) => {
                is_inside = true;
                blocks.push(String::new());
            }
            "```" => is_inside = false,
            _ => {
                if let Some(block) = blocks.last_mut().filter(|_| is_inside) {
                    block.push_str(line);
                    block.push('\n');
                }
            }
        }
    }
    blocks
}
