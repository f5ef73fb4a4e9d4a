//! Sets linker arguments that the shared library needs to replace libnvidia-ml.so.1. Programs that link the package as
//! a Rust library are not affected.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        for argument in [
            "-soname,libnvidia-ml.so.1",
            // Calls within the library use its own functions, even if another NVML has been loaded globally.
            "-Bsymbolic",
            // The function in `startup.rs` that the dynamic linker calls after it has loaded the library.
            "-init,nvml_sim_at_load",
            // Every test copies the library, and debug information would double its size.
            "--strip-debug",
        ] {
            println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
        }
    }
}
