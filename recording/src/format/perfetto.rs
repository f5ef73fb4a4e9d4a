//! Perfetto's protobuf.
use std::io::BufRead;

use super::Encoder;
use crate::{Item, read::Items};

/// The first byte of such a file: a packet of the trace.
pub(super) const PACKET: u8 = 0x0a;

#[derive(Default)]
pub(super) struct PerfettoEncoder {
    _begun: bool,
}

impl Encoder for PerfettoEncoder {
    fn item(&mut self, _item: &Item, _out: &mut Vec<u8>) {}
}

pub(super) fn items(_file: Box<dyn BufRead>) -> Items {
    Items::new(std::iter::empty())
}
