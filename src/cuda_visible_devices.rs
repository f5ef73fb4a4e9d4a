//! Which GPUs a CUDA program sees: the rules of `CUDA_VISIBLE_DEVICES`, as a pure function.
//!
//! [`resolve`] takes the variable's value and the GPUs as NVML lists them; it reads neither environment nor driver.
//!
//! What the CUDA C Programming Guide says, and PyTorch and nvitop do alike:
//!
//! | value | sees |
//! | --- | --- |
//! | not set | all GPUs |
//! | empty | none |
//! | `2,0` | GPU 2, then GPU 0 |
//! | `0,2,-1,1` | 0 and 2: the first token that names no GPU ends the list |
//! | `1gpu2,2ampere` | 1 and 2: numbers are read as C's `strtoul` reads them |
//! | `0,99` of four | 0: out of range ends the list |
//! | `0,1,0` | none: a GPU named twice makes the whole list void |
//! | `GPU-8932f937` | the GPU whose UUID starts so; two such or none end the list |
//! | `0,GPU-8932f937` | 0: the first token fixes the kind (number, `GPU-`, `MIG-`), another kind ends the list |
//! | `MIG-<uuid>`, `MIG-GPU-<uuid>/<gi>/<ci>` | that MIG instance; of several the first alone |
//!
//! What is not settled, and what is chosen here:
//!
//! | value | sees | why |
//! | --- | --- | --- |
//! | `0,99,0` | 0 | the list has ended at 99 before the second 0 is seen (nvitop; PyTorch: none) |
//! | `0,00` | none | one GPU twice, however it is written (PyTorch; nvitop compares the text) |
//! | `GPU-89,GPU-8932` | none if one GPU | likewise (PyTorch) |
//! | `+1`, `-0` | 1, 0 | `strtoul` takes a sign (PyTorch; nvitop ends the list) |
//! | `0x1`, `010` | 0, 10 | decimal, no prefixes |
//! | `18446744073709551617` | none | too large is out of range, it does not wrap to 1 |
//! | ` 0 , 1 `, ` GPU-89` | as without | white space around a token means nothing (nvitop; PyTorch: for numbers alone) |
//! | `gpu-89`, `GPU-89AB` for `89ab` | none | written as `nvidia-smi -L` writes them: prefix and digits compare exactly |
//! | `GPU-` | the GPU, if there is one only | an empty prefix is unique there (PyTorch) |
//! | `MIG-89` | none | MIG names are whole: only for `GPU-` does the guide speak of shortened ones |
//! | `MIG-a,MIG-a` | none | void like any list that names one thing twice |
//! | `MIG-a,MIG-b,GPU-89` | `a` | one instance alone is used, and another kind ends the list |
//! | `0` where GPU 0 is in MIG mode | GPU 0 | CUDA would use its first instance; this tells the GPU, and `mig` is `None` |
//! | `all`, `none`, `void`, `NoDevFiles` | none | values of `NVIDIA_VISIBLE_DEVICES` and of others: no number here |
//!
//! Numbers count in the order of CUDA, which is that of NVML (by PCI bus) only under `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
//! CUDA's default, fastest first, differs from it on machines with different cards. NVML cannot know that order, so PCI
//! order is assumed; who mixes cards names them by UUID or sets that variable.

/// One GPU as NVML lists it; its index is its position in the list.
#[derive(Clone, Copy, Debug)]
pub struct GpuCandidate<'a> {
    /// The UUID as NVML gives it: `GPU-` and hexadecimal digits in groups.
    pub uuid: &'a str,
    /// Its MIG instances; empty without MIG.
    pub mig: &'a [MigCandidate<'a>],
}

/// One MIG instance of a GPU.
#[derive(Clone, Copy, Debug)]
pub struct MigCandidate<'a> {
    /// The UUID as NVML gives it: `MIG-` and hexadecimal digits, from old drivers `MIG-GPU-<uuid>/<gi>/<ci>`.
    pub uuid: &'a str,
    /// Id of the GPU instance.
    pub gpu_instance: u32,
    /// Id of the compute instance within the GPU instance.
    pub compute_instance: u32,
}

/// One device that a CUDA program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibleDevice {
    /// Index of the GPU in NVML's order.
    pub index: u32,
    /// Position in [`GpuCandidate::mig`] of the instance that was named; `None` where the GPU itself was.
    pub mig: Option<usize>,
}

/// The devices that a CUDA program sees, in its order, under a value of `CUDA_VISIBLE_DEVICES`; `None`: not set.
///
/// The rules, with what is not settled about them, are in the documentation of this module. The value is bytes because
/// an environment variable need not be UTF-8.
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
    // An empty value is one empty token, which names nothing.
    let kind = TokenKind::of(trim(value));
    let mut list = Vec::new();
    for token in value.split(|&byte| byte == b',') {
        let Some(device) = kind.find(trim(token), gpus) else { break };
        if list.contains(&device) {
            return Vec::new();
        }
        list.push(device);
    }
    if kind == TokenKind::Mig {
        list.truncate(1);
    }
    list
}

/// Without the white space around it, which is what C's `isspace` says: Rust's ASCII white space lacks the vertical tab.
fn trim(token: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t'..=b'\r');
    let start = token.iter().position(is_text).unwrap_or(token.len());
    let end = token.iter().rposition(is_text).map_or(start, |last| last + 1);
    token.get(start..end).unwrap_or_default()
}

/// How the tokens of a list name devices; the first token tells.
#[derive(Clone, Copy, PartialEq)]
enum TokenKind {
    Index,
    Gpu,
    Mig,
}

impl TokenKind {
    fn of(value: &[u8]) -> Self {
        if value.starts_with(b"GPU-") {
            Self::Gpu
        } else if value.starts_with(b"MIG-") {
            Self::Mig
        } else {
            Self::Index
        }
    }

    fn find(self, token: &[u8], gpus: &[GpuCandidate<'_>]) -> Option<VisibleDevice> {
        match self {
            Self::Index => {
                let index = leading_number(token)?;
                let exists = usize::try_from(index).is_ok_and(|index| index < gpus.len());
                exists.then_some(VisibleDevice { index, mig: None })
            }
            // The prefix is looked for in the token too: an empty one would start any UUID.
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

/// The only item; `None` where there are none or several.
fn exactly_one(mut items: impl Iterator<Item = VisibleDevice>) -> Option<VisibleDevice> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// Whether the token is the instance's UUID, or `MIG-<UUID of its GPU>/<gpu instance>/<compute instance>`.
fn matches_mig(token: &[u8], gpu: &GpuCandidate<'_>, mig: &MigCandidate<'_>) -> bool {
    let Some(rest) = token.strip_prefix(b"MIG-") else { return false };
    if token == mig.uuid.as_bytes() {
        return true;
    }
    let mut parts = rest.split(|&byte| byte == b'/');
    let is_id = |part: Option<&[u8]>, id: u32| {
        part.is_some_and(|part| part.iter().all(u8::is_ascii_digit) && leading_number(part) == Some(id))
    };
    parts.next() == Some(gpu.uuid.as_bytes())
        && is_id(parts.next(), mig.gpu_instance)
        && is_id(parts.next(), mig.compute_instance)
        && parts.next().is_none()
}

/// The number at the beginning as `strtoul` with base 10 reads it; `None` without digits, below zero or too large.
///
/// C would make a negative number a huge one, which is out of range just the same.
fn leading_number(token: &[u8]) -> Option<u32> {
    let (negative, digits) = match token.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, token),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let digits = std::str::from_utf8(digits.get(..end)?).ok()?;
    let number: u32 = digits.parse().ok()?;
    (number == 0 || !negative).then_some(number)
}
