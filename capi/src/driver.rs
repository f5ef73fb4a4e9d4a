use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;

use igpu::{InitFlags, Nvml, VERSION};

use crate::{
    error::{Failure, Outcome, not_null},
    guard::guarded,
    handle_table::{self, HandleType},
    last_error,
    status::igpu_status,
    text::{ended, text},
    versioned_struct,
};

/// The driver, loaded and initialised. The handles made from it stay good when it is closed.
pub struct igpu_driver(pub(crate) Nvml);

// SAFETY: no other type has this number.
unsafe impl HandleType for igpu_driver {
    const TYPE: u8 = 1;
}

/// Gives the address of a function of NVML by its name, NULL where there is none: for a profiler that interposes. Addresses
/// must have the signatures of nvml.h and stay good as long as anything made from the driver is open. Called by
/// `igpu_driver_open` alone; must not throw.
pub type igpu_resolver = Option<unsafe extern "C" fn(name: *const c_char, data: *mut c_void) -> *const c_void>;

/// Do not fail when the machine has no GPU.
pub const IGPU_DRIVER_NO_GPUS: u32 = 1;
/// Do not attach to the GPUs while initialising: they are attached at first use.
pub const IGPU_DRIVER_NO_ATTACH: u32 = 2;

/// Where the driver comes from. Zeros are the usual.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_driver_options {
    /// `sizeof(igpu_driver_options)`
    pub size: usize,
    /// The library to load, by path or by a name for the loader's search; it alone is tried. NULL: the one that the
    /// environment variable `IGPU_NVML_LIBRARY` names, else where drivers install it.
    pub library: *const c_char,
    /// Takes the functions from here instead of from a library.
    pub resolver: igpu_resolver,
    /// Is handed to the resolver.
    pub resolver_data: *mut c_void,
    /// `IGPU_DRIVER_NO_GPUS`, `IGPU_DRIVER_NO_ATTACH`, or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// What the driver says of itself. A text that it does not give is empty.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_driver_info {
    /// `sizeof(igpu_driver_info)`
    pub size: usize,
    /// GPUs of the machine; their indices are below this.
    pub gpu_count: u32,
    /// The newest CUDA that it supports, 13 of 13.1; `IGPU_UNKNOWN_U32` where it does not say.
    pub cuda_major: u32,
    /// 1 of 13.1.
    pub cuda_minor: u32,
    /// First number of the driver's version, 580 of 580.82.07; `IGPU_UNKNOWN_U32` where it does not say.
    pub driver_major: u32,
    /// Second number, 82 of 580.82.07.
    pub driver_minor: u32,
    /// 0.
    pub reserved: u32,
    /// The driver's version, `580.82.07`.
    pub driver_version: [c_char; 88],
    /// The version of the NVML library, `13.580.82.07`.
    pub nvml_version: [c_char; 88],
}

/// A number that is missing.
pub const IGPU_UNKNOWN_U32: u32 = u32::MAX;

/// Loads the driver's library and initialises it. `options` may be NULL.
///
/// Blocks: loads a library and asks the driver, which takes up to a second where nothing keeps the GPUs initialised.
/// Allocates. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_open(
    options: *const igpu_driver_options,
    driver: *mut *mut igpu_driver,
) -> igpu_status {
    guarded(|| {
        last_error::allocate();
        let driver = not_null(driver)?;
        // SAFETY: the caller's pointers are to what their types say.
        let nvml = unsafe { load(versioned_struct::read(options)?)? };
        // SAFETY: as above.
        unsafe { driver.write(handle_table::open(igpu_driver(nvml))?) };
        Ok(())
    })
}

/// # Safety
/// The pointers in the options must be to what their types say.
unsafe fn load(options: Option<igpu_driver_options>) -> Outcome<Nvml> {
    let mut builder = Nvml::builder();
    let Some(options) = options else { return Ok(builder.load()?) };
    if options.flags & !(IGPU_DRIVER_NO_GPUS | IGPU_DRIVER_NO_ATTACH) != 0 {
        return Err(Failure::Status(
            igpu_status::InvalidArgument,
            "flags of the driver that this version does not know",
        ));
    }
    builder = builder.init_flags(InitFlags(options.flags));
    if !options.library.is_null() {
        // SAFETY: as the caller vouches.
        let path = unsafe { CStr::from_ptr(options.library) };
        // SAFETY: the caller vouches for the library, as a caller of dlopen does.
        builder = unsafe { builder.library(OsStr::from_bytes(path.to_bytes())) };
    }
    if let Some(resolver) = options.resolver {
        let data = options.resolver_data;
        // SAFETY: the caller vouches for the addresses, as the documentation of `igpu_resolver` asks.
        builder = unsafe { builder.resolver(move |name| resolver(name.as_ptr(), data)) };
    }
    Ok(builder.load()?)
}

/// Closes the driver. It is shut down when nothing made from it is open any more.
///
/// Blocks: may ask the driver to shut down. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_close(driver: *mut igpu_driver) -> igpu_status {
    guarded(|| handle_table::close(driver).map(drop))
}

/// What the driver says of itself.
///
/// Blocks: asks the driver. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_get_info(driver: *mut igpu_driver, info: *mut igpu_driver_info) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with(driver, |driver| {
            let nvml = &driver.0;
            let cuda = nvml.cuda_version().ok();
            let version = nvml.nvidia_driver_version().ok();
            Ok(igpu_driver_info {
                size: 0,
                gpu_count: nvml.device_count()?,
                cuda_major: cuda.map_or(IGPU_UNKNOWN_U32, |(major, _)| major),
                cuda_minor: cuda.map_or(IGPU_UNKNOWN_U32, |(_, minor)| minor),
                driver_major: version.map_or(IGPU_UNKNOWN_U32, |(major, _)| major),
                driver_minor: version.map_or(IGPU_UNKNOWN_U32, |(_, minor)| minor),
                reserved: 0,
                driver_version: text(nvml.driver_version().ok().as_deref()),
                nvml_version: text(nvml.nvml_version().ok().as_deref()),
            })
        })?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}

/// The number of GPUs.
///
/// Blocks: asks the driver. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_get_gpu_count(driver: *mut igpu_driver, count: *mut u32) -> igpu_status {
    guarded(|| {
        let count = not_null(count)?;
        let gpus = handle_table::with(driver, |driver| Ok(driver.0.device_count()?))?;
        // SAFETY: the caller's pointer is to a number.
        unsafe { count.write(gpus) };
        Ok(())
    })
}

/// The indices of the GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order, and how many they are. With a
/// `capacity` of 0, `indices` may be NULL, and only the number is given; else `IGPU_STATUS_BUFFER_TOO_SMALL` where they do not fit.
///
/// Blocks: asks the driver. Allocates. Reads the environment, which no other thread may be changing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_get_visible_gpus(
    driver: *mut igpu_driver,
    indices: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> igpu_status {
    guarded(|| {
        let visible = handle_table::with(driver, |driver| Ok(driver.0.visible_devices_index()?))?;
        // SAFETY: the caller's pointers are to a number, and to as many as it says.
        unsafe { list(visible, indices, capacity, count, "more GPUs are visible than the array has room for") }
    })
}

/// Writes the indices of GPUs into a caller's array, and how many they are; with a capacity of 0 only that.
///
/// # Safety
/// `count` must be NULL or writable, and `into` NULL or writable for `capacity` numbers.
pub(crate) unsafe fn list(
    gpus: impl IntoIterator<Item = u32>,
    into: *mut u32,
    capacity: usize,
    count: *mut usize,
    no_room: &'static str,
) -> Outcome {
    let count = not_null(count)?;
    if capacity > 0 {
        not_null(into)?;
    }
    let mut listed = 0;
    for gpu in gpus {
        if listed < capacity {
            // SAFETY: as the caller vouches.
            unsafe { into.add(listed).write(gpu) };
        }
        listed += 1;
    }
    // SAFETY: as the caller vouches.
    unsafe { count.write(listed) };
    if capacity > 0 && capacity < listed { Err(Failure::Status(igpu_status::BufferTooSmall, no_room)) } else { Ok(()) }
}

/// The version of this library: `0.2.0 (nvml.h 13.5.37, commit ...)`. The text stays for ever.
///
/// Never blocks; allocates nothing; may be called in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_version() -> *const c_char {
    static TEXT: [u8; VERSION.len() + 1] = ended(VERSION);
    TEXT.as_ptr().cast()
}
