//! Gives the shared library the driver's own soname, so that it may stand in for libnvidia-ml.so.1.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libnvidia-ml.so.1");
        // Its own calls stay its own, even where another NVML was loaded globally before it.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    }
}
