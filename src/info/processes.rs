//! The attribute group `processes`.

use std::{fmt, ops::Deref};

use arrayvec::ArrayString;

use super::{
    reading::{NOT_AVAILABLE, Reading, Reasons},
    textwrap::shorten,
};
use crate::{
    Device, Error, Escaped, ProcessKind, ProcessList, Result, ReturnCode, RunningProcess,
    process::{ProcReader, ProcessInfo, format_local_time},
};

/// The three process lists with their readings.
const PROCESS_LISTS: [(ProcessKind, Reading); 3] = [
    (ProcessKind::Compute, Reading::ComputeProcesses),
    (ProcessKind::Graphics, Reading::GraphicsProcesses),
    (ProcessKind::Mps, Reading::MpsProcesses),
];

/// A process on the GPU, with its user and its parent. A process with a compute and a graphics context has two entries.
///
/// The driver reports the process ID, the memory, and the MIG instances. All other attributes come from `/proc`. They
/// are `None` if the process has ended, belongs to another PID namespace, or cannot be read.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GpuProcessInfo {
    /// The kind of context that the process has on the GPU.
    pub kind: ProcessKind,
    /// The process ID. Older drivers report the process ID in the host's PID namespace, and newer drivers report the
    /// process ID in the caller's PID namespace.
    pub pid: u32,
    /// The name of the process, as psutil returns it. See [`ProcessInfo::name`](crate::process::ProcessInfo::name).
    pub name: Option<ArrayString<64>>,
    /// The name of the real user of the process, or the uid as text if no name is known.
    pub user: Option<ArrayString<32>>,
    /// The process ID of the parent, or `None` for a process without a parent in this PID namespace (process ID 1).
    pub parent_pid: Option<u32>,
    /// The name of the parent.
    pub parent_name: Option<ArrayString<64>>,
    /// The time at which the process was started, in seconds since the epoch (UTC).
    pub create_time: Option<f64>,
    /// The device memory that the process has allocated, in whole MiB, or `None` if the driver does not report it
    /// (WDDM, some containers).
    pub gpu_memory: Option<u64>,
    /// The ID of the MIG GPU instance that the process runs in, or `None` without MIG.
    pub gpu_instance_id: Option<u32>,
    /// The ID of the MIG compute instance that the process runs in, or `None` without MIG.
    pub compute_instance_id: Option<u32>,
}

impl GpuProcessInfo {
    fn new(kind: ProcessKind, running: RunningProcess, info: &ProcessInfo) -> Self {
        Self {
            kind,
            pid: running.pid,
            name: info.name,
            user: info.user,
            parent_pid: info.parent_pid,
            parent_name: info.parent_name,
            create_time: info.create_time,
            gpu_memory: running.used_gpu_memory_bytes.map(|bytes| bytes >> 20),
            gpu_instance_id: running.gpu_instance_id,
            compute_instance_id: running.compute_instance_id,
        }
    }
}

/// The processes on the GPU, in the order compute, graphics, MPS. Dereferences to a slice of [`GpuProcessInfo`].
///
/// The list has a fixed capacity. If there are more processes, the list is truncated, and
/// [`omitted_count`](Self::omitted_count) returns the number of missing processes.
///
/// # Examples
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// let gpu = igpu::GpuInfo::new(&nvml, 0, 64)?;
/// for process in &gpu.processes {
///     println!("{} {:?}: {:?} MiB", process.pid, process.name, process.gpu_memory);
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Debug)]
pub struct GpuProcessesInfo {
    entries: Vec<GpuProcessInfo>,
    capacity: usize,
    total: usize,
    list: ProcessList,
    reader: ProcReader,
    process_info: ProcessInfo,
    pub(super) reasons: Reasons,
}

impl Clone for GpuProcessesInfo {
    /// Clones the list with its capacity. A derived clone would have less capacity, and its first update would
    /// allocate.
    fn clone(&self) -> Self {
        let mut entries = Vec::with_capacity(self.capacity);
        entries.extend_from_slice(&self.entries);
        Self {
            entries,
            capacity: self.capacity,
            total: self.total,
            list: self.list.clone(),
            reader: self.reader.clone(),
            process_info: self.process_info.clone(),
            reasons: self.reasons.clone(),
        }
    }
}

impl GpuProcessesInfo {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let list = ProcessList::with_capacity(capacity);
        Self {
            entries: Vec::with_capacity(list.capacity()),
            capacity: list.capacity(),
            total: 0,
            list,
            reader: ProcReader::new(),
            process_info: ProcessInfo::default(),
            reasons: Reasons::default(),
        }
    }

    /// Returns the number of entries that the list has memory for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the number of processes that the driver reported, as the sum of the three lists.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Returns the number of processes that are not in the list because its capacity is too small.
    #[must_use]
    pub fn omitted_count(&self) -> usize {
        self.total - self.entries.len()
    }

    /// Increases the capacity to 125 % of the number of processes that the driver reported in the last update.
    /// Allocates.
    pub(super) fn grow(&mut self) {
        let capacity = self.total + self.total / 4;
        self.list = ProcessList::with_capacity(capacity);
        self.capacity = self.list.capacity();
        self.entries.reserve(self.capacity.saturating_sub(self.entries.len()));
    }

    /// Returns the error of the compute list if the list is missing. An empty list then does not mean that no process
    /// computes.
    fn compute_list_error(&self) -> Option<&Error> {
        self.reasons.get(Reading::ComputeProcesses)
    }

    pub(super) fn update(&mut self, device: &Device) -> Result<()> {
        self.entries.clear();
        self.total = 0;
        for (kind, reading) in PROCESS_LISTS {
            let result = device.processes(kind, &mut self.list);
            if self.reasons.store(reading, result)?.is_some() {
                self.append_list(kind);
            }
        }
        Ok(())
    }

    /// Appends the entries of the driver's list, up to the capacity.
    fn append_list(&mut self, kind: ProcessKind) {
        self.total += self.list.total();
        for running in self.list.iter().take(self.capacity - self.entries.len()) {
            self.reader.read_process(running.pid, &mut self.process_info);
            self.entries.push(GpuProcessInfo::new(kind, running, &self.process_info));
        }
    }

    pub(super) fn invalidate(&mut self, error: &Error) {
        self.entries.clear();
        self.total = 0;
        for (_, reading) in PROCESS_LISTS {
            self.reasons.set(reading, error.clone());
        }
    }
}

impl Deref for GpuProcessesInfo {
    type Target = [GpuProcessInfo];
    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<'a> IntoIterator for &'a GpuProcessesInfo {
    type Item = &'a GpuProcessInfo;
    type IntoIter = std::slice::Iter<'a, GpuProcessInfo>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for GpuProcessesInfo {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if self.compute_list_error().is_some() && self.is_empty() {
            return serializer.serialize_none();
        }
        serializer.collect_seq(self)
    }
}

/// Formats the process as a line of the process table of igpu 0.1.2.
impl fmt::Display for GpuProcessInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let created = self.create_time.and_then(format_local_time);
        write!(
            f,
            "{:<6} | {:20} | {:20} | ",
            self.pid,
            name_column(self.name.as_deref()),
            name_column(self.user.as_deref())
        )?;
        write!(f, "{:<8} | ", number_column(self.parent_pid.map(u64::from)))?;
        write!(f, "{:20} | {:<6}", created.as_deref().unwrap_or(NOT_AVAILABLE), number_column(self.gpu_memory))
    }
}

/// Shortens a name to the 20 characters of its column, and escapes control characters.
fn name_column(text: Option<&str>) -> String {
    text.map_or(NOT_AVAILABLE.to_owned(), |text| Escaped(&shorten(text, 20)).to_string())
}

fn number_column(value: Option<u64>) -> String {
    value.map_or(NOT_AVAILABLE.to_owned(), |value| value.to_string())
}

/// Formats the process table of igpu 0.1.2, which contains only processes with a compute context. The command `igpu ps`
/// and the slice contain the processes of all kinds.
///
/// If the driver returns an error for the list, the table contains `N/A`. If the list is not supported, the table
/// contains only its header.
impl fmt::Display for GpuProcessesInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "PROCESSES")?;
        let (name, user, created) = ("NAME", "USER", "CREATION TIME");
        writeln!(f, "    PID    | {name:20} | {user:20} | PARENT   | {created:20} | GPU MEM")?;
        for process in self.iter().filter(|process| process.kind == ProcessKind::Compute) {
            writeln!(f, "    {process}")?;
        }
        if self.compute_list_error().and_then(Error::code).is_some_and(|code| code != ReturnCode::NOT_SUPPORTED) {
            writeln!(f, "    {NOT_AVAILABLE}")?;
        }
        if self.omitted_count() > 0 {
            writeln!(f, "    {} more processes did not fit into the list", self.omitted_count())?;
        }
        Ok(())
    }
}
