//! A test that fails if there are import cycles between files or folders.

mod graph;
mod source;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use graph::{Crate, Module};

/// Returns the source of a module. For `["a", "b"]`, this is the file `a/b.rs` or `a/b/mod.rs` next to the root.
fn text_of(root: &Path, module: &Module) -> Option<String> {
    if module.is_empty() {
        return fs::read_to_string(root).ok();
    }
    let path: PathBuf = root.parent()?.iter().chain(module.iter().map(AsRef::as_ref)).collect();
    fs::read_to_string(path.with_extension("rs")).or_else(|_| fs::read_to_string(path.join("mod.rs"))).ok()
}

/// Returns the folders in a folder, without build outputs and hidden folders.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_source = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir() && name != "target" && !name.starts_with('.')
    };
    entries.filter(is_source).collect()
}

/// Returns the root files of all crates with more than one file: libraries, programs, tests, and benchmarks.
fn roots() -> Vec<PathBuf> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let packages: Vec<PathBuf> = [workspace.clone()]
        .into_iter()
        .chain(folders(&workspace))
        .chain(folders(&workspace).iter().flat_map(|folder| folders(folder)))
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .collect();
    assert!(packages.len() > 5, "{packages:?}");
    let sources = packages.iter().flat_map(|package| [package.join("src/lib.rs"), package.join("src/main.rs")]);
    let tests = packages.iter().flat_map(|package| folders(&package.join("tests")));
    sources.chain(tests.map(|folder| folder.join("main.rs"))).filter(|root| root.is_file()).collect()
}

#[test]
fn imports_have_no_cycle() {
    let (mut cycles, mut files) = (Vec::new(), 0);
    for root in roots() {
        let package = Crate::read(&mut |module| text_of(&root, module));
        assert!(package.missing.is_empty(), "{}: no file for {:?}", root.display(), package.missing);
        files += package.len();
        cycles.extend(package.cycles().into_iter().map(|cycle| format!("{}: {cycle:?}\n", root.display())));
    }
    assert!(files > 250, "only {files} files were read");
    assert!(cycles.is_empty(), "modules that use each other:\n{}", cycles.concat());
}

/// Returns the import cycles of a crate that consists of these modules.
fn cycles(modules: &[(&str, &str)]) -> Vec<BTreeSet<String>> {
    let find = |wanted: &Module| modules.iter().find(|(name, _)| *name == wanted.join("::"));
    Crate::read(&mut |module| find(module).map(|(_, text)| (*text).to_owned())).cycles()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn file_cycle_is_reported() {
    let root = ("", "mod a; mod b; mod c;");
    let a = ("a", "use crate::b::B; pub struct A;");
    let b = ("b", "pub struct B; fn f() { let _ = crate::a::A; }");
    let c = ("c", "use crate::{a::A, b::{self, B}};");
    assert_eq!(cycles(&[root, a, b, c]), [set(&["a", "b"])]);
}

#[test]
fn test_and_doc_imports_are_ignored() {
    let root = ("", "mod a; mod b; #[cfg(test)] mod t;");
    let a = ("a", "use crate::b::B; pub struct A;");
    let b = ("b", "/// See `crate::a::A`.\npub struct B; #[cfg(test)] mod tests { use crate::a::A; } // crate::a::A");
    let t = ("t", "use crate::a::A; pub struct T;");
    assert_eq!(cycles(&[root, a, b, t]), Vec::<BTreeSet<String>>::new());
}

#[test]
fn parent_child_cycle_is_reported() {
    let root = ("", "mod a;");
    let a = ("a", "mod b; pub struct A; pub fn f() { b::g(A) }");
    let b = ("a::b", "use super::A; pub fn g(_: A) {}");
    assert_eq!(cycles(&[root, a, b]), [set(&["a", "a::b"])]);
}

#[test]
fn reexport_belongs_to_file() {
    // Both imports use `a`, which re-exports the items.
    let root = ("", "mod a;");
    let a = ("a", "mod b; mod c; pub use b::B; pub use self::c::*;");
    let b = ("a::b", "pub struct B;");
    let c = ("a::c", "use super::B; pub struct C;");
    assert_eq!(cycles(&[root, a, b, c]), Vec::<BTreeSet<String>>::new());
    let b = ("a::b", "use super::C; pub struct B;");
    assert_eq!(cycles(&[root, a, b, c]), [set(&["a::b", "a::c"])]);
}

#[test]
fn folder_cycle_is_reported() {
    // There is a cycle between the folders, but not between the files.
    let root = ("", "mod a; mod b;");
    let modules = [
        ("a", "mod x; mod y;"),
        ("b", "mod x; mod y;"),
        ("a::x", "use crate::b::x::X; pub struct Z;"),
        ("a::y", "pub struct Y;"),
        ("b::x", "pub struct X;"),
        ("b::y", "use crate::a::y::Y;"),
    ];
    assert_eq!(cycles(&[&[root][..], &modules].concat()), [set(&["a", "b"])]);
}

#[test]
fn inline_module_belongs_to_file() {
    let root = ("", "mod a; pub struct Root;");
    let a = ("a", "mod inner { use super::A; use super::super::Root; } pub struct A;");
    assert_eq!(cycles(&[root, a]), Vec::<BTreeSet<String>>::new());
    let root = ("", "mod a; pub struct Root; fn f(_: a::A) {}");
    assert_eq!(cycles(&[root, a]), [set(&["a", "the crate's root"])]);
}

/// Returns the cycles of a crate with the modules `b` and `c` and the given source of `a`.
fn cycles_with(a: &str) -> Vec<BTreeSet<String>> {
    let root = ("", "mod a; mod b; mod c;");
    cycles(&[root, ("a", a), ("b", "use crate::a::A; pub struct B;"), ("c", "pub struct C;")])
}

#[test]
fn every_form_of_import_is_read() {
    for a in [
        "use super::b::B; pub struct A;",
        "use super::{b::{self, B}}; pub struct A;",
        "use super::{b::{self as x}}; pub struct A; fn f() { x::B; }",
        "use crate::b as x; pub struct A; fn f(_: x::B) {}",
        "use {crate::b::{B as Q}}; pub struct A;",
        "use crate::b::*; pub struct A;",
        "use super::*; pub struct A; fn f() { b::B; }",
        "pub struct A; fn f() { println!(\"{}\", crate::b::B); }",
        "pub struct A; macro_rules! m { () => { $crate::b::B } }",
        "pub struct A; fn f() { use crate::b::B as C; }",
        "pub struct A; mod i { use super::super::b::B; }",
        "pub struct A; mod i { pub(crate) use crate::b::B; }",
        "pub struct A; fn f() { Vec::<super::b::B>::new() }",
        "pub struct A; type T = <crate::b::B as X>::Y;",
        "pub struct A; struct F { #[cfg(test)] x: u8, y: crate::b::B }",
        "pub struct A; enum F { #[cfg(test)] X, Y(crate::b::B) }",
        "pub struct A; #[cfg(test)] use crate::{c::C}; use crate::b::B;",
        "pub struct A; #[cfg(not(test))] use crate::b::B;",
        "pub struct A; pub(in crate::b) struct Z; fn g() -> super::b::B {}",
    ] {
        assert_eq!(cycles_with(a), [set(&["a", "b"])], "{a}");
    }
    for a in [
        "use crate::b; pub struct A;",
        "use crate::b::{self as x}; pub struct A;",
        "pub struct A; #[cfg(test)] use crate::b::{B}; use crate::c::C;",
        "pub struct A; #[cfg(test)] pub(crate) fn f() where A: B, B: C { crate::b::B }",
        "pub struct A; #[cfg(test)] mod tests { use super::*; use crate::b::B; }",
        "pub struct A; #[doc = \"crate::b::B\"] struct S;",
        "pub struct A; pub(in crate::b) struct Z;",
    ] {
        assert_eq!(cycles_with(a), [], "{a}");
    }
}

#[test]
fn glob_import_belongs_to_file() {
    let a = ("a", "use crate::d::B; pub struct A;");
    let b = ("b", "use crate::a::A; pub struct B;");
    let modules = |d| [("", "mod a; mod b; mod c; mod d;"), a, b, ("c", "pub struct C;"), ("d", d)];
    for d in ["pub use crate::c::*; pub use crate::b::*;", "pub(crate) use crate::b::{B}; pub use crate::c::*;"] {
        assert_eq!(cycles(&modules(d)), [set(&["a", "b"])], "{d}");
    }
    assert_eq!(cycles(&modules("pub use crate::c::*; pub struct B;")), []);
    // Each module uses the other through the root.
    let root = ("", "mod a; mod b;");
    let a = ("a", "use super::*; pub struct A; fn f() { b::B }");
    let b = ("b", "use super::*; pub struct B; fn f() { a::A }");
    assert_eq!(cycles(&[root, a, b]), [set(&["a", "b"])]);
}

#[test]
fn module_without_file_is_reported() {
    let find =
        |module: &Module| module.is_empty().then(|| "mod a; mod i { mod b; } #[path = \"x.rs\"] mod c;".to_owned());
    let missing = Crate::read(&mut |module| find(module)).missing;
    assert_eq!(missing.into_iter().flatten().collect::<BTreeSet<_>>(), set(&["a", "b"]));
}
