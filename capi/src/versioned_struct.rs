//! Structs whose first field is their size. The size allows later versions to add fields, and a program and a library
//! of different versions to work together.

use crate::{
    error::{Failure, Outcome, not_null},
    status::igpu_status,
};

/// The maximum size of a struct in bytes. An uninitialized `size` field usually has a larger value.
const MAX_SIZE: usize = 1 << 16;
/// The minimum size of a struct in bytes, which is the size of the `size` field and one more field.
const MIN_SIZE: usize = 16;

/// Reads options from a caller, or returns `None` for NULL. Fields that the caller's older version lacks become zero,
/// which selects the default. Fields that only the caller's newer version has must be zero, because they request
/// something unknown to this version.
///
/// # Safety
/// `from` must be NULL or readable for as many bytes as its first field states, and zeros must be a valid `T`.
pub(crate) unsafe fn read<T: Copy>(from: *const T) -> Outcome<Option<T>> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller guarantees that the struct is readable; its first field is the size.
    let size = check_size::<T>(unsafe { from.cast::<usize>().read() })?;
    // SAFETY: the caller guarantees that this many bytes are readable.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), size) };
    let unknown = bytes.get(size_of::<T>()..).unwrap_or_default();
    if unknown.iter().any(|byte| *byte != 0) {
        let cause = "the options set a field that this version of igpu does not have";
        return Err(Failure::Status(igpu_status::InvalidStructSize, cause, "set the field to zero, or update igpu"));
    }
    let mut options = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: both structs have at least this size, and they do not overlap.
    unsafe { options.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), size.min(size_of::<T>())) };
    // SAFETY: zeros are a valid T, and the copied fields are the caller's.
    Ok(Some(unsafe { options.assume_init() }))
}

/// Writes a result to a caller, but keeps the caller's `size` field. Fields that the caller's older version lacks are
/// not written. In fields that only the caller's newer version has, all bits become one, which is the representation of
/// a missing number.
///
/// # Safety
/// `to` must be NULL or writable for as many bytes as its first field states.
pub(crate) unsafe fn write<T: Copy>(to: *mut T, value: &T) -> Outcome {
    let to = not_null(to)?.as_ptr();
    // SAFETY: the caller guarantees that the struct is readable; its first field is the size.
    let size = check_size::<T>(unsafe { to.cast::<usize>().read() })?;
    let known = size.min(size_of::<T>());
    // SAFETY: the caller guarantees that `size` bytes are writable; `value` does not overlap them.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(std::ptr::from_ref(value).cast(), known);
        to.cast::<u8>().add(known).write_bytes(0xff, size - known);
        to.cast::<usize>().write(size);
    }
    Ok(())
}

fn check_size<T>(size: usize) -> Outcome<usize> {
    if (MIN_SIZE..=MAX_SIZE).contains(&size) && size.is_multiple_of(align_of::<T>()) {
        return Ok(size);
    }
    let cause = "the size field of a struct is invalid";
    Err(Failure::Status(igpu_status::InvalidStructSize, cause, "set size to sizeof of the struct before the call"))
}
