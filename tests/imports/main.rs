//! Imports go one way: no file uses another that uses the first, and no folder either.

mod graph;
mod source;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use graph::{Crate, Module};

/// Returns the source of a module: of `src/a/b.rs` or `src/a/b/mod.rs` for `["a", "b"]`.
fn text_of(src: &Path, root: &str, module: &Module) -> Option<String> {
    if module.is_empty() {
        return fs::read_to_string(src.join(root)).ok();
    }
    let path: PathBuf = src.iter().chain(module.iter().map(AsRef::as_ref)).collect();
    fs::read_to_string(path.with_extension("rs")).or_else(|_| fs::read_to_string(path.join("mod.rs"))).ok()
}

/// Returns the sources of every package of the workspace: the members that its manifest lists.
fn packages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = manifest.split_once("\nmembers = [").unwrap().1.split_once(']').unwrap().0;
    let sources: Vec<PathBuf> =
        members.split('"').skip(1).step_by(2).map(|member| root.join(member).join("src")).collect();
    assert!(sources.len() > 4 && sources.iter().all(|src| src.is_dir()), "{sources:?}");
    sources
}

#[test]
#[ignore = "circles are being resolved"]
fn imports_go_one_way() {
    let mut circles = Vec::new();
    for src in packages() {
        for root in ["lib.rs", "main.rs"].into_iter().filter(|root| src.join(root).is_file()) {
            let package = Crate::read(&mut |module| text_of(&src, root, module));
            let found = package.circles();
            assert!(package.len() > 1 || fs::read_dir(&src).unwrap().count() == 1, "nothing was read of {src:?}");
            circles.extend(found.into_iter().map(|circle| format!("{}/{root}: {circle:?}\n", src.display())));
        }
    }
    assert!(circles.is_empty(), "modules that use each other:\n{}", circles.concat());
}

/// The circles of a crate made of these modules.
fn circles(modules: &[(&str, &str)]) -> Vec<BTreeSet<String>> {
    let find = |wanted: &Module| modules.iter().find(|(name, _)| *name == wanted.join("::"));
    Crate::read(&mut |module| find(module).map(|(_, text)| (*text).to_owned())).circles()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn files_in_circle_are_named() {
    let root = ("", "mod a; mod b; mod c;");
    let a = ("a", "use crate::b::B; pub struct A;");
    let b = ("b", "pub struct B; fn f() { let _ = crate::a::A; }");
    let c = ("c", "use crate::{a::A, b::{self, B}};");
    assert_eq!(circles(&[root, a, b, c]), [set(&["a", "b"])]);
}

#[test]
fn uses_in_tests_and_documents_do_not_count() {
    let root = ("", "mod a; mod b; #[cfg(test)] mod t;");
    let a = ("a", "use crate::b::B; pub struct A;");
    let b = ("b", "/// See `crate::a::A`.\npub struct B; #[cfg(test)] mod tests { use crate::a::A; } // crate::a::A");
    let t = ("t", "use crate::a::A; pub struct T;");
    assert_eq!(circles(&[root, a, b, t]), Vec::<BTreeSet<String>>::new());
}

#[test]
fn parent_and_child_in_circle_are_named() {
    let root = ("", "mod a;");
    let a = ("a", "mod b; pub struct A; pub fn f() { b::g(A) }");
    let b = ("a::b", "use super::A; pub fn g(_: A) {}");
    assert_eq!(circles(&[root, a, b]), [set(&["a", "a::b"])]);
}

#[test]
fn reexported_names_belong_to_their_file() {
    // Both go through `a`, which defines nothing itself.
    let root = ("", "mod a;");
    let a = ("a", "mod b; mod c; pub use b::B; pub use self::c::*;");
    let b = ("a::b", "pub struct B;");
    let c = ("a::c", "use super::B; pub struct C;");
    assert_eq!(circles(&[root, a, b, c]), Vec::<BTreeSet<String>>::new());
    let b = ("a::b", "use super::C; pub struct B;");
    assert_eq!(circles(&[root, a, b, c]), [set(&["a::b", "a::c"])]);
}

#[test]
fn folders_in_circle_are_named() {
    // No two files use each other, but the folders do.
    let root = ("", "mod a; mod b;");
    let modules = [
        ("a", "mod x; mod y;"),
        ("b", "mod x; mod y;"),
        ("a::x", "use crate::b::x::X; pub struct Z;"),
        ("a::y", "pub struct Y;"),
        ("b::x", "pub struct X;"),
        ("b::y", "use crate::a::y::Y;"),
    ];
    assert_eq!(circles(&[&[root][..], &modules].concat()), [set(&["a", "b"])]);
}
