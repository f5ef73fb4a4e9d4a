//! Apache Parquet, with the same columns as CSV.
//!
//! A Parquet file ends in a footer that describes the row groups before it. The encoder therefore buffers the rows of an
//! open row group, and each tail consists of that group and the footer. The file is complete after every flush. A row group
//! of 32768 rows is closed and becomes part of the body.
//!
//! The footer entry of a closed group takes about 600 bytes in each tail, and 4 KiB of memory. At 1000 items per second, a
//! recording closes 110 groups per hour. Each hour adds 64 KiB to the tail and 450 KiB to the memory use.

#[cfg(feature = "parquet")]
mod columns;
#[cfg(feature = "parquet")]
mod decode;
#[cfg(feature = "parquet")]
mod encode;
#[cfg(feature = "parquet")]
mod schema;

use super::codec::Codec;

pub(super) const CODEC: Codec = Codec {
    name: "parquet",
    extensions: &["parquet"],
    is_trace: false,
    matches: |head| head.starts_with(b"PAR1"),
    #[cfg(feature = "parquet")]
    new_encoder: || Some(Box::new(encode::ParquetEncoder::default())),
    #[cfg(not(feature = "parquet"))]
    new_encoder: || None,
    #[cfg(feature = "parquet")]
    decode: |input| decode::decode(input.file),
    #[cfg(not(feature = "parquet"))]
    decode: |_| Err(crate::error::RecordingError::ParquetUnsupported),
};
