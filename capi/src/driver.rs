use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;

use igpu::{InitFlags, Nvml, VERSION};

use crate::{
    error::{Failure, Outcome, invalid_argument, not_null},
    guard::guarded,
    handle_table::{self, HandleType},
    last_error,
    status::igpu_status,
    text::{nul_terminated, text},
    versioned_struct,
};

/// A handle to the loaded and initialized driver library. The other handles are opened from it, and remain valid after
/// it is closed.
pub struct igpu_driver(pub(crate) Nvml);

// SAFETY: no other type has this `TYPE`.
unsafe impl HandleType for igpu_driver {
    const TYPE: u8 = 1;
}

/// A function that returns the address of the NVML function with this name, or NULL if the function does not exist. For
/// example, a profiler that interposes NVML can provide a resolver. The NVML functions must have the signatures of
/// nvml.h, and must remain valid as long as any handle opened from the driver is open. Only `igpu_driver_open` calls
/// the resolver, which must not throw exceptions.
pub type igpu_resolver = Option<unsafe extern "C" fn(name: *const c_char, data: *mut c_void) -> *const c_void>;

/// Do not fail if the machine has no GPU (`NVML_INIT_FLAG_NO_GPUS`).
pub const IGPU_DRIVER_NO_GPUS: u32 = 1;
/// Do not attach to the GPUs during initialization, but at the first use of each GPU (`NVML_INIT_FLAG_NO_ATTACH`).
pub const IGPU_DRIVER_NO_ATTACH: u32 = 2;

/// The options of `igpu_driver_open`. A field that is zero selects the default.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_driver_options {
    /// `sizeof(igpu_driver_options)`
    pub size: usize,
    /// The library to load: a path, or a name that the dynamic loader searches for. No other library is tried. NULL
    /// selects the library that the environment variable `IGPU_NVML_LIBRARY` names, or otherwise the driver's installed
    /// library.
    pub library: *const c_char,
    /// A function that provides the NVML functions, or NULL to load a library.
    pub resolver: igpu_resolver,
    /// The second argument of the resolver.
    pub resolver_data: *mut c_void,
    /// `IGPU_DRIVER_NO_GPUS`, `IGPU_DRIVER_NO_ATTACH`, both, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// The driver's versions and the number of GPUs. A string that the driver does not provide is empty.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_driver_info {
    /// `sizeof(igpu_driver_info)`
    pub size: usize,
    /// The number of GPUs. GPU indices are less than this number.
    pub gpu_count: u32,
    /// The major version of the newest CUDA version that the driver supports, such as 13 for CUDA 13.1, or
    /// `IGPU_UNKNOWN_U32`.
    pub cuda_major: u32,
    /// The minor version of the newest CUDA version that the driver supports, such as 1 for CUDA 13.1, or
    /// `IGPU_UNKNOWN_U32`.
    pub cuda_minor: u32,
    /// The first number of the driver's version, such as 580 for 580.82.07, or `IGPU_UNKNOWN_U32`.
    pub driver_major: u32,
    /// The second number of the driver's version, such as 82 for 580.82.07, or `IGPU_UNKNOWN_U32`.
    pub driver_minor: u32,
    /// Always 0.
    pub reserved: u32,
    /// The driver's version, such as `580.82.07`.
    pub driver_version: [c_char; 88],
    /// The version of the NVML library, such as `13.580.82.07`.
    pub nvml_version: [c_char; 88],
}

/// The value that represents a missing unsigned number.
pub const IGPU_UNKNOWN_U32: u32 = u32::MAX;

/// Loads and initializes the driver library. `options` may be NULL, which selects the defaults.
///
/// ```c
/// igpu_driver *driver;
/// igpu_driver_options options = {.size = sizeof options, .flags = IGPU_DRIVER_NO_ATTACH};
/// if (igpu_driver_open(&options, &driver) != IGPU_STATUS_OK) return 1;
/// igpu_driver_info info = {.size = sizeof info};
/// if (igpu_driver_get_info(driver, &info) == IGPU_STATUS_OK) printf("driver %s\n", info.driver_version);
/// igpu_driver_close(driver);
/// ```
///
/// Loads a library and makes driver calls, which may block for up to a second if no other process keeps the GPUs
/// initialized. Allocates. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_open(
    options: *const igpu_driver_options,
    driver: *mut *mut igpu_driver,
) -> igpu_status {
    guarded(|| {
        last_error::allocate();
        let driver = not_null(driver)?;
        // SAFETY: the caller's options start with their size, and their pointers are valid.
        let nvml = unsafe { load(versioned_struct::read(options)?)? };
        // SAFETY: the caller's pointer is writable for a handle.
        unsafe { driver.write(handle_table::open(igpu_driver(nvml))?) };
        Ok(())
    })
}

/// Loads the library that the options select.
///
/// # Safety
/// The pointers in the options must be valid.
unsafe fn load(options: Option<igpu_driver_options>) -> Outcome<Nvml> {
    let mut builder = Nvml::builder();
    let Some(options) = options else { return Ok(builder.load()?) };
    if options.flags & !(IGPU_DRIVER_NO_GPUS | IGPU_DRIVER_NO_ATTACH) != 0 {
        let cause = "the flags of igpu_driver_options have a bit that is not defined";
        return Err(invalid_argument(cause, "use the IGPU_DRIVER_* flags"));
    }
    builder = builder.init_flags(InitFlags(options.flags));
    if !options.library.is_null() {
        // SAFETY: the caller guarantees a C string.
        let path = unsafe { CStr::from_ptr(options.library) };
        // SAFETY: the caller is responsible for the library, like a caller of dlopen.
        builder = unsafe { builder.library(OsStr::from_bytes(path.to_bytes())) };
    }
    if let Some(resolver) = options.resolver {
        let data = options.resolver_data;
        // SAFETY: the caller guarantees the addresses, as the documentation of `igpu_resolver` requires.
        builder = unsafe { builder.resolver(move |name| resolver(name.as_ptr(), data)) };
    }
    Ok(builder.load()?)
}

/// Closes the driver handle. Shuts NVML down as soon as all snapshots and samplers opened from it are closed, too. Does
/// nothing if `driver` is NULL.
///
/// May shut NVML down, which may block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_close(driver: *mut igpu_driver) -> igpu_status {
    guarded(|| handle_table::close(driver).map(drop))
}

/// Gets the driver's versions and the number of GPUs.
///
/// Makes driver calls, which may block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_get_info(driver: *mut igpu_driver, info: *mut igpu_driver_info) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with(driver, |driver| {
            let nvml = &driver.0;
            let cuda = nvml.cuda_version().ok();
            let driver_version = nvml.driver_version().ok();
            let version = driver_version.as_deref().and_then(major_and_minor);
            Ok(igpu_driver_info {
                size: 0,
                gpu_count: nvml.device_count()?,
                cuda_major: cuda.map_or(IGPU_UNKNOWN_U32, |(major, _)| major),
                cuda_minor: cuda.map_or(IGPU_UNKNOWN_U32, |(_, minor)| minor),
                driver_major: version.map_or(IGPU_UNKNOWN_U32, |(major, _)| major),
                driver_minor: version.map_or(IGPU_UNKNOWN_U32, |(_, minor)| minor),
                reserved: 0,
                driver_version: text(driver_version.as_deref()),
                nvml_version: text(nvml.nvml_version().ok().as_deref()),
            })
        })?;
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}

/// Returns the first two numbers of a driver version, or `None` if the version does not begin with two numbers.
fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Gets the number of GPUs.
///
/// Makes a driver call, which may block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_get_gpu_count(driver: *mut igpu_driver, count: *mut u32) -> igpu_status {
    guarded(|| {
        let count = not_null(count)?;
        let gpus = handle_table::with(driver, |driver| Ok(driver.0.device_count()?))?;
        // SAFETY: the caller's pointer is writable.
        unsafe { count.write(gpus) };
        Ok(())
    })
}

/// Gets the indices of the GPUs that `CUDA_VISIBLE_DEVICES` selects, in the order of the variable. `count` is set to
/// the number of these GPUs, even if it exceeds `capacity`; the function then fails with
/// `IGPU_STATUS_BUFFER_TOO_SMALL`. If `capacity` is 0, only `count` is set, and `indices` may be NULL.
///
/// Makes driver calls, which may block. Allocates. Reads the environment, which other threads must not change during
/// the call. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_driver_get_visible_gpus(
    driver: *mut igpu_driver,
    indices: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> igpu_status {
    guarded(|| {
        let visible = handle_table::with(driver, |driver| Ok(driver.0.visible_devices()?))?;
        // SAFETY: the caller's pointers are writable for one number and for `capacity` numbers.
        unsafe { write_gpu_indices(visible.indices().iter().copied(), indices, capacity, count) }
    })
}

/// Writes GPU indices and their number through a caller's pointers. If `capacity` is 0, writes only the number.
///
/// # Safety
/// `count` must be NULL or writable, and `indices` must be NULL or writable for `capacity` numbers.
pub(crate) unsafe fn write_gpu_indices(
    gpus: impl IntoIterator<Item = u32>,
    indices: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> Outcome {
    let count = not_null(count)?;
    if capacity > 0 {
        not_null(indices)?;
    }
    let mut total = 0;
    for gpu in gpus {
        if total < capacity {
            // SAFETY: the caller guarantees `capacity` writable numbers.
            unsafe { indices.add(total).write(gpu) };
        }
        total += 1;
    }
    // SAFETY: the caller guarantees a writable number.
    unsafe { count.write(total) };
    if capacity > 0 && capacity < total {
        let help = "call again with a capacity of at least the returned count";
        return Err(Failure::Status(igpu_status::BufferTooSmall, "the array is too small for all GPUs", help));
    }
    Ok(())
}

/// Returns the version of this library, such as `0.2.0 (nvml.h 13.5.37, commit ...)`. The string is static.
///
/// Does not block or allocate. Async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_version() -> *const c_char {
    static VERSION_STRING: [u8; VERSION.len() + 1] = nul_terminated(VERSION);
    VERSION_STRING.as_ptr().cast()
}
