//! The lists of processes that use a GPU: three lists, three versions of each call, and entries that have had two
//! sizes under one name.

use std::{ffi::c_void, fmt};

use super::Device;
use crate::{
    Result, ReturnCode,
    nvml::{NARROW_ENTRY_WORDS, WIDE_ENTRY_WORDS},
    symbols::{self, check, require},
};

/// What a process does on the GPU, by the list that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ProcessKind {
    /// It has a compute context (CUDA, OpenCL).
    #[default]
    Compute,
    /// It has a graphics context (OpenGL, Vulkan, a display server).
    Graphics,
    /// It computes through the Multi-Process Service.
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
    /// The process, by the driver's count: the host's, or on newer drivers that of the caller's pid namespace.
    pub pid: u32,
    /// Device memory that it holds, in bytes; `None` where the driver does not say (WDDM, some containers).
    pub used_gpu_memory_bytes: Option<u64>,
    /// The MIG GPU instance that it runs in; `None` without MIG, and from drivers before R450.
    pub gpu_instance_id: Option<u32>,
    /// The MIG compute instance that it runs in; `None` likewise.
    pub compute_instance_id: Option<u32>,
}

/// What a word holds that the driver did not write. No pid and no size in bytes has this value.
const UNWRITTEN_WORD: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// Memory for a process list, made once and filled by [`Device::compute_processes`] and its siblings.
#[derive(Clone)]
pub struct ProcessList {
    words: Vec<u64>,
    capacity: usize,
    len: usize,
    /// How many the driver said that there are.
    total: usize,
    /// Words an entry.
    stride: usize,
    /// Whether all words but those of the first entry are marked as untouched.
    marked: bool,
}

impl ProcessList {
    /// As many entries as a driver can have: the open kernel modules bound a GPU's list at 950 processes.
    pub const RECOMMENDED_CAPACITY: usize = 1024;
    /// No list has room for more: as many processes as Linux can have at a time are four times as many.
    pub const MAX_CAPACITY: usize = 1 << 20;

    /// Memory for `capacity` entries, 32 bytes each; for [`MAX_CAPACITY`](Self::MAX_CAPACITY) where more are asked for.
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

    /// How many entries there is memory for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many entries the last call filled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the last call filled none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many processes there were by the driver's count: more than [`len`](Self::len) when the list was cut.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// The entries, as the driver ordered them.
    pub fn iter(&self) -> impl Iterator<Item = RunningProcess> + '_ {
        self.words.chunks_exact(self.stride).take(self.len).map(parse_entry)
    }

    fn clear(&mut self) {
        (self.len, self.total) = (0, 0);
    }

    /// Marks all words. While the driver lists one process at the most, only its entry has to be marked again.
    fn mark_all(&mut self) {
        let written = if self.marked { self.words.len().min(WIDE_ENTRY_WORDS) } else { self.words.len() };
        self.words.iter_mut().take(written).for_each(|word| *word = UNWRITTEN_WORD);
        self.marked = true;
    }

    /// Whether the words beyond the first entry still bear their marks: a driver may clear all the room first.
    fn is_marked(&self) -> bool {
        [self.words.get(WIDE_ENTRY_WORDS), self.words.last()].into_iter().flatten().all(|word| *word == UNWRITTEN_WORD)
    }

    /// The leading words that the driver wrote, as far as the marks show.
    fn touched(&self) -> &[u64] {
        let count = self.words.iter().rposition(|word| *word != UNWRITTEN_WORD).map_or(0, |last| last + 1);
        self.words.get(..count).unwrap_or_default()
    }

    /// Marks the first and the last entry, to see whether a driver that refuses the size has filled them all the same.
    fn mark_ends(&mut self, stride: usize) {
        let last = self.capacity.saturating_sub(1) * stride;
        for place in [0, last] {
            if let Some(word) = self.words.get_mut(place) {
                *word = UNWRITTEN_WORD;
            }
        }
    }

    fn ends_written(&self, stride: usize) -> bool {
        let last = self.capacity.saturating_sub(1) * stride;
        // A driver that only cleared the room has written no pid.
        let is_entry = |word: &u64| *word != UNWRITTEN_WORD && split_word(*word)[0] != 0;
        [0, last].iter().all(|place| self.words.get(*place).is_some_and(is_entry))
    }
}

impl fmt::Debug for ProcessList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An entry from its words: pid; memory; GPU and compute instance (not in version 1); memory under confidential
/// computing (only in the wide form, and not kept).
fn parse_entry(words: &[u64]) -> RunningProcess {
    let [pid, _] = split_word(words.first().copied().unwrap_or_default());
    let memory = words.get(1).copied().unwrap_or(u64::MAX);
    let [gpu_instance, compute_instance] = split_word(words.get(2).copied().unwrap_or(u64::MAX));
    let unless_all_ones = |id: u32| (id != u32::MAX).then_some(id);
    RunningProcess {
        pid,
        used_gpu_memory_bytes: (memory != u64::MAX).then_some(memory),
        gpu_instance_id: unless_all_ones(gpu_instance),
        compute_instance_id: unless_all_ones(compute_instance),
    }
}

/// The two unsigned ints that lie in a word of memory.
fn split_word(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

impl Device {
    /// The processes with a compute context on the GPU.
    ///
    /// The call takes the driver's locks and walks every client: it is the dearest of all readings (4.5 ms measured on
    /// a laptop), and disturbs other programs. Ask once a second, not more.
    ///
    /// A list longer than `into` is cut, and [`ProcessList::total`] says how long it is. Many drivers fill nothing then;
    /// [`ProcessList::RECOMMENDED_CAPACITY`] entries are enough for every real driver.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetComputeRunningProcesses_v3")]
    pub fn compute_processes(&self, into: &mut ProcessList) -> Result<()> {
        self.processes(ProcessKind::Compute, into)
    }

    /// The processes with a graphics context on the GPU; otherwise as [`compute_processes`](Self::compute_processes).
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetGraphicsRunningProcesses_v3")]
    pub fn graphics_processes(&self, into: &mut ProcessList) -> Result<()> {
        self.processes(ProcessKind::Graphics, into)
    }

    /// The processes that compute through MPS; otherwise as [`compute_processes`](Self::compute_processes).
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetMPSComputeRunningProcesses_v3")]
    pub fn mps_processes(&self, into: &mut ProcessList) -> Result<()> {
        self.processes(ProcessKind::Mps, into)
    }

    /// The processes of a kind, by the newest version of the call that the driver has.
    ///
    /// # Errors
    /// The driver's own answer.
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

    /// Fills the list by one version of the call.
    fn fill(&self, list: symbols::ProcessListFn, call: &'static str, into: &mut ProcessList) -> Result<()> {
        self.nvml.check_forked()?;
        let known = match list {
            symbols::ProcessListFn::V3(_) => self.nvml.stride().get(),
            symbols::ProcessListFn::V2(_) => Some(NARROW_ENTRY_WORDS),
            symbols::ProcessListFn::V1(_) => Some(2),
        };
        match known {
            Some(stride) => into.mark_ends(stride),
            None => into.mark_all(),
        }
        let mut count = u32::try_from(into.capacity).unwrap_or(u32::MAX);
        let room: *mut c_void = into.words.as_mut_ptr().cast();
        // SAFETY: NVML is initialised while `self` lives and gave the handle. The driver writes at most `count` entries,
        // and there is room for `count` of the widest that any driver is known to write (32 bytes), aligned to 8.
        let code = unsafe {
            match list {
                symbols::ProcessListFn::V3(function) => function(self.handle, &mut count, room.cast()),
                symbols::ProcessListFn::V2(function) => function(self.handle, &mut count, room.cast()),
                symbols::ProcessListFn::V1(function) => function(self.handle, &mut count, room.cast()),
            }
        };
        let total = count as usize;
        let filled = match ReturnCode::from(code) {
            ReturnCode::INSUFFICIENT_SIZE => {
                let filled = known.map_or(
                    into.touched().len() >= into.capacity * NARROW_ENTRY_WORDS && into.ends_written(NARROW_ENTRY_WORDS),
                    |stride| into.ends_written(stride),
                );
                if filled { into.capacity.min(total) } else { 0 }
            }
            _ => {
                check(call, code)?;
                total.min(into.capacity)
            }
        };
        // One entry begins at the same place and has the same fields in either width.
        into.stride = match known {
            Some(stride) => stride,
            None if filled <= 1 => WIDE_ENTRY_WORDS,
            None => self.nvml.stride().detect(filled, into.capacity, into.touched()),
        };
        into.marked = known.is_none() && filled <= 1 && into.is_marked();
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
