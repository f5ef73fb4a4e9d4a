//! The C library as a C program sees it: installed under a prefix by `scripts/install-capi`, its header compiled, its ABI
//! compared with `abi.txt`, the examples and the C programs beside this file built and run on the simulated driver, also
//! under valgrind and AddressSanitizer.
//!
//! `cargo test --features capi --test capi`; with the feature `cbindgen` the header is compared with its sources too.

mod abi;
mod header;
mod install;
mod programs;
mod tools;
