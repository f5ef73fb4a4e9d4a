//! A process-wide cache of user names by uid.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, TryLockError};

use arrayvec::{ArrayString, ArrayVec};
use nix::errno::Errno;
use nix::unistd::{Uid, User};

use super::io::RawFile;
use super::parse;
use crate::text::from_utf8_lossy;

type UserName = ArrayString<32>;

/// The maximum number of cached uids. It exceeds the number of users that run GPU processes on one machine.
const MAX_USERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq)]
enum UserLookup {
    Known(UserName),
    /// The uid is not in `/etc/passwd`, and [`resolve_users`] has not looked it up yet.
    Unresolved,
    /// The uid is not in the user database.
    NotFound,
}

struct UserCache {
    slots: ArrayVec<(u32, UserLookup), MAX_USERS>,
    /// The index at which the search for a slot to evict starts.
    next_victim: usize,
}

static CACHE: Mutex<UserCache> = Mutex::new(UserCache { slots: ArrayVec::new_const(), next_victim: 0 });

impl UserCache {
    fn find(&self, uid: u32) -> Option<UserLookup> {
        self.slots.iter().find(|slot| slot.0 == uid).map(|slot| slot.1)
    }

    fn set(&mut self, uid: u32, lookup: UserLookup) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.0 == uid) {
            slot.1 = lookup;
        } else if self.slots.try_push((uid, lookup)).is_err() {
            self.evict_for(uid, lookup);
        }
    }

    /// Replaces the next slot that may be evicted. A name is replaced only by another name, so uids without a name
    /// cannot evict names.
    fn evict_for(&mut self, uid: u32, lookup: UserLookup) {
        for _ in 0..MAX_USERS {
            let position = self.next_victim;
            self.next_victim = (position + 1) % MAX_USERS;
            let Some(slot) = self.slots.get_mut(position) else { return };
            if matches!(lookup, UserLookup::Known(_)) || !matches!(slot.1, UserLookup::Known(_)) {
                *slot = (uid, lookup);
                return;
            }
        }
    }
}

/// Locks the cache without waiting. In the child of a fork, the lock may belong to a thread that exists only in the
/// parent, and is then never released.
fn try_lock() -> Option<MutexGuard<'static, UserCache>> {
    match CACHE.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Returns the name of `uid`, or the uid as decimal text if no name is known. Does not allocate or block.
pub(super) fn user_name(uid: u32) -> UserName {
    match try_lock().and_then(|cache| cache.find(uid)) {
        Some(UserLookup::Known(name)) => name,
        Some(_) => decimal(uid),
        None => {
            let found = find_in_passwd(c"/etc/passwd", uid);
            if let Some(mut cache) = try_lock() {
                cache.set(uid, found.map_or(UserLookup::Unresolved, UserLookup::Known));
            }
            found.unwrap_or_else(|| decimal(uid))
        }
    }
}

/// Returns the name in the first entry with this uid, which is also the entry that the C library returns.
fn find_in_passwd(path: &CStr, uid: u32) -> Option<UserName> {
    let file = RawFile::open(path)?;
    let mut found = None;
    file.for_each_line(|line| {
        found = parse::passwd(line).filter(|entry| entry.1 == uid).map(|entry| from_utf8_lossy(entry.0));
        found.is_some()
    });
    found
}

fn decimal(uid: u32) -> UserName {
    let mut text = UserName::new();
    // Cannot fail, because a uid has at most ten digits.
    let _ = write!(text, "{uid}");
    text
}

/// Looks up the names of users that are not in `/etc/passwd`, in the system's user database (NSS: LDAP, SSSD, systemd,
/// and others). Returns `true` if at least one name was found.
///
/// Reading a process never queries the user database, because a query loads libraries, allocates, and can block for
/// seconds if a server is not reachable. Instead, [`ProcReader::read_process`](super::ProcReader::read_process)
/// searches `/etc/passwd`, and returns the uid as text if the uid is not found there. This function looks up the uids
/// that were not found since the last call. Call it outside the sampling path, for example after the first update and
/// occasionally after that.
///
/// Results are cached until the process ends, for at most 64 uids. This includes the result that a user does not exist:
/// an unknown uid, for example from a container, is looked up once and cannot evict a name from the cache. If a lookup
/// fails for another reason, for example because a server is not reachable, the next call tries it again.
/// [`clear_user_cache`] removes all results.
///
/// # Examples
/// ```
/// use igpu::process::{ProcReader, ProcessInfo, resolve_users};
///
/// let mut reader = ProcReader::new();
/// let mut info = ProcessInfo::default();
/// reader.read_process(std::process::id(), &mut info);
/// if resolve_users() {
///     // Reads the name that was found.
///     reader.read_process(std::process::id(), &mut info);
/// }
/// println!("{:?}", info.user);
/// ```
pub fn resolve_users() -> bool {
    let mut unresolved: ArrayVec<u32, MAX_USERS> = ArrayVec::new();
    // Threads hold the lock only for nanoseconds. If the lock is not released (see `try_lock`), no names are looked up.
    let Some(guard) = lock_with_retry() else { return false };
    unresolved.extend(guard.slots.iter().filter(|slot| slot.1 == UserLookup::Unresolved).map(|slot| slot.0));
    // The lock must not be held during a query, because a sampling thread could not use the cache in the meantime.
    drop(guard);
    let mut any_resolved = false;
    for uid in unresolved {
        let lookup = query_user_database(uid);
        any_resolved |= matches!(lookup, Some(UserLookup::Known(_)));
        if let (Some(lookup), Some(mut cache)) = (lookup, lock_with_retry()) {
            cache.set(uid, lookup);
        }
    }
    any_resolved
}

/// Removes all cached user names and all results that a user does not exist. Users that were added or renamed are then
/// looked up again.
pub fn clear_user_cache() {
    if let Some(mut cache) = lock_with_retry() {
        cache.slots.clear();
        cache.next_victim = 0;
    }
}

/// The time between two attempts to lock the cache.
const LOCK_RETRY_INTERVAL: std::time::Duration = std::time::Duration::from_micros(10);
/// The maximum number of attempts to lock the cache. They take 10 ms, which is far longer than any thread holds the
/// lock.
const MAX_LOCK_ATTEMPTS: u32 = 1000;

/// Locks the cache. Returns `None` if the lock is not released in time, as in the child of a fork (see `try_lock`).
fn lock_with_retry() -> Option<MutexGuard<'static, UserCache>> {
    for _ in 0..MAX_LOCK_ATTEMPTS {
        if let Some(guard) = try_lock() {
            return Some(guard);
        }
        std::thread::sleep(LOCK_RETRY_INTERVAL);
    }
    None
}

/// Looks up `uid` with `getpwuid_r`. Returns `None` if the lookup failed for a reason other than a missing user.
fn query_user_database(uid: u32) -> Option<UserLookup> {
    loop {
        return match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => Some(UserLookup::Known(from_utf8_lossy(user.name.as_bytes()))),
            // C libraries report a missing user by success or by one of these error codes (see getpwuid_r(3)).
            Ok(None) | Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Some(UserLookup::NotFound),
            Err(Errno::EINTR) => continue,
            Err(_) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks up `uid` in a file with this content.
    fn find_in(name: &str, content: &[u8], uid: u32) -> Option<UserName> {
        let path = std::env::temp_dir().join(format!("igpu-passwd-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        let found = find_in_passwd(&c_path, uid);
        std::fs::remove_file(path).unwrap();
        found
    }

    #[test]
    fn passwd_lines_are_parsed() {
        let content =
            b"# 7:x:7\n+nis:x:7:7\n\nbroken\nroot:x:0:0:root:/root:/bin/sh\n  ann:x:7:7::/:\nbob:x:7:7::/:\nlast:x:9:9";
        assert_eq!(find_in("few", content, 0).unwrap().as_str(), "root");
        assert_eq!(find_in("few7", content, 7).unwrap().as_str(), "ann");
        assert_eq!(find_in("few9", content, 9).unwrap().as_str(), "last");
        assert_eq!(find_in("few8", content, 8), None);
        assert_eq!(find_in("empty", b"", 0), None);
        assert_eq!(find_in_passwd(c"/nonexistent/passwd", 0), None);
        let long = format!("{}\u{e9}:x:5:5::/:\n", "n".repeat(31));
        assert_eq!(find_in("long", long.as_bytes(), 5).unwrap().as_str(), "n".repeat(31));
    }

    #[test]
    fn huge_passwd_file_is_read() {
        // The lines have up to 9000 bytes, so they start at many different offsets of the read buffer.
        let mut content = String::new();
        for uid in 0..1000 {
            content += &format!("u{uid}:x:{uid}:0:{}:/:\n", "c".repeat(uid * 9));
        }
        content += "end:x:70000:0::/:";
        assert!(content.len() > 4_000_000);
        for uid in [0, 1, 455, 456, 457, 500, 999] {
            assert_eq!(find_in("huge", content.as_bytes(), uid).unwrap().as_str(), format!("u{uid}"));
        }
        assert_eq!(find_in("huge", content.as_bytes(), 70000).unwrap().as_str(), "end");
        // The remainder of a long line must not be treated as a line.
        let tricky = format!("a:x:1:1:{}\nz:x:3:3::/:\n", "c:x:2:2:".repeat(2000));
        assert_eq!(find_in("tricky", tricky.as_bytes(), 2), None);
        assert_eq!(find_in("tricky", tricky.as_bytes(), 3).unwrap().as_str(), "z");
    }

    #[test]
    fn unknown_uids_do_not_evict_names() {
        let mut cache = UserCache { slots: ArrayVec::new(), next_victim: 0 };
        for uid in 0..10 {
            cache.set(uid, UserLookup::Known(decimal(uid)));
        }
        for uid in 1000..2000 {
            cache.set(uid, UserLookup::Unresolved);
        }
        for uid in 0..10 {
            assert_eq!(cache.find(uid), Some(UserLookup::Known(decimal(uid))));
        }
        assert_eq!(cache.find(1999), Some(UserLookup::Unresolved));
        assert_eq!(cache.find(1000), None);
        for uid in 100..200 {
            cache.set(uid, UserLookup::Known(decimal(uid)));
        }
        assert_eq!(cache.find(199), Some(UserLookup::Known(decimal(199))));
        cache.set(3000, UserLookup::NotFound);
        assert_eq!(cache.find(3000), None, "all slots hold names");
        cache.set(199, UserLookup::NotFound);
        assert_eq!(cache.find(199), Some(UserLookup::NotFound));
        assert_eq!(cache.slots.len(), MAX_USERS);
    }

    /// The only test that uses the process-wide cache.
    #[test]
    fn unresolved_uid_is_number() {
        // No user has this uid: it is -3, next to the reserved uids -2 and -1.
        let uid = u32::MAX - 2;
        assert_eq!(user_name(uid).as_str(), "4294967293");
        assert_eq!(CACHE.lock().unwrap().find(uid), Some(UserLookup::Unresolved));
        resolve_users();
        // The lookup may also have failed, for example because a server is not reachable.
        assert_ne!(CACHE.lock().unwrap().find(uid), None);
        assert_eq!(user_name(uid).as_str(), "4294967293");
        if let Some(name) = find_in_passwd(c"/etc/passwd", 0) {
            assert_eq!(user_name(0), name);
            assert_eq!(query_user_database(0), Some(UserLookup::Known(name)));
            CACHE.lock().unwrap().set(0, UserLookup::Unresolved);
            assert_eq!(user_name(0).as_str(), "0", "cached results take precedence over /etc/passwd");
            resolve_users();
            assert_eq!(user_name(0), name);
        }
        let guard = CACHE.lock().unwrap();
        assert_eq!(user_name(uid).as_str(), "4294967293", "a locked cache is not waited for");
        resolve_users();
        drop(guard);
        clear_user_cache();
        assert_eq!(CACHE.lock().unwrap().find(uid), None);
    }
}
