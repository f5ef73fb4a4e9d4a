//! The lists of the processes that use a GPU.
//!
//! NVML has three lists and three versions of the call for each list. Version 3 has written entries of 24 bytes with
//! some drivers and of 32 bytes with others. The entry size (stride) is detected from the words that the driver has
//! written.

use std::{ffi::c_void, fmt};

use super::Device;
use crate::{
    Result, ReturnCode,
    nvml::{NARROW_ENTRY_WORDS, WIDE_ENTRY_WORDS},
    symbols::{self, check, require},
};

/// The kind of context that a process has on the GPU. NVML has a process list for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ProcessKind {
    /// A compute context (CUDA, OpenCL).
    #[default]
    Compute,
    /// A graphics context (OpenGL, Vulkan, a display server).
    Graphics,
    /// A compute context through the Multi-Process Service (MPS).
    Mps,
}

impl fmt::Display for ProcessKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Compute => "compute",
            Self::Graphics => "graphics",
            Self::Mps => "mps",
        })
    }
}

/// An entry of a process list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningProcess {
    /// The process ID. Older drivers report the process ID in the host's PID namespace, and newer drivers report the
    /// process ID in the caller's PID namespace.
    pub pid: u32,
    /// The device memory that the process has allocated, in bytes, or `None` if the driver does not report it (WDDM,
    /// some containers).
    pub used_gpu_memory_bytes: Option<u64>,
    /// The ID of the MIG GPU instance that the process runs in, or `None` without MIG and with drivers before R450.
    pub gpu_instance_id: Option<u32>,
    /// The ID of the MIG compute instance that the process runs in, or `None` without MIG and with drivers before R450.
    pub compute_instance_id: Option<u32>,
}

/// The size of an entry of version 1: a process ID with padding, and the used memory.
const V1_ENTRY_WORDS: usize = 2;

/// The value of words that the driver has not written. No process ID and no size in bytes has this value.
const UNWRITTEN_WORD: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// A fixed-capacity list of GPU processes.
///
/// [`Device::compute_processes`], [`Device::graphics_processes`], and [`Device::mps_processes`] fill a list without
/// allocating.
///
/// # Examples
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use igpu::ProcessList;
///
/// let mut list = ProcessList::with_capacity(ProcessList::RECOMMENDED_CAPACITY);
/// nvml.device(0)?.compute_processes(&mut list)?;
/// for process in list.iter() {
///     println!("{}: {:?} bytes", process.pid, process.used_gpu_memory_bytes);
/// }
/// if list.total() > list.len() {
///     println!("{} processes did not fit", list.total() - list.len());
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone)]
pub struct ProcessList {
    words: Vec<u64>,
    capacity: usize,
    len: usize,
    /// The number of processes that the driver reported.
    total: usize,
    /// The size of an entry in words.
    stride: usize,
    /// `true` if all words except those of the first entry have the value [`UNWRITTEN_WORD`].
    marked: bool,
}

impl ProcessList {
    /// A capacity that is sufficient for every known driver. The open kernel modules limit the list of a GPU to 950
    /// processes.
    pub const RECOMMENDED_CAPACITY: usize = 1024;
    /// The maximum capacity. Linux allows four times as many processes on a machine (2^22).
    pub const MAX_CAPACITY: usize = 1 << 20;

    /// Allocates a list for `capacity` entries of 32 bytes, but for no more than [`MAX_CAPACITY`](Self::MAX_CAPACITY)
    /// entries.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.min(Self::MAX_CAPACITY);
        Self {
            words: vec![0; capacity * WIDE_ENTRY_WORDS],
            capacity,
            len: 0,
            total: 0,
            stride: WIDE_ENTRY_WORDS,
            marked: false,
        }
    }

    /// Returns the number of entries that the list has memory for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the number of entries that the last call filled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if the last call filled no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of processes that the driver reported, which is more than [`len`](Self::len) if the list was
    /// truncated.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Returns an iterator over the entries in the driver's order.
    pub fn iter(&self) -> impl Iterator<Item = RunningProcess> + '_ {
        self.words.chunks_exact(self.stride).take(self.len).map(parse_entry)
    }

    fn clear(&mut self) {
        (self.len, self.total) = (0, 0);
    }

    /// Marks all words as unwritten. If only the first entry was written since the last call, only that entry is
    /// marked.
    fn mark_all(&mut self) {
        let dirty_words = if self.marked { self.words.len().min(WIDE_ENTRY_WORDS) } else { self.words.len() };
        self.words.iter_mut().take(dirty_words).for_each(|word| *word = UNWRITTEN_WORD);
        self.marked = true;
    }

    /// Returns `true` if the words after the first entry are still marked. The marks are missing if the driver has
    /// cleared the whole buffer before writing.
    fn is_marked(&self) -> bool {
        [self.words.get(WIDE_ENTRY_WORDS), self.words.last()].into_iter().flatten().all(|word| *word == UNWRITTEN_WORD)
    }

    /// Returns the words up to and including the last word that the driver has written.
    fn written_words(&self) -> &[u64] {
        let count = self.words.iter().rposition(|word| *word != UNWRITTEN_WORD).map_or(0, |last| last + 1);
        self.words.get(..count).unwrap_or_default()
    }

    /// Marks the first and the last entry as unwritten. [`ends_written`](Self::ends_written) can then detect a driver
    /// that fails with `INSUFFICIENT_SIZE` and nevertheless fills the list.
    fn mark_ends(&mut self, stride: usize) {
        let last = self.capacity.saturating_sub(1) * stride;
        for index in [0, last] {
            if let Some(word) = self.words.get_mut(index) {
                *word = UNWRITTEN_WORD;
            }
        }
    }

    /// Returns `true` if the driver has written the first and the last entry.
    fn ends_written(&self, stride: usize) -> bool {
        let last = self.capacity.saturating_sub(1) * stride;
        // The process ID is 0 if the driver has only cleared the buffer.
        let is_entry = |word: &u64| *word != UNWRITTEN_WORD && split_word(*word)[0] != 0;
        [0, last].iter().all(|index| self.words.get(*index).is_some_and(is_entry))
    }
}

impl fmt::Debug for ProcessList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Reads an entry from its words, which contain the process ID, the used memory, the IDs of the GPU and the compute
/// instance (not in version 1), and the protected memory under confidential computing (only in entries of 32 bytes;
/// ignored here).
fn parse_entry(words: &[u64]) -> RunningProcess {
    let [pid, _] = split_word(words.first().copied().unwrap_or_default());
    let memory = words.get(1).copied().unwrap_or(u64::MAX);
    let [gpu_instance, compute_instance] = split_word(words.get(2).copied().unwrap_or(u64::MAX));
    let instance_id = |id: u32| (id != u32::MAX).then_some(id);
    RunningProcess {
        pid,
        used_gpu_memory_bytes: (memory != u64::MAX).then_some(memory),
        gpu_instance_id: instance_id(gpu_instance),
        compute_instance_id: instance_id(compute_instance),
    }
}

/// Splits a word of memory into the two unsigned ints that it contains.
fn split_word(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

impl Device {
    /// Fills `into` with the processes that have a compute context on the GPU.
    ///
    /// The driver takes its locks and visits each of its clients during the call. This makes the process lists the most
    /// expensive calls (4.5 ms for the graphics list on a laptop), and they delay other programs that use the GPU. Call
    /// them at most once per second.
    ///
    /// If the driver has more processes than `into` has capacity for, the list is truncated, and [`ProcessList::total`]
    /// returns the number that the driver reported. Many drivers fill no entries in this case. A capacity of
    /// [`ProcessList::RECOMMENDED_CAPACITY`] prevents this.
    ///
    /// # Errors
    /// Returns the driver's error code. A truncated list is not an error.
    #[doc(alias = "nvmlDeviceGetComputeRunningProcesses_v3")]
    #[doc(alias = "nvmlDeviceGetComputeRunningProcesses_v2")]
    #[doc(alias = "nvmlDeviceGetComputeRunningProcesses")]
    pub fn compute_processes(&self, into: &mut ProcessList) -> Result<()> {
        self.processes(ProcessKind::Compute, into)
    }

    /// Fills `into` with the processes that have a graphics context on the GPU. See
    /// [`compute_processes`](Self::compute_processes) for the cost and for truncated lists.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetGraphicsRunningProcesses_v3")]
    #[doc(alias = "nvmlDeviceGetGraphicsRunningProcesses_v2")]
    #[doc(alias = "nvmlDeviceGetGraphicsRunningProcesses")]
    pub fn graphics_processes(&self, into: &mut ProcessList) -> Result<()> {
        self.processes(ProcessKind::Graphics, into)
    }

    /// Fills `into` with the processes that have a compute context through MPS. See
    /// [`compute_processes`](Self::compute_processes) for the cost and for truncated lists.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetMPSComputeRunningProcesses_v3")]
    #[doc(alias = "nvmlDeviceGetMPSComputeRunningProcesses_v2")]
    #[doc(alias = "nvmlDeviceGetMPSComputeRunningProcesses")]
    pub fn mps_processes(&self, into: &mut ProcessList) -> Result<()> {
        self.processes(ProcessKind::Mps, into)
    }

    /// Fills `into` with the processes of a kind, with the newest version of the call that the driver supports. See
    /// [`compute_processes`](Self::compute_processes) for the cost and for truncated lists.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetComputeRunningProcesses_v3")]
    #[doc(alias = "nvmlDeviceGetGraphicsRunningProcesses_v3")]
    #[doc(alias = "nvmlDeviceGetMPSComputeRunningProcesses_v3")]
    pub fn processes(&self, kind: ProcessKind, into: &mut ProcessList) -> Result<()> {
        let symbols = self.nvml.symbols();
        let (lists, call) = match kind {
            ProcessKind::Compute => (&symbols.compute_processes, "nvmlDeviceGetComputeRunningProcesses"),
            ProcessKind::Graphics => (&symbols.graphics_processes, "nvmlDeviceGetGraphicsRunningProcesses"),
            ProcessKind::Mps => (&symbols.mps_processes, "nvmlDeviceGetMPSComputeRunningProcesses"),
        };
        into.clear();
        let mut fill = |list| self.fill(list, call, into);
        if lists.v3_fallback.try_newer(lists.v3, |function| fill(symbols::ProcessListFn::V3(function)))? {
            return Ok(());
        }
        if lists.v2_fallback.try_newer(lists.v2, |function| fill(symbols::ProcessListFn::V2(function)))? {
            return Ok(());
        }
        fill(symbols::ProcessListFn::V1(require(call, lists.v1)?))
    }

    /// Fills the list with one version of the call.
    fn fill(&self, list: symbols::ProcessListFn, call: &'static str, into: &mut ProcessList) -> Result<()> {
        self.nvml.check_forked()?;
        let known_stride = match list {
            symbols::ProcessListFn::V3(_) => self.nvml.stride().get(),
            symbols::ProcessListFn::V2(_) => Some(NARROW_ENTRY_WORDS),
            symbols::ProcessListFn::V1(_) => Some(V1_ENTRY_WORDS),
        };
        match known_stride {
            Some(stride) => into.mark_ends(stride),
            None => into.mark_all(),
        }
        let mut count = u32::try_from(into.capacity).unwrap_or(u32::MAX);
        let buffer: *mut c_void = into.words.as_mut_ptr().cast();
        // SAFETY: NVML stays initialized while `self` lives and returned the handle. The driver writes at most `count`
        // entries. The buffer is aligned to 8 bytes and has 32 bytes for each entry, the largest size of any known
        // driver.
        let code = unsafe {
            match list {
                symbols::ProcessListFn::V3(function) => function(self.handle, &mut count, buffer.cast()),
                symbols::ProcessListFn::V2(function) => function(self.handle, &mut count, buffer.cast()),
                symbols::ProcessListFn::V1(function) => function(self.handle, &mut count, buffer.cast()),
            }
        };
        let total = count as usize;
        let filled = match ReturnCode::from(code) {
            ReturnCode::INSUFFICIENT_SIZE => {
                let filled = known_stride.map_or(
                    into.written_words().len() >= into.capacity * NARROW_ENTRY_WORDS
                        && into.ends_written(NARROW_ENTRY_WORDS),
                    |stride| into.ends_written(stride),
                );
                if filled { into.capacity.min(total) } else { 0 }
            }
            _ => {
                check(call, code)?;
                total.min(into.capacity)
            }
        };
        // The stride of a single entry does not matter: both sizes have the same fields at the same offsets.
        into.stride = match known_stride {
            Some(stride) => stride,
            None if filled <= 1 => WIDE_ENTRY_WORDS,
            None => self.nvml.stride().detect(filled, into.capacity, into.written_words()),
        };
        into.marked = known_stride.is_none() && filled <= 1 && into.is_marked();
        (into.len, into.total) = (filled, total);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_entry_is_read_by_stride() {
        let ids = u64::from_ne_bytes([7, 0, 0, 0, 2, 0, 0, 0]);
        let wide = RunningProcess {
            pid: 42,
            used_gpu_memory_bytes: Some(9),
            gpu_instance_id: Some(7),
            compute_instance_id: Some(2),
        };
        assert_eq!(parse_entry(&[42, 9, ids, 77]), wide);
        assert_eq!(parse_entry(&[42, 9, ids]), wide);
        let narrow = RunningProcess { gpu_instance_id: None, compute_instance_id: None, ..wide };
        assert_eq!(parse_entry(&[42, 9]), narrow);
        assert_eq!(parse_entry(&[42, 9, u64::MAX]), narrow);
        assert_eq!(parse_entry(&[42, u64::MAX, u64::MAX]).used_gpu_memory_bytes, None);
    }
}
