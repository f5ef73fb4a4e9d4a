//! igpu
fn main() {}
