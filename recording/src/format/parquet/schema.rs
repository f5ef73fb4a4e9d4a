//! The layout of a file's rows.

use std::sync::Arc;

use parquet::{
    errors::ParquetError,
    schema::{parser::parse_message_type, types::SchemaDescriptor},
};

/// So many rows are kept, and written again with each tail, until they go into the body as a group.
pub(super) const GROUP_ROWS: usize = 1 << 15;

/// How a file begins and ends.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";

/// The columns of a row, in the order that `columns` writes them in.
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

pub(super) fn schema() -> Result<Arc<SchemaDescriptor>, ParquetError> {
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(parse_message_type(SCHEMA)?))))
}
