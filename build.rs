//! Sets the environment variable `IGPU_COMMIT` for `igpu::VERSION`. The script only reads files and runs no program, so the
//! build needs no additional tools.

use std::{fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let commit = checkout_commit(Path::new(".git")).or_else(package_commit).unwrap_or("unknown".into());
    println!("cargo::rustc-env=IGPU_COMMIT={commit}");
}

/// Returns the commit of HEAD. HEAD contains the commit itself or the name of a branch. The commit of a branch is in the
/// branch's file or in `packed-refs`.
fn checkout_commit(git: &Path) -> Option<String> {
    let head = read(&git.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    read(&git.join(branch)).or_else(|| {
        let packed = read(&git.join("packed-refs"))?;
        packed.lines().find_map(|line| line.strip_suffix(branch)?.strip_suffix(' ').map(str::to_owned))
    })
}

/// Returns the commit of a published package, which `cargo package` stores in a file of the package.
fn package_commit() -> Option<String> {
    let info = read(Path::new(".cargo_vcs_info.json"))?;
    info.split_once("\"sha1\": \"")?.1.split_once('"').map(|(commit, _)| commit.to_owned())
}

/// Returns the trimmed content of a file, and makes cargo watch the file.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // Only existing files are watched, because cargo reruns the build script in every build if a watched file is missing.
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim().to_owned())
}
