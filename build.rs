//! Facts of the build for `igpu --version`: the version of `nvml.h` from `nvml.pin`, and the commit. It reads files
//! alone and runs no program, so that it needs nothing that a fresh machine lacks.

use std::{fs, path::Path};

fn main() {
    println!("cargo::rustc-env=IGPU_NVML_HEADER_VERSION={}", header_version().unwrap_or("unknown".into()));
    println!("cargo::rustc-env=IGPU_COMMIT={}", commit(Path::new(".git")).unwrap_or("unknown".into()));
    println!("cargo::rerun-if-changed=build.rs");
    name_c_library();
}

/// Gives the C library its soname, which changes when a program that was linked with an older one could not run with it. And
/// has it stay when a program closes it that had opened it by `dlopen`: a thread that hangs in the driver is still in it.
///
/// Only where `scripts/install-capi` asks for it: it makes the shared library of this package by `cargo rustc
/// --crate-type`, and cargo, whose manifest knows of none, has no instruction for one that would leave test programs out.
fn name_c_library() {
    const ABI: u32 = 0;
    println!("cargo::rerun-if-env-changed=IGPU_SHARED_LIBRARY");
    if std::env::var_os("IGPU_SHARED_LIBRARY").is_some() {
        println!("cargo::rustc-link-arg=-Wl,-soname,libigpu.so.{ABI}");
        println!("cargo::rustc-link-arg=-Wl,-z,nodelete");
    }
}

fn header_version() -> Option<String> {
    const PIN: &str = "nvml-sys/nvml.pin";
    println!("cargo::rerun-if-changed={PIN}");
    let pin = fs::read_to_string(PIN).ok()?;
    pin.lines().find_map(|line| line.strip_prefix("version = ").map(str::to_owned))
}

/// What HEAD points to: a commit itself, or a branch, whose commit is in a file of its own or among the packed ones.
fn commit(git: &Path) -> Option<String> {
    let head = read(&git.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    read(&git.join(branch)).or_else(|| {
        let packed = read(&git.join("packed-refs"))?;
        packed.lines().find_map(|line| line.strip_suffix(branch)?.strip_suffix(' ').map(str::to_owned))
    })
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // Only a file that is there is watched: cargo builds anew each time when one is not.
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim().to_owned())
}
