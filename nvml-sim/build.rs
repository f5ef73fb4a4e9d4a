//! Links the shared library so that it can replace libnvidia-ml.so.1. Programs that link the package as a Rust library
//! are not affected.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        for argument in [
            "-soname,libnvidia-ml.so.1",
            // Bind its own calls to itself, even if another NVML was loaded globally before.
            "-Bsymbolic",
            // The function in `startup.rs` that the dynamic linker calls once it has loaded the library.
            "-init,nvml_sim_at_load",
            // Every test copies the library, and half of its size would be debug information.
            "--strip-debug",
        ] {
            println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
        }
    }
}
