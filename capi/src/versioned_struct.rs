//! Structs that start with their size, so that they can grow: a program and a library of different versions understand
//! each other, whichever is newer.

use crate::{
    error::{Failure, Outcome, not_null},
    status::igpu_status,
};

/// No struct is so large: what a caller left uninitialised mostly is.
const MAX_SIZE: usize = 1 << 16;
/// The size itself and the first field after it.
const MIN_SIZE: usize = 16;

/// Reads options: `None` for NULL. What the caller's older version lacks is zero, which stands for the usual; what its newer
/// version has more must be zero, as it asks for something that is not known here.
///
/// # Safety
/// `from` must be NULL or readable for as many bytes as its first field says, and a T of zeros be a T.
pub(crate) unsafe fn read<T: Copy>(from: *const T) -> Outcome<Option<T>> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller vouches; the first field is the size.
    let size = checked::<T>(unsafe { from.cast::<usize>().read() })?;
    // SAFETY: as the caller vouches.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), size) };
    let unknown = bytes.get(size_of::<T>()..).unwrap_or_default();
    if unknown.iter().any(|byte| *byte != 0) {
        let words = "the options ask for something that this older version of igpu does not know; set it to zero";
        return Err(Failure::Status(igpu_status::InvalidStructSize, words));
    }
    let mut options = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: both are as long as that, and are not the same memory.
    unsafe { options.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), size.min(size_of::<T>())) };
    // SAFETY: zeros are a T, and so are the caller's fields in their places.
    Ok(Some(unsafe { options.assume_init() }))
}

/// Writes a result, whose first field is overwritten by the caller's size. What the caller's older version lacks is left
/// out; what its newer version has more becomes all ones, which as a number says that it is missing.
///
/// # Safety
/// `to` must be NULL or writable for as many bytes as its first field says.
pub(crate) unsafe fn write<T: Copy>(to: *mut T, value: &T) -> Outcome {
    let to = not_null(to)?.as_ptr();
    // SAFETY: as the caller vouches; the first field is the size.
    let size = checked::<T>(unsafe { to.cast::<usize>().read() })?;
    let known = size.min(size_of::<T>());
    // SAFETY: as the caller vouches; `value` is no memory of the caller's.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(std::ptr::from_ref(value).cast(), known);
        to.cast::<u8>().add(known).write_bytes(0xff, size - known);
        to.cast::<usize>().write(size);
    }
    Ok(())
}

fn checked<T>(size: usize) -> Outcome<usize> {
    if (MIN_SIZE..=MAX_SIZE).contains(&size) && size.is_multiple_of(align_of::<T>()) {
        return Ok(size);
    }
    let words = "the size at the start of a struct is wrong; set it to sizeof of the struct before the call";
    Err(Failure::Status(igpu_status::InvalidStructSize, words))
}
