//! The C library: header `include/igpu.h`, built and installed by `scripts/install-capi`.
//!
//! Types and functions have their C names here. cbindgen generates the header from this folder, including the
//! documentation of public items.
//!
//! | module | contents |
//! | --- | --- |
//! | `status`, `error` | the statuses that functions return, and the failures that become statuses |
//! | `guard` | the boundary to C, which stops panics |
//! | `last_error` | the message of a thread's last failure |
//! | `handle_table` | the table of open handles |
//! | `versioned_struct`, `text` | structs that start with their size, and strings in them |
//! | `driver`, `snapshot` | the driver, and the state of GPUs |
//! | `gpu`, `process`, `reading` | the structs of a snapshot, and the readings that can be missing |
//! | `metric`, `record` | the metric catalog, records, and events |
//! | `options`, `sampler`, `query` | the sampler in the caller's loop, and its state |
//! | `background`, `background_info`, `latest` | the sampler on its own thread, its state, and its latest values |

#![allow(non_camel_case_types, reason = "the names are those of the header")]
#![allow(unreachable_pub, reason = "public items go into the header")]

// cbindgen writes the items of these modules to the header in this order.

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

// The header contains nothing from these modules.

mod error;
mod guard;
mod handle_table;
mod text;
mod versioned_struct;

const _: () = assert!(cfg!(panic = "unwind"), "the C library catches panics, which requires panic = \"unwind\"");
