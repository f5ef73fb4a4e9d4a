//! The C library as a C program sees it: its header compiled, its ABI compared with `abi.txt`, the examples and the C
//! programs in `tests/programs` built and run on the simulated driver.
//!
//! `cargo test -p igpu-capi` links them with the library that cargo builds beside the tests, and needs a C compiler and
//! binutils. `cargo test -p igpu-capi --test capi -- --include-ignored` runs them also on the library that
//! `scripts/install-capi` installs, under valgrind and AddressSanitizer too; it needs pkg-config, a C++ compiler, and valgrind.
//! The ignored tests install the library with its own profile, which takes a minute.

mod abi;
mod header;
mod install;
mod programs;
mod tools;
