use std::ffi::c_char;

use igpu::{
    GpuProcessInfo, ProcessKind,
    process::{ProcReader, ProcessInfo},
};

use crate::{
    driver::IGPU_UNKNOWN_U32, error::no_data, gpu::number, guard::guarded, status::igpu_status, text::text,
    versioned_struct,
};

/// The kind of work that a process does on a GPU. A process that does two kinds of work is in the process list twice.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_process_kind {
    /// Compute work.
    Compute = 0,
    /// Graphics work.
    Graphics = 1,
    /// Compute work through the Multi-Process Service (MPS).
    Mps = 2,
}

/// A process on a GPU, with its owner and parent from `/proc`. A missing value is NaN, `IGPU_UNKNOWN_U32`, or an empty
/// string.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_gpu_process_info {
    /// `sizeof(igpu_gpu_process_info)`
    pub size: usize,
    /// The process ID, as the driver reports it.
    pub pid: u32,
    /// The kind of work.
    pub kind: igpu_process_kind,
    /// The device memory that the process uses, in whole MiB.
    pub memory_mib: f64,
    /// The start time of the process, in seconds since the Unix epoch.
    pub create_time_s: f64,
    /// The process ID of the parent.
    pub parent_pid: u32,
    /// The ID of the MIG GPU instance that the process runs in.
    pub gpu_instance: u32,
    /// The ID of the MIG compute instance that the process runs in.
    pub compute_instance: u32,
    /// Always 0.
    pub reserved: u32,
    /// The name of the process.
    pub name: [c_char; 72],
    /// The name of the user who owns the process, or the user ID as text.
    pub user: [c_char; 40],
    /// The name of the parent process.
    pub parent_name: [c_char; 72],
}

/// The owner and the parent of a process, from `/proc`. A missing value is NaN, `IGPU_UNKNOWN_U32`, or an empty string.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_process_info {
    /// `sizeof(igpu_process_info)`
    pub size: usize,
    /// The ID of the user who owns the process.
    pub uid: u32,
    /// The process ID of the parent.
    pub parent_pid: u32,
    /// The start time of the process, in seconds since the Unix epoch.
    pub create_time_s: f64,
    /// The name of the process.
    pub name: [c_char; 72],
    /// The name of the user who owns the process, or the user ID as text.
    pub user: [c_char; 40],
    /// The name of the parent process.
    pub parent_name: [c_char; 72],
}

/// Reads the owner and the parent of a process from `/proc`. Use this function for the process IDs in the records of a
/// background sampler. Returns `IGPU_STATUS_NO_DATA` if no process has this ID. If `/etc/passwd` does not contain the
/// user, the name of the user is the user ID until a snapshot has looked up the name.
///
/// Reads `/proc`, which may block. Allocates. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_process_get_info(pid: u32, info: *mut igpu_process_info) -> igpu_status {
    guarded(|| {
        let mut found = ProcessInfo::default();
        ProcReader::new().read_process(pid, &mut found);
        if found == ProcessInfo::default() {
            return Err(no_data("no process has this ID, or /proc does not contain the process", ""));
        }
        // SAFETY: the caller's struct starts with its size.
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
    pub(crate) fn new(info: &ProcessInfo) -> Self {
        Self {
            size: 0,
            uid: info.uid.unwrap_or(IGPU_UNKNOWN_U32),
            parent_pid: info.parent_pid.unwrap_or(IGPU_UNKNOWN_U32),
            create_time_s: number(info.create_time),
            name: text(info.name.as_deref()),
            user: text(info.user.as_deref()),
            parent_name: text(info.parent_name.as_deref()),
        }
    }
}
