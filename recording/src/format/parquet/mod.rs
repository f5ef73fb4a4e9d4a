//! Apache Parquet: the same columns as CSV's, in row groups.
//!
//! A Parquet file ends in a footer that says where everything is. So the rows of the open group are kept, and each tail
//! is that group and a footer: the file is whole after every flush. A group of 32768 rows goes into the body for
//! good. What the footer has to say of it takes some 600 bytes in each tail, and 4 KiB in memory: with 1000 items a second
//! these are 110 groups, 64 KiB and 450 KiB more with every hour.

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
