//! Property tests of the parsers and of process names.

use igpu::process::{ProcessInfo, parse};
use procfs::FromRead as _;
use procfs::process::Stat;
use proptest::prelude::*;

use crate::support::{FakeProc, chars, psutil_argv0, psutil_name};

fn one_of(pieces: &[&'static [u8]]) -> impl Strategy<Value = &'static [u8]> + use<> {
    prop::sample::select(pieces.to_vec())
}

/// Generates names that resemble the other fields of the line.
fn ambiguous_name() -> impl Strategy<Value = String> {
    prop_oneof!["[() SZ0-9\n\t]{0,16}", "\\) [RSZ] [0-9]{1,3} .{0,8}", "[^\u{0}]{0,16}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stat_matches_procfs_crate(
        comm in ambiguous_name(),
        state in prop::sample::select(vec!['R', 'S', 'D', 'Z', 'T', 't', 'X', 'I']),
        ppid in 0..i32::MAX,
        start in any::<u64>(),
    ) {
        let line = format!("42 ({comm}) {state} {ppid} 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start} 99 100 \
            18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
        let ours = parse::stat(line.as_bytes()).unwrap();
        let theirs = Stat::from_read(line.as_bytes()).unwrap();
        prop_assert_eq!(ours.comm, theirs.comm.as_bytes());
        prop_assert_eq!(ours.state, theirs.state as u8);
        prop_assert_eq!(ours.ppid, theirs.ppid as u32);
        prop_assert_eq!(ours.start_time_ticks, theirs.starttime);
        // A truncated line is rejected, or contains all fields that are read.
        for end in 0..line.len() {
            if let Some(cut) = parse::stat(&line.as_bytes()[..end]) {
                prop_assert!(cut.comm.len() <= ours.comm.len());
            }
        }
    }

    #[test]
    fn parsers_do_not_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse::stat(&data);
        let _ = parse::real_uid(&data);
        let _ = parse::passwd(&data);
        let mut argv0 = parse::Argv0::default();
        argv0.feed(&data);
        prop_assert_eq!(argv0.finish(true).is_none(), data.is_empty());
        let _ = argv0.finish(false);
    }

    #[test]
    fn status_has_real_uid(name in "[^\u{0}\n]{0,16}", uid in any::<u32>(), rest in any::<[u32; 3]>()) {
        let [effective, saved, fs] = rest;
        let text = format!("Name:\t{name}\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t0\n\
            TracerPid:\t0\nUid:\t{uid}\t{effective}\t{saved}\t{fs}\nGid:\t9\t9\t9\t9\n");
        prop_assert_eq!(parse::real_uid(text.as_bytes()), Some(uid));
    }

    #[test]
    fn passwd_line_is_parsed(name in "[a-z_][a-z0-9_.$-]{0,40}", uid in any::<u32>(), gecos in "[^:\n]{0,20}") {
        let line = format!("{name}:x:{uid}:{uid}:{gecos}:/home/{name}:/bin/sh");
        prop_assert_eq!(parse::passwd(line.as_bytes()), Some((name.as_bytes(), uid)));
    }

    #[test]
    fn argv0_is_read_in_chunks(
        data in prop::collection::vec(prop_oneof![Just(0_u8), Just(b' '), Just(b'/'), Just(b'a'), any::<u8>()], 0..300),
        cut in 1_usize..50,
    ) {
        let mut argv0 = parse::Argv0::default();
        data.chunks(cut).for_each(|piece| argv0.feed(piece));
        let expected = psutil_argv0(&data).map(|name| name[..name.len().min(80)].to_vec());
        prop_assert_eq!(argv0.finish(true).map(<[u8]>::to_vec), expected);
    }

    #[test]
    fn process_names_match_psutil(
        comm in prop_oneof![
            Just(b"a-name-of-15-ch".to_vec()),
            Just("é-name-of-15-ch".as_bytes().to_vec()),
            Just(b"a-name-of-15-c\xc3".to_vec()),
            prop::collection::vec(1_u8..=255, 0..20),
        ],
        directory in one_of(&[b"", b"/usr/bin/", b"a b/", b"//"]),
        extra in one_of(&[b"", b"\xa9", b"-and-more", b" x", b"\0x\0", b"/", b"\r\xff"]),
        end in one_of(&[b"\0", b"", b" ", b"\0--arg\0", b" --arg\0", b"\0--arg"]),
    ) {
        let cmdline = [directory, &comm, extra, end].concat();
        let tree = FakeProc::new("names");
        tree.write("5/stat", &[b"5 (", comm.as_slice(), b") S 0 1 1 0 -1 1 1 2 3 4 5 6 7 8 20 0 1 0 77 1\n"].concat());
        tree.write("5/cmdline", &cmdline);
        let mut found = ProcessInfo::default();
        tree.reader().read_process(5, &mut found);
        let expected = psutil_name(&comm, &cmdline, 64);
        let name = found.name.unwrap();
        prop_assert_eq!(name.as_str(), expected.as_str());
        prop_assert!(chars(&comm).len() >= 15 || name.chars().count() == chars(&comm).len());
    }
}
