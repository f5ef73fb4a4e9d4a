//! Sets the commit in `igpu::VERSION`. Only reads files and runs no program, so the build needs no additional tools.

use std::{fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let commit = checkout_commit(Path::new(".git")).or_else(package_commit).unwrap_or("unknown".into());
    println!("cargo::rustc-env=IGPU_COMMIT={commit}");
}

/// Returns the commit that HEAD names, directly or by a branch; a branch's commit is in a file of its own or in
/// `packed-refs`.
fn checkout_commit(git: &Path) -> Option<String> {
    let head = read(&git.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    read(&git.join(branch)).or_else(|| {
        let packed = read(&git.join("packed-refs"))?;
        packed.lines().find_map(|line| line.strip_suffix(branch)?.strip_suffix(' ').map(str::to_owned))
    })
}

/// Returns the commit that a published package was made from, which `cargo package` records in a file.
fn package_commit() -> Option<String> {
    let info = read(Path::new(".cargo_vcs_info.json"))?;
    info.split_once("\"sha1\": \"")?.1.split_once('"').map(|(commit, _)| commit.to_owned())
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // Watch only files that exist: cargo would rerun the build script every time for one that does not.
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim().to_owned())
}
