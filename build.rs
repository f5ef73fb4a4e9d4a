//! Finds the commit for `igpu::VERSION`. It reads files alone and runs no program, so that it needs nothing that a fresh
//! machine lacks.

use std::{fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let commit = checked_out(Path::new(".git")).or_else(packaged).unwrap_or("unknown".into());
    println!("cargo::rustc-env=IGPU_COMMIT={commit}");
}

/// What HEAD points to: a commit itself, or a branch, whose commit is in a file of its own or among the packed ones.
fn checked_out(git: &Path) -> Option<String> {
    let head = read(&git.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    read(&git.join(branch)).or_else(|| {
        let packed = read(&git.join("packed-refs"))?;
        packed.lines().find_map(|line| line.strip_suffix(branch)?.strip_suffix(' ').map(str::to_owned))
    })
}

/// The commit that a published package was made from, in the file that `cargo package` adds.
fn packaged() -> Option<String> {
    let info = read(Path::new(".cargo_vcs_info.json"))?;
    info.split_once("\"sha1\": \"")?.1.split_once('"').map(|(commit, _)| commit.to_owned())
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // Only a file that is there is watched: cargo builds anew each time when one is not.
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim().to_owned())
}
