//! Loading the driver's library, initialising and shutting NVML down, and what it says of the system as a whole.

mod builder;
mod fork;
mod handle;
mod stride;

pub(crate) use self::stride::{NARROW, WIDEST};
pub use self::{
    builder::{InitFlags, NvmlBuilder},
    fork::generation as fork_generation,
    handle::Nvml,
};
