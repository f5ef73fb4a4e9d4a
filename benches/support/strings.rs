//! Strings and PCI addresses. The direct call fills a buffer. igpu validates the string in place, and `nvml-wrapper`
//! copies it to the heap.

use super::case::{Case, Timed, timed_as};
use super::{Clients, assert_success};
use igpu::{Device, Result};
use nvml_sys as sys;
use nvml_wrapper::error::NvmlError;
use std::ffi::{CStr, c_char};
use std::ops::Deref;

type StringFunction = unsafe extern "C" fn(sys::nvmlDevice_t, *mut c_char, u32) -> sys::nvmlReturn_t;
type WrapperDevice = nvml_wrapper::Device<'static>;

fn igpu_call<T: Deref<Target = str> + 'static>(clients: &Clients, method: fn(&Device) -> Result<T>) -> Timed {
    let gpu = clients.gpu(0);
    timed_as(move || method(&gpu).unwrap(), |text| text.to_string())
}

fn wrapper_call(clients: &Clients, method: fn(&WrapperDevice) -> std::result::Result<String, NvmlError>) -> Timed {
    let gpu = clients.wrapper_device(0);
    timed_as(move || method(&gpu).unwrap(), |text| text)
}

fn direct_call<const N: usize>(clients: &Clients, function: Option<StringFunction>) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), function.unwrap());
    let call = move || {
        let mut bytes = [0u8; N];
        // SAFETY: NVML remains initialized, because `Clients::load` leaks a handle; the buffer has `N` bytes.
        assert_success(unsafe { function(gpu, bytes.as_mut_ptr().cast(), N as u32) });
        bytes
    };
    timed_as(call, |bytes| CStr::from_bytes_until_nul(&bytes).unwrap().to_str().unwrap().to_owned())
}

/// Returns the cases of all methods that return strings.
pub(crate) fn cases(clients: &Clients) -> Vec<Case> {
    let raw = &clients.raw;
    vec![
        Case::new("name", igpu_call(clients, Device::name), direct_call::<96>(clients, raw.nvmlDeviceGetName))
            .wrapper(wrapper_call(clients, WrapperDevice::name)),
        Case::new("serial", igpu_call(clients, Device::serial), direct_call::<96>(clients, raw.nvmlDeviceGetSerial))
            .wrapper(wrapper_call(clients, WrapperDevice::serial)),
        Case::new("uuid", igpu_call(clients, Device::uuid), direct_call::<96>(clients, raw.nvmlDeviceGetUUID))
            .wrapper(wrapper_call(clients, WrapperDevice::uuid)),
        Case::new(
            "vbios_version",
            igpu_call(clients, Device::vbios_version),
            direct_call::<32>(clients, raw.nvmlDeviceGetVbiosVersion),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::vbios_version)),
        pci(clients),
    ]
}

fn pci(clients: &Clients) -> Case {
    let gpu = clients.gpu(0);
    let igpu_call =
        timed_as(move || gpu.pci_info().unwrap(), |it| format!("{} {:x} {}", it.bus, it.device_id, it.bus_id));
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetPciInfo_v3.unwrap());
    let call = move || {
        let mut pci = sys::nvmlPciInfo_t::default();
        // SAFETY: as in `direct_call`, with a pointer to the struct that the function fills.
        assert_success(unsafe { function(gpu, &mut pci) });
        pci
    };
    let format_pci = |pci: sys::nvmlPciInfo_t| {
        let bus_id: Vec<u8> = pci.busId.iter().map(|c| *c as u8).take_while(|c| *c != 0).collect();
        format!("{} {:x} {}", pci.bus, pci.pciDeviceId, String::from_utf8(bus_id).unwrap())
    };
    let gpu = clients.wrapper_device(0);
    let wrapper =
        timed_as(move || gpu.pci_info().unwrap(), |it| format!("{} {:x} {}", it.bus, it.pci_device_id, it.bus_id));
    Case::new("pci_info", igpu_call, timed_as(call, format_pci)).wrapper(wrapper)
}
