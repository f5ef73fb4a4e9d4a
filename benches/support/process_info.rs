//! Who owns a process: igpu's reader, against the procfs crate reading the same facts; and igpu's cache of owners,
//! against a hash map for those that are known.

use super::case::{Case, Timed, timed, timed_as};
use igpu::process::{ProcReader, ProcessInfo, ProcessInfoCache};
use nix::unistd::{Uid, User};
use procfs::process::Process;
use procfs::{boot_time_secs, ticks_per_second};
use std::collections::HashMap;

/// A name, a user, the parent's pid and name, and the start.
type ProcessFields = (String, String, u32, String, f64);

/// As many processes as there are on a busy GPU.
const PROCESSES: u32 = 16;
/// A pid above what Linux gives.
const NONEXISTENT_PID: u32 = 4_200_000;

/// The owner of this process. The procfs crate stands where the bare call stands in the other cases.
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

/// The pids of a round, far apart.
fn pids() -> impl Iterator<Item = u32> {
    (0..PROCESSES).map(|number| NONEXISTENT_PID + number * 977)
}

/// A cache, and a map, of owners that stay.
fn filled_cache() -> (ProcessInfoCache, HashMap<u32, ProcessInfo>) {
    let mut cache = ProcessInfoCache::with_capacity(256);
    cache.begin_round();
    pids().for_each(|pid| drop(cache.process_info(pid).clone()));
    cache.end_round();
    cache.begin_round();
    (cache, pids().map(|pid| (pid, ProcessInfo::default())).collect())
}

/// One process that stays, another one in each call.
fn cache_hit() -> Case {
    let (mut cache, map) = filled_cache();
    let mut turn = pids().collect::<Vec<u32>>().into_iter().cycle();
    let ours = timed(move || cache.process_info(turn.next().unwrap()).uid);
    let mut turn = pids().collect::<Vec<u32>>().into_iter().cycle();
    let raw = timed(move || map[&turn.next().unwrap()].uid);
    Case::new("ProcessInfoCache, hit (raw: HashMap)", ours, raw)
}

/// All processes of a round, with its beginning and end.
fn cache_hits() -> Case {
    let (mut cache, map) = filled_cache();
    let ours = timed(move || {
        cache.begin_round();
        let named = pids().filter(|pid| cache.process_info(*pid).uid.is_some()).count();
        cache.end_round();
        named
    });
    let raw = timed(move || pids().filter(|pid| map[pid].uid.is_some()).count());
    Case::new("ProcessInfoCache, 16 hits (raw: HashMap)", ours, raw)
}

/// A process that is new in each round.
fn cache_miss(pid: u32) -> Timed {
    let mut cache = ProcessInfoCache::with_capacity(256);
    let call = move || {
        cache.begin_round();
        cache.end_round();
        cache.begin_round();
        let owner = cache.process_info(pid).clone();
        cache.end_round();
        owner
    };
    timed_as(call, comparable)
}

/// A process that the driver still lists and the system does not.
fn cache_exited() -> Timed {
    let mut cache = ProcessInfoCache::with_capacity(256);
    timed(move || {
        cache.begin_round();
        cache.end_round();
        cache.begin_round();
        let known = cache.process_info(NONEXISTENT_PID).uid.is_some();
        cache.end_round();
        known
    })
}

fn igpu_reader(pid: u32) -> Timed {
    let (mut reader, mut owner) = (ProcReader::new(), ProcessInfo::default());
    // The name that procfs's side asks the system for must be known here too.
    reader.read_process(pid, &mut owner);
    igpu::process::resolve_users();
    let call = move || {
        reader.read_process(pid, &mut owner);
        owner.clone()
    };
    timed_as(call, comparable)
}

/// An owner as both sides show it.
fn comparable(owner: ProcessInfo) -> String {
    let text = |text: Option<&str>| text.unwrap().to_owned();
    let (name, user) = (text(owner.name.as_deref()), text(owner.user.as_deref()));
    let parent = text(owner.parent_name.as_deref());
    let facts: ProcessFields = (name, user, owner.parent_pid.unwrap(), parent, owner.create_time.unwrap());
    format!("{facts:?}")
}

fn procfs_reader(pid: u32) -> Timed {
    // Both sides read the boot time once, not for every process.
    let boot = boot_time_secs().unwrap() as f64;
    let call = move || -> ProcessFields {
        let process = Process::new(pid as i32).unwrap();
        let stat = process.stat().unwrap();
        let user = user_name(process.status().unwrap().ruid);
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
    User::from_uid(Uid::from_raw(uid)).unwrap().map_or(uid.to_string(), |user| user.name)
}
