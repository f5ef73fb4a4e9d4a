//! The interpretation of the environment variable `CUDA_VISIBLE_DEVICES`.
//!
//! [`resolve`] returns the devices that are visible to a CUDA program for a value of the variable and a list of GPUs.
//! It is a pure function, which reads neither the environment nor the driver.
//! [`Nvml::visible_devices`](crate::Nvml::visible_devices) applies it to the variable of this process.
//!
//! # Rules
//!
//! The CUDA C Programming Guide specifies these rules, and PyTorch and nvitop follow them:
//!
//! | value | visible devices |
//! | --- | --- |
//! | not set | all GPUs |
//! | empty | none |
//! | `2,0` | GPU 2, then GPU 0 |
//! | `0,2,-1,1` | 0 and 2: the list ends at the first token that does not match a GPU |
//! | `1gpu2,2ampere` | 1 and 2: numbers are parsed like C's `strtoul` does |
//! | `0,99` on a machine with four GPUs | 0: an index that is out of range ends the list |
//! | `0,1,0` | none: a repeated GPU makes the whole list invalid |
//! | `GPU-8932f937` | the GPU whose UUID has this prefix; if none or several match, the list ends |
//! | `0,GPU-8932f937` | 0: the first token determines the type of all tokens (number, `GPU-`, or `MIG-`), and another type ends the list |
//! | `MIG-<uuid>`, `MIG-GPU-<uuid>/<gi>/<ci>` | the MIG device; if the list has several, only the first one |
//!
//! The guide leaves the following cases open. This module resolves them in this way:
//!
//! | value | visible devices | reason |
//! | --- | --- | --- |
//! | `0,99,0` | 0 | the list ends at 99, before the repeated 0 (as in nvitop; in PyTorch: none) |
//! | `0,00` | none | both tokens mean the same GPU (as in PyTorch; nvitop compares the text) |
//! | `GPU-89,GPU-8932` | none, if both match one GPU | both tokens mean the same GPU (as in PyTorch) |
//! | `+1`, `-0` | 1, 0 | `strtoul` accepts a sign (as in PyTorch; in nvitop, the list ends) |
//! | `0x1`, `010` | 0, 10 | numbers are decimal, without prefixes |
//! | `18446744073709551617` | none | a number that is too large is out of range, and does not wrap around to 1 |
//! | ` 0 , 1 `, ` GPU-89` | as without the spaces | white space around a token is ignored (as in nvitop; in PyTorch: only around numbers) |
//! | `gpu-89`, `GPU-89AB` for `89ab` | none | the comparison is case-sensitive, and `nvidia-smi -L` prints lower-case digits |
//! | `GPU-` | the GPU, if there is only one | the empty prefix matches one GPU (as in PyTorch) |
//! | `MIG-89` | none | the UUID of a MIG device must be complete: the guide allows prefixes only for `GPU-` |
//! | `MIG-a,MIG-a` | none | a repeated device makes the whole list invalid |
//! | `MIG-a,MIG-b,GPU-89` | `a` | only one MIG device is visible, and another type ends the list |
//! | `0` where GPU 0 is in MIG mode | GPU 0 | CUDA uses the first MIG device of the GPU; [`VisibleDevice::mig`] is `None` |
//! | `all`, `none`, `void`, `NoDevFiles` | none | these are not numbers, but values of `NVIDIA_VISIBLE_DEVICES` and other variables |
//!
//! # Order
//!
//! Numbers refer to CUDA's order of devices. With `CUDA_DEVICE_ORDER=PCI_BUS_ID`, this is NVML's order. CUDA's default
//! order, which puts the fastest GPU first, differs from NVML's order if a machine has different types of GPUs. NVML
//! does not provide CUDA's default order, and this module therefore assumes the order of PCI bus IDs. On a machine with
//! different types of GPUs, set `CUDA_DEVICE_ORDER=PCI_BUS_ID`, or use UUIDs in `CUDA_VISIBLE_DEVICES`.

/// A GPU of the machine. Its position in the list of GPUs is its NVML index.
#[derive(Clone, Copy, Debug)]
pub struct GpuCandidate<'a> {
    /// The UUID in NVML's form: `GPU-` and groups of hexadecimal digits.
    pub uuid: &'a str,
    /// The MIG devices of the GPU, or an empty list if the GPU is not in MIG mode.
    pub mig: &'a [MigCandidate<'a>],
}

/// A MIG device of a GPU.
#[derive(Clone, Copy, Debug)]
pub struct MigCandidate<'a> {
    /// The UUID in NVML's form: `MIG-` and groups of hexadecimal digits, or `MIG-GPU-<uuid>/<gi>/<ci>` with old
    /// drivers.
    pub uuid: &'a str,
    /// The ID of the GPU instance.
    pub gpu_instance: u32,
    /// The ID of the compute instance within the GPU instance.
    pub compute_instance: u32,
}

/// A device that is visible to a CUDA program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibleDevice {
    /// The NVML index of the GPU.
    pub index: u32,
    /// The position in [`GpuCandidate::mig`] of the selected MIG device, or `None` if the whole GPU is selected.
    pub mig: Option<usize>,
}

/// Returns the devices that are visible to a CUDA program, in the order in which the program sees them.
///
/// `value` is the value of `CUDA_VISIBLE_DEVICES`, or `None` if the variable is not set. It is a byte string because an
/// environment variable need not be UTF-8. The [module documentation](self) lists the rules.
///
/// ```
/// use igpu::cuda_visible_devices::{GpuCandidate, resolve};
///
/// let gpus = ["GPU-8932f937", "GPU-89ab0000", "GPU-55ad1a1b"].map(|uuid| GpuCandidate { uuid, mig: &[] });
/// let indices = |value: &str| resolve(Some(value.as_bytes()), &gpus).iter().map(|gpu| gpu.index).collect::<Vec<_>>();
/// assert_eq!(indices("2,0,-1,1"), [2, 0]);
/// assert_eq!(indices("GPU-55,GPU-893"), [2, 0]);
/// assert_eq!(indices("1,1"), []);
/// ```
pub fn resolve(value: Option<&[u8]>, gpus: &[GpuCandidate<'_>]) -> Vec<VisibleDevice> {
    let Some(value) = value else {
        return (0..).zip(gpus).map(|(index, _)| VisibleDevice { index, mig: None }).collect();
    };
    // An empty value is one empty token, which matches no device.
    let kind = TokenKind::from_value(trim(value));
    let mut visible = Vec::new();
    for token in value.split(|&byte| byte == b',') {
        let Some(device) = kind.find(trim(token), gpus) else { break };
        if visible.contains(&device) {
            return Vec::new();
        }
        visible.push(device);
    }
    if kind == TokenKind::Mig {
        visible.truncate(1);
    }
    visible
}

/// Removes the white space around a token, as defined by C's `isspace`. Rust's ASCII white space does not include the
/// vertical tab.
fn trim(token: &[u8]) -> &[u8] {
    let is_not_space = |byte: &u8| !matches!(byte, b' ' | b'\t'..=b'\r');
    let start = token.iter().position(is_not_space).unwrap_or(token.len());
    let end = token.iter().rposition(is_not_space).map_or(start, |last| last + 1);
    token.get(start..end).unwrap_or_default()
}

/// The type of the tokens in a list, which the first token determines.
#[derive(Clone, Copy, PartialEq)]
enum TokenKind {
    Index,
    Gpu,
    Mig,
}

impl TokenKind {
    fn from_value(value: &[u8]) -> Self {
        if value.starts_with(b"GPU-") {
            Self::Gpu
        } else if value.starts_with(b"MIG-") {
            Self::Mig
        } else {
            Self::Index
        }
    }

    /// Returns the device that the token matches, or `None` if it matches none or several.
    fn find(self, token: &[u8], gpus: &[GpuCandidate<'_>]) -> Option<VisibleDevice> {
        match self {
            Self::Index => {
                let index = leading_number(token)?;
                let exists = usize::try_from(index).is_ok_and(|index| index < gpus.len());
                exists.then_some(VisibleDevice { index, mig: None })
            }
            // The token itself must start with `GPU-`, because an empty token would be a prefix of every UUID.
            Self::Gpu => exactly_one((0..).zip(gpus).filter_map(|(index, gpu)| {
                let matching = token.starts_with(b"GPU-") && gpu.uuid.as_bytes().starts_with(token);
                matching.then_some(VisibleDevice { index, mig: None })
            })),
            Self::Mig => exactly_one((0..).zip(gpus).flat_map(|(index, gpu)| {
                let matching = gpu.mig.iter().enumerate().filter(|(_, mig)| matches_mig(token, gpu, mig));
                matching.map(move |(position, _)| VisibleDevice { index, mig: Some(position) })
            })),
        }
    }
}

/// Returns the only item, or `None` if there are no items or several.
fn exactly_one(mut items: impl Iterator<Item = VisibleDevice>) -> Option<VisibleDevice> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// Returns `true` if the token is the UUID of the MIG device, or `MIG-<UUID of its GPU>/<GPU instance>/<compute
/// instance>`.
fn matches_mig(token: &[u8], gpu: &GpuCandidate<'_>, mig: &MigCandidate<'_>) -> bool {
    let Some(name) = token.strip_prefix(b"MIG-") else { return false };
    if token == mig.uuid.as_bytes() {
        return true;
    }
    let mut parts = name.split(|&byte| byte == b'/');
    let is_id = |part: Option<&[u8]>, id: u32| {
        part.is_some_and(|part| part.iter().all(u8::is_ascii_digit) && leading_number(part) == Some(id))
    };
    parts.next() == Some(gpu.uuid.as_bytes())
        && is_id(parts.next(), mig.gpu_instance)
        && is_id(parts.next(), mig.compute_instance)
        && parts.next().is_none()
}

/// Returns the number at the start of a token, parsed like `strtoul` with base 10 does. Returns `None` if there are no
/// digits, or if the number is negative or too large.
///
/// `strtoul` converts a negative number to a large one, which is out of range as well.
fn leading_number(token: &[u8]) -> Option<u32> {
    let (negative, digits) = match token.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, token),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let digits = std::str::from_utf8(digits.get(..end)?).ok()?;
    let number: u32 = digits.parse().ok()?;
    (number == 0 || !negative).then_some(number)
}
