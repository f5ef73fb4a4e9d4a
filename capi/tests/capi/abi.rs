//! A test that compares the ABI with `abi.txt`: the exported names and their signatures, the values of constants, and
//! the sizes and offsets of structs.
//!
//! If the test fails, check the differences. New lines are compatible additions, and `IGPU_UPDATE_ABI=1 cargo test -p
//! igpu-capi --test capi abi` updates the file. A changed or removed line breaks existing programs. Revert the change,
//! or give the library another soname (`build.rs`, `scripts/install-capi`).
#![cfg(target_pointer_width = "64")]

use std::{fmt::Write as _, fs, process::Command};

use crate::tools::{Library, compiler, include, package_root, run, scratch};

#[test]
fn abi_is_unchanged() {
    let header = fs::read_to_string(include().join("igpu.h")).unwrap();
    let exported =
        run(Command::new("nm").args(["-D", "--defined-only"]).arg(Library::Built.folder().join("libigpu.so")));
    let mut names: Vec<&str> = exported.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    names.sort_unstable();
    let signatures = signatures(&header);
    let mut abi = String::new();
    for name in &names {
        let signature = signatures.iter().find(|signature| signature.contains(&format!("{name}(")));
        writeln!(abi, "{}", signature.unwrap_or_else(|| panic!("{name} is exported, but is not in the header")))
            .unwrap();
    }
    assert_eq!(names.len(), signatures.len(), "the header has functions that are not exported");
    abi += &numbers(&header);
    let file = package_root().join("tests/abi.txt");
    if std::env::var_os("IGPU_UPDATE_ABI").is_some() {
        fs::write(&file, &abi).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let removed: Vec<&str> = expected.lines().filter(|line| !abi.lines().any(|other| other == *line)).collect();
    let new: Vec<&str> = abi.lines().filter(|line| !expected.lines().any(|other| other == *line)).collect();
    assert!(abi == expected, "the ABI differs from tests/abi.txt\nremoved or changed: {removed:#?}\nnew: {new:#?}");
}

/// Returns the functions of the header, one per line.
fn signatures(header: &str) -> Vec<String> {
    let is_code = |line: &&str| !["//", "/*", "*", "#", "extern"].iter().any(|start| line.starts_with(start));
    let code: Vec<&str> = header.lines().map(str::trim).filter(is_code).collect();
    let statements = code.join(" ");
    let words = statements.split(';').map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    words.filter(|text| text.contains("(") && !text.starts_with("typedef")).map(|text| text + ";").collect()
}

/// Returns the sizes, offsets, and constants, as a C compiler computes them.
fn numbers(header: &str) -> String {
    let mut program = String::from("#include <igpu.h>\n#include <stdio.h>\nint main(void) {\n");
    let mut print = |name: &str, value: &str| {
        writeln!(program, "    printf(\"%s %llu\\n\", \"{name}\", (unsigned long long)({value}));").unwrap();
    };
    let mut fields = Vec::new();
    for line in header.lines().map(str::trim) {
        if let Some((name, _)) = line.strip_prefix("#define ").and_then(|rest| rest.split_once(' ')) {
            print(name, name);
        } else if let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| name.starts_with("IGPU_")) {
            print(name, name);
        } else if line.starts_with("typedef struct {") {
            fields.clear();
        } else if let Some(name) = line.strip_prefix("} igpu_").and_then(|rest| rest.strip_suffix(';')) {
            print(&format!("sizeof(igpu_{name})"), &format!("sizeof(igpu_{name})"));
            for field in fields.drain(..) {
                let field: String = field;
                print(&format!("igpu_{name}.{field}"), &format!("offsetof(igpu_{name}, {field})"));
            }
        } else if line.ends_with(';') && !line.starts_with("//") && !line.contains('(') && line.contains(' ') {
            let declared = line.trim_end_matches(';').split('[').next().unwrap_or_default();
            fields.push(declared.rsplit([' ', '*']).next().unwrap_or_default().to_owned());
        }
    }
    program += "    return 0;\n}\n";
    let (source, binary) = (scratch().join("abi.c"), scratch().join("abi"));
    fs::write(&source, program).unwrap();
    run(compiler(false).arg(&source).arg("-I").arg(include()).arg("-o").arg(&binary));
    run(&mut Command::new(&binary))
}
