//! The C library: header `include/igpu.h`, built and installed by `scripts/install-capi`.
//!
//! Types and functions have their C names here. The header is made of this folder by cbindgen, so that what documents
//! them for C is the documentation in these files.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `status`, `failure` | what functions return; failures inside the library |
//! | `guard` | stops panics at the boundary to C |
//! | `message` | the sentence of a thread's last failure |
//! | `handle` | the table that handles are looked up in |
//! | `sized`, `text` | structs that start with their size; texts in them |
//! | `driver`, `snapshot` | the driver, what there is to know of GPUs |
//! | `gpu`, `process`, `reading` | how that is laid out, and the names of what can be missing |
//! | `metric`, `record` | the catalog; records and events |
//! | `options`, `sampler`, `query` | the sampler in the caller's loop, and what can be asked of it |
//! | `background`, `background_state`, `latest` | the sampler on its own thread, its state, and its latest values |

#![allow(non_camel_case_types, reason = "the names are those of the header")]
#![allow(unreachable_pub, reason = "public items go into the header")]

// The header has what these declare, in this order.

mod status;

mod message;

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

mod background_state;

mod latest;

// And nothing of these.

mod failure;
mod guard;
mod handle;
mod sized;
mod text;

const _: () = assert!(cfg!(panic = "unwind"), "the C library catches panics at its border: do not build it to abort");
