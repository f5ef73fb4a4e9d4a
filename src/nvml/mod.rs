//! Loading and initializing NVML, the handle of the loaded library, and queries that do not concern a single GPU.

mod builder;
mod fork_generation;
mod handle;
mod stride;

pub(crate) use self::stride::{NARROW_ENTRY_WORDS, WIDE_ENTRY_WORDS};
pub use self::{
    builder::{InitFlags, NvmlBuilder},
    fork_generation::fork_generation,
    handle::Nvml,
};
