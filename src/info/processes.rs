//! The group `processes`.

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

/// The three lists of processes, and the reading that each is.
const PROCESS_LISTS: [(ProcessKind, Reading); 3] = [
    (ProcessKind::Compute, Reading::ComputeProcesses),
    (ProcessKind::Graphics, Reading::GraphicsProcesses),
    (ProcessKind::Mps, Reading::MpsProcesses),
];

/// A process on the GPU, and who owns it. A process that both computes and draws has an entry of each kind.
///
/// The driver gives the pid, the memory and the instances; all else comes from `/proc` and is `None` where that does not
/// tell: the process is gone, is another pid namespace's, or may not be read.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GpuProcessInfo {
    /// What it does on the GPU, by the list that it stands in.
    pub kind: ProcessKind,
    /// The process id as the driver counts: the host's, or on newer drivers that of this process's pid namespace.
    pub pid: u32,
    /// Its name as psutil gives it; see [`ProcessInfo::name`](crate::process::ProcessInfo::name).
    pub name: Option<ArrayString<64>>,
    /// The name of its real user, or the uid as text where no name is known.
    pub user: Option<ArrayString<32>>,
    /// The parent's pid; `None` for a process without a parent in this pid namespace (pid 1).
    pub parent_pid: Option<u32>,
    /// The parent's name.
    pub parent_name: Option<ArrayString<64>>,
    /// When it was started: seconds since the epoch, UTC.
    pub create_time: Option<f64>,
    /// Device memory that it holds, whole MiB; `None` where the driver does not say (WDDM, some containers).
    pub gpu_memory: Option<u64>,
    /// The MIG GPU instance that it runs in; `None` without MIG.
    pub gpu_instance_id: Option<u32>,
    /// The MIG compute instance that it runs in; `None` without MIG.
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

/// The processes on the GPU: those that compute, then those that draw, then those that compute through MPS. Reads as a
/// slice of [`GpuProcessInfo`]. Its memory is made once; what does not fit is left out, and [`omitted_count`](Self::omitted_count) says so.
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
    /// With all its room, which a derived clone would drop, and the clone's first update allocate.
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

    /// How many entries there is memory for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many processes the driver counted, over all three lists.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many processes are not in the list because its memory is too small.
    #[must_use]
    pub fn omitted_count(&self) -> usize {
        self.total - self.entries.len()
    }

    /// Makes room for what the last update had to leave out, and for some that may come. Allocates.
    pub(super) fn grow(&mut self) {
        let wanted = self.total + self.total / 4;
        self.list = ProcessList::with_capacity(wanted);
        self.capacity = self.list.capacity();
        self.entries.reserve(self.capacity.saturating_sub(self.entries.len()));
    }

    /// Why the list of processes that compute is missing, if it is: then an empty list does not say that there are none.
    fn compute_list_error(&self) -> Option<&Error> {
        self.reasons.get(Reading::ComputeProcesses)
    }

    pub(super) fn update(&mut self, device: &Device) -> Result<()> {
        self.entries.clear();
        self.total = 0;
        for (kind, reading) in PROCESS_LISTS {
            let answer = device.processes(kind, &mut self.list);
            if self.reasons.store(reading, answer)?.is_some() {
                self.append_list(kind);
            }
        }
        Ok(())
    }

    /// Adds the list at hand, as far as there is room.
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

/// One line of igpu 0.1.2's table.
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

/// A name in a column of 20 characters, made harmless.
fn name_column(text: Option<&str>) -> String {
    text.map_or(NOT_AVAILABLE.to_owned(), |text| Escaped(&shorten(text, 20)).to_string())
}

fn number_column(value: Option<u64>) -> String {
    value.map_or(NOT_AVAILABLE.to_owned(), |value| value.to_string())
}

/// igpu 0.1.2's table. It has the processes that compute, which are all that igpu 0.1.2 knows; the command `igpu ps` and
/// the slice itself have those of every kind. A list that the driver refuses is `N/A`; where there is none by nature
/// (`NOT_SUPPORTED`), the head stands alone.
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
            writeln!(f, "    and {} more that there was no room for", self.omitted_count())?;
        }
        Ok(())
    }
}
