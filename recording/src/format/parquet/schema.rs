//! The schema of Parquet files.

use std::sync::Arc;

use parquet::{
    errors::ParquetError,
    schema::{parser::parse_message_type, types::SchemaDescriptor},
};

/// The number of rows in a row group. Up to this many rows are buffered and rewritten with every tail.
pub(super) const ROW_GROUP_ROWS: usize = 1 << 15;

/// The first and last bytes of a Parquet file.
pub(super) const PARQUET_MAGIC: &[u8; 4] = b"PAR1";

/// The columns, in the order in which the module `columns` writes them.
const ROW_SCHEMA: &str = "message recording {
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

/// Returns the schema of a recording.
pub(super) fn schema() -> Result<Arc<SchemaDescriptor>, ParquetError> {
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(parse_message_type(ROW_SCHEMA)?))))
}
