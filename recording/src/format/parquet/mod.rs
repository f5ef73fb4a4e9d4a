//! Apache Parquet: the same columns as CSV's, in row groups.
//!
//! A Parquet file ends in a footer that says where everything is. So the rows of the open group are kept, and each tail
//! is that group and a footer: the file is whole after every flush. A group of [`GROUP_ROWS`] rows goes into the body for
//! good. What the footer has to say of it takes some 600 bytes in each tail, and 4 KiB in memory: with 1000 items a second
//! these are 110 groups, 64 KiB and 450 KiB more with every hour.

mod columns;
mod decode;
mod encode;

use std::sync::Arc;

use parquet::{
    errors::ParquetError,
    schema::{parser::parse_message_type, types::SchemaDescriptor},
};

use crate::read::ReadError;

pub(super) use decode::items;
pub(super) use encode::ParquetEncoder;

/// So many rows are kept, and written again with each tail, until they go into the body as a group.
const GROUP_ROWS: usize = 1 << 15;

/// How a file begins and ends.
const MAGIC: &[u8; 4] = b"PAR1";

/// The columns of a row, in the order that [`columns`] writes them in.
const SCHEMA: &str = "message recording {
    REQUIRED INT64 time_unix_nano (TIMESTAMP(NANOS,true));
    OPTIONAL INT32 gpu (INTEGER(32,false));
    OPTIONAL BINARY metric (STRING);
    OPTIONAL BINARY attribute (STRING);
    OPTIONAL DOUBLE value;
    OPTIONAL BINARY unit (STRING);
    OPTIONAL INT32 pid (INTEGER(32,false));
    OPTIONAL BINARY event (STRING);
    OPTIONAL BINARY text (STRING);
}";

fn schema() -> Result<Arc<SchemaDescriptor>, ParquetError> {
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(parse_message_type(SCHEMA)?))))
}

impl From<ParquetError> for ReadError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<std::io::Error>() {
                Ok(error) => Self::File(*error),
                Err(error) => Self::Damaged(error.to_string()),
            },
            ParquetError::General(what) | ParquetError::EOF(what) => Self::Damaged(what),
            error => Self::Damaged(error.to_string()),
        }
    }
}
