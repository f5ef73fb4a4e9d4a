//! Sets the soname of the shared library, and prevents it from being unloaded.

/// The ABI version, incremented when a program linked with an older library cannot run with this one.
const ABI: u32 = 0;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libigpu.so.{ABI}");
    // A thread that hangs in the driver still runs this code when the program calls `dlclose`.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
