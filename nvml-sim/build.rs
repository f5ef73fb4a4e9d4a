//! Links the shared library so that it may stand in for libnvidia-ml.so.1. None of this concerns programs that link the
//! package as a Rust library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        for argument in [
            "-soname,libnvidia-ml.so.1",
            // Its own calls stay its own, even where another NVML was loaded globally before it.
            "-Bsymbolic",
            // The dynamic linker calls this function of `startup.rs` when it has loaded the library.
            "-init,nvml_sim_at_load",
            // Every test copies the library, and debug information is half of it.
            "--strip-debug",
        ] {
            println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
        }
    }
}
