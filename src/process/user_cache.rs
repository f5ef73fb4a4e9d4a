//! Names of users by uid: one cache for the whole process.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, TryLockError};

use arrayvec::{ArrayString, ArrayVec};
use nix::errno::Errno;
use nix::unistd::{Uid, User};

use super::io::RawFile;
use super::parse;
use crate::text::lossy;

type UserName = ArrayString<32>;

/// How many uids are remembered: more than run GPU processes on one machine.
const MAX_USERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq)]
enum UserLookup {
    Known(UserName),
    /// Not in `/etc/passwd`; [`resolve_users`] has not asked for it yet.
    Unresolved,
    /// Nobody knows this uid.
    NotFound,
}

struct UserCache {
    slots: ArrayVec<(u32, UserLookup), MAX_USERS>,
    /// The slot to give up next when all are taken.
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

    /// Gives up the next slot in turn. One with a name only for another name: whoever makes up uids cannot push out the
    /// names in use.
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

/// The cache, unless somebody else is at it. Never waits: the thread that holds the lock may have stayed behind in the
/// parent of a fork, and then nobody ever gives it back.
fn try_lock() -> Option<MutexGuard<'static, UserCache>> {
    match CACHE.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The name of `uid`, or the number as text while none is known. Does not allocate and does not wait.
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

/// The first entry with this uid, as the C library takes it.
fn find_in_passwd(path: &CStr, uid: u32) -> Option<UserName> {
    let file = RawFile::open(path)?;
    let mut found = None;
    file.for_each_line(|line| {
        found = parse::passwd(line).filter(|entry| entry.1 == uid).map(|entry| lossy(entry.0));
        found.is_some()
    });
    found
}

fn decimal(uid: u32) -> UserName {
    let mut text = UserName::new();
    // Ten digits fit.
    let _ = write!(text, "{uid}");
    text
}

/// Asks the system's user database (NSS: LDAP, SSSD, systemd and so on) for the uids seen so far that are not in
/// `/etc/passwd`, so that the next update shows names for them.
///
/// Updates themselves never ask it: a lookup there loads libraries, allocates, and waits for the network, seconds when a
/// server is away. They read `/etc/passwd`, show the number of a uid that is not in it, and note the uid. Call this when
/// waiting does no harm: once after the first update, and now and then after. It may allocate and block.
///
/// Answers are kept for the life of the process, for 64 uids, "no such user" too: many uids that nobody knows, made up
/// by a container or on purpose, cost one look each, and cannot push out the names in use. [`clear_user_cache`] drops all
/// answers. A lookup that fails for another reason (server away) stays open and is tried at the next call.
///
/// Gives whether a uid got a name by it.
pub fn resolve_users() -> bool {
    let mut open: ArrayVec<u32, MAX_USERS> = ArrayVec::new();
    // Whoever holds the lock does so for nanoseconds; if not (see `try_lock`), the uids stay numbers.
    let Some(guard) = lock_with_retry() else { return false };
    open.extend(guard.slots.iter().filter(|slot| slot.1 == UserLookup::Unresolved).map(|slot| slot.0));
    // Not held while asking: a sampling thread would find it taken for as long as a server takes to answer.
    drop(guard);
    let mut named = false;
    for uid in open {
        let lookup = query_user_database(uid);
        named |= matches!(lookup, Some(UserLookup::Known(_)));
        if let (Some(lookup), Some(mut cache)) = (lookup, lock_with_retry()) {
            cache.set(uid, lookup);
        }
    }
    named
}

/// Drops all remembered names and "no such user" answers, so that users added or renamed since are seen.
pub fn clear_user_cache() {
    if let Some(mut cache) = lock_with_retry() {
        cache.slots.clear();
        cache.next_victim = 0;
    }
}

fn lock_with_retry() -> Option<MutexGuard<'static, UserCache>> {
    for _ in 0..1000 {
        if let Some(guard) = try_lock() {
            return Some(guard);
        }
        std::thread::sleep(std::time::Duration::from_micros(10));
    }
    None
}

/// Looks up `uid` with getpwuid_r. `None` if the C library could not determine it.
fn query_user_database(uid: u32) -> Option<UserLookup> {
    loop {
        return match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => Some(UserLookup::Known(lossy(user.name.as_bytes()))),
            // Error codes by which C libraries report "no such user", besides success (see getpwuid_r(3)).
            Ok(None) | Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Some(UserLookup::NotFound),
            Err(Errno::EINTR) => continue,
            Err(_) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks `uid` up in a file with this content.
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
        // Lines of 1 to 9000 bytes, so that they begin everywhere in the pieces read.
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
        // The continuation of a long line is not a line.
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

    /// The one test of the cache that the process shares.
    #[test]
    fn unresolved_uid_is_number() {
        // No user database hands out this one: it is -3, and -2 and -1 are reserved.
        let uid = u32::MAX - 2;
        assert_eq!(user_name(uid).as_str(), "4294967293");
        assert_eq!(CACHE.lock().unwrap().find(uid), Some(UserLookup::Unresolved));
        resolve_users();
        // It may also be that a server could not be asked.
        assert_ne!(CACHE.lock().unwrap().find(uid), None);
        assert_eq!(user_name(uid).as_str(), "4294967293");
        if let Some(name) = find_in_passwd(c"/etc/passwd", 0) {
            assert_eq!(user_name(0), name);
            assert_eq!(query_user_database(0), Some(UserLookup::Known(name)));
            CACHE.lock().unwrap().set(0, UserLookup::Unresolved);
            assert_eq!(user_name(0).as_str(), "0", "a known answer saves the look into the file");
            resolve_users();
            assert_eq!(user_name(0), name);
        }
        let held = CACHE.lock().unwrap();
        assert_eq!(user_name(uid).as_str(), "4294967293", "a lock held by somebody else is not waited for");
        resolve_users();
        drop(held);
        clear_user_cache();
        assert_eq!(CACHE.lock().unwrap().find(uid), None);
    }
}
