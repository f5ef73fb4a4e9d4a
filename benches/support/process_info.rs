//! Reads of process information, compared with the procfs crate, and lookups in the cache, compared with a hash map.

use super::case::{Case, Timed, timed, timed_as};
use igpu::process::{ProcReader, ProcessInfo, ProcessInfoCache};
use nix::unistd::{Uid, User};
use procfs::process::Process;
use procfs::{boot_time_secs, ticks_per_second};
use std::collections::HashMap;

/// The name, the user, the PID and the name of the parent, and the creation time.
type ProcessFields = (String, String, u32, String, f64);

/// The number of processes on a busy GPU.
const PROCESS_COUNT: u32 = 16;
/// A PID above the maximum of Linux, which is 4,194,304.
const NONEXISTENT_PID: u32 = 4_200_000;

/// Returns the cases. Their names state what replaces the direct driver call.
pub(crate) fn cases() -> Vec<Case> {
    let pid = std::process::id();
    vec![
        Case::new("ProcReader::read_process (raw: procfs)", igpu_reader(pid), procfs_reader(pid)),
        cache_hit(),
        cache_hits(),
        Case::new("ProcessInfoCache, miss (raw: procfs)", cache_miss(pid), procfs_reader(pid)),
        Case::new(
            "ProcessInfoCache, exited (raw: procfs)",
            cache_exited(),
            timed(|| Process::new(NONEXISTENT_PID as i32).is_ok()),
        ),
    ]
}

/// Returns the PIDs of a round. They are not adjacent, as on a real system.
fn pids() -> impl Iterator<Item = u32> {
    (0..PROCESS_COUNT).map(|number| NONEXISTENT_PID + number * 977)
}

/// Returns a cache and a map with the same processes.
fn filled_cache() -> (ProcessInfoCache, HashMap<u32, ProcessInfo>) {
    let mut cache = ProcessInfoCache::with_capacity(256);
    cache.begin_round();
    pids().for_each(|pid| drop(cache.process_info(pid).clone()));
    cache.end_round();
    cache.begin_round();
    (cache, pids().map(|pid| (pid, ProcessInfo::default())).collect())
}

/// Looks up a known process, a different one in each call.
fn cache_hit() -> Case {
    let (mut cache, map) = filled_cache();
    let mut next_pid = pids().collect::<Vec<u32>>().into_iter().cycle();
    let igpu_call = timed(move || cache.process_info(next_pid.next().unwrap()).uid);
    let mut next_pid = pids().collect::<Vec<u32>>().into_iter().cycle();
    let raw = timed(move || map[&next_pid.next().unwrap()].uid);
    Case::new("ProcessInfoCache, hit (raw: HashMap)", igpu_call, raw)
}

/// Looks up all processes of a round, and begins and ends the round.
fn cache_hits() -> Case {
    let (mut cache, map) = filled_cache();
    let igpu_call = timed(move || {
        cache.begin_round();
        let found = pids().filter(|pid| cache.process_info(*pid).uid.is_some()).count();
        cache.end_round();
        found
    });
    let raw = timed(move || pids().filter(|pid| map[pid].uid.is_some()).count());
    Case::new("ProcessInfoCache, 16 hits (raw: HashMap)", igpu_call, raw)
}

/// Looks up a process that was not in the previous round.
fn cache_miss(pid: u32) -> Timed {
    let mut cache = ProcessInfoCache::with_capacity(256);
    let call = move || {
        cache.begin_round();
        cache.end_round();
        cache.begin_round();
        let info = cache.process_info(pid).clone();
        cache.end_round();
        info
    };
    timed_as(call, comparable)
}

/// Looks up a process that has exited and that the driver still lists.
fn cache_exited() -> Timed {
    let mut cache = ProcessInfoCache::with_capacity(256);
    timed(move || {
        cache.begin_round();
        cache.end_round();
        cache.begin_round();
        let is_known = cache.process_info(NONEXISTENT_PID).uid.is_some();
        cache.end_round();
        is_known
    })
}

fn igpu_reader(pid: u32) -> Timed {
    let (mut reader, mut info) = (ProcReader::new(), ProcessInfo::default());
    // The first read queues the user for the lookup of its name, because the procfs side includes the name.
    reader.read_process(pid, &mut info);
    igpu::process::resolve_users();
    let call = move || {
        reader.read_process(pid, &mut info);
        info.clone()
    };
    timed_as(call, comparable)
}

/// Returns the text by which the two sides are compared.
fn comparable(info: ProcessInfo) -> String {
    let text = |text: Option<&str>| text.unwrap().to_owned();
    let (name, user) = (text(info.name.as_deref()), text(info.user.as_deref()));
    let parent = text(info.parent_name.as_deref());
    let fields: ProcessFields = (name, user, info.parent_pid.unwrap(), parent, info.create_time.unwrap());
    format!("{fields:?}")
}

fn procfs_reader(pid: u32) -> Timed {
    // igpu also reads the boot time once, and not for every process.
    let boot_time = boot_time_secs().unwrap() as f64;
    let call = move || -> ProcessFields {
        let process = Process::new(pid as i32).unwrap();
        let stat = process.stat().unwrap();
        let user = user_name(process.status().unwrap().ruid);
        let create_time = stat.starttime as f64 / ticks_per_second() as f64 + boot_time;
        let parent = Process::new(stat.ppid).unwrap();
        let parent_name = name(&parent, parent.stat().unwrap().comm);
        (name(&process, stat.comm), user, stat.ppid as u32, parent_name, create_time)
    };
    timed_as(call, |fields| format!("{fields:?}"))
}

/// Returns the name of a process. The kernel truncates `comm` to 15 bytes; a truncated name is completed from the
/// command line.
fn name(process: &Process, comm: String) -> String {
    if comm.len() < 15 {
        return comm;
    }
    let command = process.cmdline().unwrap();
    let complete =
        command.first().and_then(|program| program.rsplit('/').next()).filter(|name| name.starts_with(&comm));
    complete.map_or(comm.clone(), str::to_owned)
}

/// Returns the name of a user from the C library, or the numeric ID if it has none.
fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).unwrap().map_or(uid.to_string(), |user| user.name)
}
