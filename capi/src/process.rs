use std::ffi::c_char;

use igpu::{
    GpuProcessInfo, ProcessKind,
    process::{ProcReader, ProcessInfo},
};

use crate::{
    driver::IGPU_UNKNOWN_U32, error::Failure, gpu::number, guard::guarded, status::igpu_status, text::text,
    versioned_struct,
};

/// What a process does on a GPU. One that does two of these stands in the list twice.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_process_kind {
    /// It computes.
    Compute = 0,
    /// It draws.
    Graphics = 1,
    /// It computes through MPS.
    Mps = 2,
}

/// A process on a GPU, and who owns it. What `/proc` does not tell is missing: an empty text, NaN, `IGPU_UNKNOWN_U32`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_gpu_process_info {
    /// `sizeof(igpu_gpu_process_info)`
    pub size: usize,
    /// The process id as the driver counts.
    pub pid: u32,
    /// What it does.
    pub kind: igpu_process_kind,
    /// Device memory that it holds, whole MiB.
    pub memory_mib: f64,
    /// When it was started: seconds since the epoch, UTC.
    pub create_time_s: f64,
    /// The parent's pid.
    pub parent_pid: u32,
    /// The MIG GPU instance that it runs in.
    pub gpu_instance: u32,
    /// The MIG compute instance that it runs in.
    pub compute_instance: u32,
    /// 0.
    pub reserved: u32,
    /// Its name.
    pub name: [c_char; 72],
    /// The name of its user, or the uid as text.
    pub user: [c_char; 40],
    /// The parent's name.
    pub parent_name: [c_char; 72],
}

/// Who owns a process, as far as `/proc` tells.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_process_info {
    /// `sizeof(igpu_process_info)`
    pub size: usize,
    /// The number of its user.
    pub uid: u32,
    /// The parent's pid.
    pub parent_pid: u32,
    /// When it was started: seconds since the epoch, UTC.
    pub create_time_s: f64,
    /// Its name.
    pub name: [c_char; 72],
    /// The name of its user, or the uid as text.
    pub user: [c_char; 40],
    /// The parent's name.
    pub parent_name: [c_char; 72],
}

/// Who owns a process, as `/proc` tells now: for the pids in the records of a background sampler. `IGPU_STATUS_NO_DATA`
/// where there is no such process. A user whom only a server knows is a number until a snapshot was made.
///
/// Blocks: reads `/proc`. Allocates. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_process_get_info(pid: u32, info: *mut igpu_process_info) -> igpu_status {
    guarded(|| {
        let mut found = ProcessInfo::default();
        ProcReader::new().read_process(pid, &mut found);
        if found == ProcessInfo::default() {
            return Err(Failure::Status(igpu_status::NoData, "there is no such process, or /proc does not tell of it"));
        }
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(info, &igpu_process_info::new(&found)) }
    })
}

impl igpu_gpu_process_info {
    pub(crate) fn new(process: &GpuProcessInfo) -> Self {
        Self {
            size: 0,
            pid: process.pid,
            kind: match process.kind {
                ProcessKind::Compute => igpu_process_kind::Compute,
                ProcessKind::Graphics => igpu_process_kind::Graphics,
                ProcessKind::Mps => igpu_process_kind::Mps,
            },
            memory_mib: number(process.gpu_memory.map(|mib| mib as f64)),
            create_time_s: number(process.create_time),
            parent_pid: process.parent_pid.unwrap_or(IGPU_UNKNOWN_U32),
            gpu_instance: process.gpu_instance_id.unwrap_or(IGPU_UNKNOWN_U32),
            compute_instance: process.compute_instance_id.unwrap_or(IGPU_UNKNOWN_U32),
            reserved: 0,
            name: text(process.name.as_deref()),
            user: text(process.user.as_deref()),
            parent_name: text(process.parent_name.as_deref()),
        }
    }
}

impl igpu_process_info {
    pub(crate) fn new(owner: &ProcessInfo) -> Self {
        Self {
            size: 0,
            uid: owner.uid.unwrap_or(IGPU_UNKNOWN_U32),
            parent_pid: owner.parent_pid.unwrap_or(IGPU_UNKNOWN_U32),
            create_time_s: number(owner.create_time),
            name: text(owner.name.as_deref()),
            user: text(owner.user.as_deref()),
            parent_name: text(owner.parent_name.as_deref()),
        }
    }
}
