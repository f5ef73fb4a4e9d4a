//! The C library: header `include/igpu.h`, built and installed by `scripts/install-capi`.
//!
//! Types and functions have their C names here. The header is made of this folder by cbindgen, so that what documents
//! them for C is the documentation in these files.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `status`, `error` | what functions return; failures inside the library |
//! | `guard` | stops panics at the boundary to C |
//! | `last_error` | the sentence of a thread's last failure |
//! | `handle_table` | the table that handles are looked up in |
//! | `versioned_struct`, `text` | structs that start with their size; texts in them |
//! | `driver`, `snapshot` | the driver, what there is to know of GPUs |
//! | `gpu`, `process`, `reading` | how that is laid out, and the names of what can be missing |
//! | `metric`, `record` | the catalog; records and events |
//! | `options`, `sampler`, `query` | the sampler in the caller's loop, and what can be asked of it |
//! | `background`, `background_info`, `latest` | the sampler on its own thread, its state, and its latest values |

#![allow(non_camel_case_types, reason = "the names are those of the header")]
#![allow(unreachable_pub, reason = "public items go into the header")]

// The header has what these declare, in this order.

mod status;

mod last_error;

mod driver;

mod metric;

mod gpu;

mod process;

mod reading;

mod snapshot;

mod record;

mod options;

mod sampler;

mod query;

mod background;

mod background_info;

mod latest;

// And nothing of these.

mod error;
mod guard;
mod handle_table;
mod text;
mod versioned_struct;

const _: () = assert!(cfg!(panic = "unwind"), "the C library catches panics at its border: do not build it to abort");
