//! igpu

pub mod process;
pub mod visible;
