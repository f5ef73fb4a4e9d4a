//! A little of CUDA's driver API, loaded at run time: a context that holds some memory.

use std::ffi::{CStr, c_char, c_int, c_uint};

use libloading::{Library, Symbol};

/// `CUdevice`, and `CUresult`, of which 0 is success.
type CuDevice = c_int;
type CuResult = c_int;
/// `CUdeviceptr`: an address on the GPU.
type CuDevicePtr = u64;

/// The primary context of CUDA's first GPU, and memory in it. Both go when this is dropped.
pub(crate) struct CudaAllocation {
    library: Library,
    device: CuDevice,
    address: CuDevicePtr,
    /// Where the GPU sits: `0000:18:00.0`.
    pub pci_bus_id: String,
}

impl CudaAllocation {
    /// Makes the context and takes `bytes` of the GPU's memory. `Ok(None)` where there is no CUDA library; an error where
    /// there is one that does not do it.
    pub(crate) fn take(bytes: usize) -> Result<Option<Self>, String> {
        // SAFETY: the initialisers of CUDA's library are sound to run.
        let Ok(library) = (unsafe { Library::new("libcuda.so.1") }) else { return Ok(None) };
        // SAFETY: cuda.h declares the functions so, in all versions since CUDA 7; each pointer is to a live object of the
        // type, which the call fills before it returns.
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
            // The last byte is never given away, so that the text ends.
            let pci_bus_id = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
            Ok(Some(Self { library, device, address, pci_bus_id }))
        }
    }
}

impl Drop for CudaAllocation {
    fn drop(&mut self) {
        // SAFETY: cuda.h declares them so; the address and the context are those of `take`, given back once, and the
        // library is still loaded. A refusal changes nothing for us: the process ends soon.
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

/// # Safety
/// `F` is the function's signature in cuda.h.
unsafe fn find<'a, F>(library: &'a Library, name: &CStr) -> Result<Symbol<'a, F>, String> {
    // SAFETY: the caller's promise.
    unsafe { library.get(name) }.map_err(|error| format!("CUDA's library lacks {name:?}: {error}"))
}

fn check(call: &str, answer: CuResult) -> Result<(), String> {
    if answer == 0 { Ok(()) } else { Err(format!("{call} answered {answer}; cuda.h says what that means")) }
}
