//! A CUDA context with some memory, through the CUDA driver API, which is loaded at run time.

use std::ffi::{CStr, c_char, c_int, c_uint};

use libloading::{Library, Symbol};

/// `CUdevice` of cuda.h.
type CuDevice = c_int;
/// `CUresult` of cuda.h. 0 is success.
type CuResult = c_int;
/// `CUdeviceptr` of cuda.h, an address on the GPU.
type CuDevicePtr = u64;

/// The primary context of CUDA's first GPU, and memory in it. Dropping the value releases both.
pub(crate) struct CudaAllocation {
    library: Library,
    device: CuDevice,
    address: CuDevicePtr,
    /// The PCI bus id of the GPU, as in `0000:18:00.0`.
    pub pci_bus_id: String,
}

impl CudaAllocation {
    /// Creates the context and allocates `bytes` of GPU memory. Returns `Ok(None)` if there is no CUDA library, and an
    /// error if a call fails.
    pub(crate) fn new(bytes: usize) -> Result<Option<Self>, String> {
        // SAFETY: the initializers of the CUDA library are sound.
        let Ok(library) = (unsafe { Library::new("libcuda.so.1") }) else { return Ok(None) };
        // SAFETY: the functions have had these signatures in cuda.h since CUDA 7. Each pointer is to a live object,
        // which the call writes before it returns.
        unsafe {
            let init: Symbol<unsafe extern "C" fn(c_uint) -> CuResult> = find(&library, c"cuInit")?;
            let get: Symbol<unsafe extern "C" fn(*mut CuDevice, c_int) -> CuResult> = find(&library, c"cuDeviceGet")?;
            let bus: Symbol<unsafe extern "C" fn(*mut c_char, c_int, CuDevice) -> CuResult> =
                find(&library, c"cuDeviceGetPCIBusId")?;
            let retain: Symbol<unsafe extern "C" fn(*mut *mut u8, CuDevice) -> CuResult> =
                find(&library, c"cuDevicePrimaryCtxRetain")?;
            let enter: Symbol<unsafe extern "C" fn(*mut u8) -> CuResult> = find(&library, c"cuCtxSetCurrent")?;
            let allocate: Symbol<unsafe extern "C" fn(*mut CuDevicePtr, usize) -> CuResult> =
                find(&library, c"cuMemAlloc_v2")?;
            let (mut device, mut context, mut address) = (0, std::ptr::null_mut(), 0);
            let mut text = [0 as c_char; 32];
            check("cuInit", init(0))?;
            check("cuDeviceGet", get(&mut device, 0))?;
            check("cuDeviceGetPCIBusId", bus(text.as_mut_ptr(), text.len() as c_int - 1, device))?;
            check("cuDevicePrimaryCtxRetain", retain(&mut context, device))?;
            check("cuCtxSetCurrent", enter(context))?;
            check("cuMemAlloc_v2", allocate(&mut address, bytes))?;
            // The length passed above excludes the last byte, which remains a NUL.
            let pci_bus_id = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
            Ok(Some(Self { library, device, address, pci_bus_id }))
        }
    }
}

impl Drop for CudaAllocation {
    fn drop(&mut self) {
        // SAFETY: the functions have these signatures in cuda.h. The address and the context were created in `new` and
        // are released once, while the library is still loaded. An error is ignored because the process exits soon.
        unsafe {
            if let Ok(free) = find::<unsafe extern "C" fn(CuDevicePtr) -> CuResult>(&self.library, c"cuMemFree_v2") {
                free(self.address);
            }
            let release =
                find::<unsafe extern "C" fn(CuDevice) -> CuResult>(&self.library, c"cuDevicePrimaryCtxRelease_v2");
            if let Ok(release) = release {
                release(self.device);
            }
        }
    }
}

/// Looks up a function of the CUDA library.
///
/// # Safety
/// `F` must be the function's signature in cuda.h.
unsafe fn find<'a, F>(library: &'a Library, name: &CStr) -> Result<Symbol<'a, F>, String> {
    // SAFETY: the caller guarantees that `F` is the function's signature.
    unsafe { library.get(name) }.map_err(|error| format!("the CUDA library lacks {name:?}: {error}"))
}

fn check(call: &str, result: CuResult) -> Result<(), String> {
    if result == 0 { Ok(()) } else { Err(format!("{call} failed with CUresult {result}")) }
}
