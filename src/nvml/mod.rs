//! Loading the driver's library, initialising and shutting NVML down, and what it says of the system as a whole.

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
