//! Who owns a process: igpu's reader, against the procfs crate reading the same facts.

use super::case::{Case, Timed, timed_as};
use igpu::process::{Owner, ProcReader};
use procfs::process::Process;
use procfs::{boot_time_secs, ticks_per_second};
use std::ffi::{CStr, c_char};

/// A name, a user, the parent's pid and name, and the start.
type Facts = (String, String, u32, String, f64);

/// The owner of this process. The procfs crate stands where the bare call stands in the other cases.
pub fn cases() -> Vec<Case> {
    let pid = std::process::id();
    vec![Case::new("ProcReader::owner (raw: procfs)", ours(pid), theirs(pid))]
}

fn ours(pid: u32) -> Timed {
    let (mut reader, mut owner) = (ProcReader::new(), Owner::default());
    // The name that procfs's side asks the system for must be known here too.
    reader.owner(pid, &mut owner);
    igpu::process::resolve_users();
    let show = |owner: Owner| -> String {
        let text = |text: Option<&str>| text.unwrap().to_owned();
        let (name, user) = (text(owner.name.as_deref()), text(owner.user.as_deref()));
        let parent = text(owner.parent_name.as_deref());
        let facts: Facts = (name, user, owner.parent_pid.unwrap(), parent, owner.create_time.unwrap());
        format!("{facts:?}")
    };
    let call = move || {
        reader.owner(pid, &mut owner);
        owner.clone()
    };
    timed_as(call, show)
}

fn theirs(pid: u32) -> Timed {
    // Neither side reads the boot time for every process. Not before it is wanted: procfs crashes under valgrind.
    let mut boot = None;
    let call = move || -> Facts {
        let process = Process::new(pid as i32).unwrap();
        let stat = process.stat().unwrap();
        let user = user_name(process.status().unwrap().ruid);
        let boot = *boot.get_or_insert_with(|| boot_time_secs().unwrap() as f64);
        let create_time = stat.starttime as f64 / ticks_per_second() as f64 + boot;
        let parent = Process::new(stat.ppid).unwrap();
        let parent_name = name(&parent, parent.stat().unwrap().comm);
        (name(&process, stat.comm), user, stat.ppid as u32, parent_name, create_time)
    };
    timed_as(call, |facts| format!("{facts:?}"))
}

/// The kernel's name, or the whole one where the kernel has cut it.
fn name(process: &Process, comm: String) -> String {
    if comm.len() < 15 {
        return comm;
    }
    let command = process.cmdline().unwrap();
    let whole = command.first().and_then(|program| program.rsplit('/').next()).filter(|name| name.starts_with(&comm));
    whole.map_or(comm.clone(), str::to_owned)
}

/// The user's name as the C library knows it.
fn user_name(uid: u32) -> String {
    let mut buffer = [0 as c_char; 2048];
    let mut found = std::ptr::null_mut();
    let mut entry = std::mem::MaybeUninit::uninit();
    // SAFETY: the entry, the buffer with its length and the result are all live.
    unsafe { libc::getpwuid_r(uid, entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut found) };
    if found.is_null() {
        return uid.to_string();
    }
    // SAFETY: it was found: the entry is filled and its name is a C string in the buffer.
    unsafe { CStr::from_ptr((*found).pw_name) }.to_string_lossy().into_owned()
}
