//! Tests of the C library from C: compile its header, compare its ABI with `abi.txt`, and build and run the examples
//! and the programs in `tests/programs` on the simulated driver.
//!
//! `cargo test -p igpu-capi` links them with the library that cargo builds for the tests, and needs a C compiler and
//! binutils. `cargo test -p igpu-capi --test capi -- --include-ignored` also tests the library that
//! `scripts/install-capi` installs, including under valgrind and AddressSanitizer; it needs pkg-config, a C++ compiler,
//! and valgrind. The ignored tests install the library with its own profile, which takes a minute.

mod abi;
mod header;
mod install;
mod programs;
mod tools;
