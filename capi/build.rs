//! Sets the soname of the shared library, and prevents it from being unloaded.

/// The ABI version. It is incremented when a program that was linked with an older library cannot run with this
/// library.
const ABI: u32 = 0;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libigpu.so.{ABI}");
    // A thread that hangs in the driver executes the code of this library again when the driver call returns, which may
    // be after the program has called `dlclose`.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
