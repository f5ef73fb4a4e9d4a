//! igpu
