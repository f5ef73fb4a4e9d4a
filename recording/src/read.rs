//! Opens recordings to read them back.

use std::{fs::File, io::Read as _, path::Path};

use crate::{
    error::RecordingError,
    format::{Format, Input},
    items::Items,
};

/// How many bytes of a file are read to detect its format.
const HEAD_BYTES: u64 = 256;

/// Reads a recording in whatever format it is. The file is read as the items are taken, so that long recordings need no
/// more memory than short ones. Values of series that this version does not know are left out.
///
/// # Errors
/// [`RecordingError`] when the file cannot be opened or is none of ours; later ones come with the items.
pub fn read(path: &Path) -> Result<Items, RecordingError> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    let format = Format::detect(&head).ok_or(RecordingError::Format)?;
    format.decode(Input::new(head, file))
}
