//! Tests of `CUDA_VISIBLE_DEVICES`: tables of cases, an independent parser for lists of indices, and properties.

use igpu::cuda_visible_devices::{GpuCandidate, MigCandidate, VisibleDevice, resolve};
use proptest::prelude::*;

const MIG: [MigCandidate<'static>; 3] = [
    MigCandidate { uuid: "MIG-1a", gpu_instance: 1, compute_instance: 0 },
    MigCandidate { uuid: "MIG-1b", gpu_instance: 2, compute_instance: 0 },
    // The form of UUIDs in drivers before R470.
    MigCandidate { uuid: "MIG-GPU-89ab0000/12/3", gpu_instance: 12, compute_instance: 3 },
];

const GPUS: [GpuCandidate<'static>; 4] = [
    GpuCandidate { uuid: "GPU-8932f937", mig: &[] },
    GpuCandidate { uuid: "GPU-89ab0000", mig: &MIG },
    GpuCandidate { uuid: "GPU-55ad1a1b", mig: &[] },
    GpuCandidate { uuid: "GPU-c0ffee00", mig: &[] },
];

fn indices(value: &[u8]) -> Vec<u32> {
    resolve(Some(value), &GPUS).iter().map(|device| device.index).collect()
}

#[test]
fn unset_selects_all() {
    let all = resolve(None, &GPUS);
    assert_eq!(all, [0, 1, 2, 3].map(|index| VisibleDevice { index, mig: None }));
    assert_eq!(resolve(None, &[]), []);
}

#[test]
fn gpu_lists_select_expected_gpus() {
    let cases: &[(&str, &[u32])] = &[
        // Cases that the CUDA C Programming Guide defines, or in which PyTorch and nvitop agree.
        ("", &[]),
        ("0", &[0]),
        ("2,0", &[2, 0]),
        ("3,2,1,0", &[3, 2, 1, 0]),
        ("0,2,-1,1", &[0, 2]),
        ("-1", &[]),
        ("1gpu2,2ampere", &[1, 2]),
        ("0,4", &[0]),
        ("4,0", &[]),
        ("0,1,0", &[]),
        ("0,0,99", &[]),
        ("0,,1", &[0]),
        (",0", &[]),
        ("0,", &[0]),
        ("0,two,1", &[0]),
        ("GPU-55", &[2]),
        ("GPU-55ad1a1b,GPU-8932", &[2, 0]),
        ("GPU-89", &[]),
        ("GPU-55,GPU-89,GPU-c0", &[2]),
        ("GPU-55,GPU-77,GPU-c0", &[2]),
        ("GPU-55ad1a1bff", &[]),
        ("GPU-55,GPU-55", &[]),
        ("0,GPU-55", &[0]),
        ("GPU-55,0", &[2]),
        ("GPU-55,MIG-1a", &[2]),
        ("0,MIG-1a", &[0]),
        // Cases that no documentation defines. src/cuda_visible_devices.rs explains the choices.
        ("0,99,0", &[0]),
        ("0,00", &[]),
        ("GPU-55,GPU-55ad", &[]),
        ("+1", &[1]),
        ("2, +3, -0, 5", &[2, 3, 0]),
        ("+-1", &[]),
        ("+", &[]),
        ("-", &[]),
        ("+ 1", &[]),
        ("0x1", &[0]),
        ("010", &[]),
        ("000000000000000000000000000000002", &[2]),
        ("4294967296", &[]),
        ("4294967297", &[]),
        ("18446744073709551617", &[]),
        ("-18446744073709551615", &[]),
        (" 0 , 1 ", &[0, 1]),
        ("\t1,\n\u{b}\u{c}\r2", &[1, 2]),
        (" ", &[]),
        (" GPU-55 , GPU-c0 ", &[2, 3]),
        ("gpu-55", &[]),
        ("GPU-55AD", &[]),
        ("GPU-", &[]),
        ("GPU", &[]),
        ("all", &[]),
        ("none", &[]),
        ("void", &[]),
        ("NoDevFiles", &[]),
        ("\u{ff11}", &[]),
        ("0;1", &[0]),
        ("1.5", &[1]),
    ];
    for (value, expected) in cases {
        assert_eq!(indices(value.as_bytes()), *expected, "CUDA_VISIBLE_DEVICES={value:?}");
    }
    assert_eq!(indices(b"1\xff,\xff"), [1]);
    let [first, ..] = GPUS;
    assert_eq!(resolve(Some(b"GPU-"), &[first]).len(), 1, "an empty prefix is unique among one");
    assert_eq!(resolve(Some(b"0"), &[]), []);
}

#[test]
fn mig_lists_select_first_instance() {
    let cases: &[(&str, Option<usize>)] = &[
        ("MIG-1a", Some(0)),
        ("MIG-1b,MIG-1a", Some(1)),
        ("MIG-1b,MIG-zz", Some(1)),
        ("MIG-1b,0", Some(1)),
        ("MIG-1b,GPU-55", Some(1)),
        (" MIG-1b ", Some(1)),
        ("MIG-GPU-89ab0000/1/0", Some(0)),
        ("MIG-GPU-89ab0000/2/0", Some(1)),
        ("MIG-GPU-89ab0000/12/3", Some(2)),
        ("MIG-GPU-89ab0000/012/03", Some(2)),
        ("MIG-GPU-89ab0000/1/0/", None),
        ("MIG-GPU-89ab0000/1/0x", None),
        ("MIG-GPU-89ab0000/+1/0", None),
        ("MIG-GPU-89ab0000/1/", None),
        ("MIG-GPU-89ab0000/1", None),
        ("MIG-GPU-89ab/1/0", None),
        ("MIG-GPU-8932f937/1/0", None),
        ("MIG-1", None),
        ("MIG-", None),
        ("mig-1a", None),
        ("MIG-1a,MIG-1a", None),
        ("MIG-1a,MIG-1b,MIG-1a", None),
        ("MIG-1a,MIG-GPU-89ab0000/1/0", None),
        ("MIG-zz,MIG-1a", None),
    ];
    for (value, expected) in cases {
        let expected: Vec<_> =
            expected.iter().map(|&position| VisibleDevice { index: 1, mig: Some(position) }).collect();
        assert_eq!(resolve(Some(value.as_bytes()), &GPUS), expected, "CUDA_VISIBLE_DEVICES={value:?}");
    }
    // An index or GPU UUID selects the GPU, also if MIG is enabled.
    for value in ["1", "GPU-89a"] {
        assert_eq!(resolve(Some(value.as_bytes()), &GPUS), [VisibleDevice { index: 1, mig: None }]);
    }
}

#[test]
fn ambiguous_uuids_select_nothing() {
    let broken = [MigCandidate { uuid: "", gpu_instance: 0, compute_instance: 0 }];
    let nameless = [GpuCandidate { uuid: "", mig: &broken }, GpuCandidate { uuid: "GPU-1", mig: &MIG }];
    for value in ["GPU-", "GPU-1"] {
        assert_eq!(resolve(Some(value.as_bytes()), &nameless), [VisibleDevice { index: 1, mig: None }]);
    }
    assert_eq!(resolve(Some(b"MIG-1a,"), &nameless), [VisibleDevice { index: 1, mig: Some(0) }]);
    let twins = [GpuCandidate { uuid: "GPU-1", mig: &MIG }; 2];
    assert_eq!(resolve(Some(b"GPU-1"), &twins), []);
    assert_eq!(resolve(Some(b"MIG-1a"), &twins), []);
    assert_eq!(resolve(Some(b"1"), &twins), [VisibleDevice { index: 1, mig: None }]);
}

/// Parses a list of indices in another way, with characters and wide integers.
fn reference_parser(value: &str, gpus: usize) -> Vec<u32> {
    let mut seen = Vec::new();
    for token in value.split(',') {
        let token = token.trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
        let (sign, rest) = match token.chars().next() {
            Some('-') => (-1, &token[1..]),
            Some('+') => (1, &token[1..]),
            _ => (1, token),
        };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let Ok(number) =
            digits.trim_start_matches('0').parse::<i128>().or(if digits.contains('0') { Ok(0) } else { Err(()) })
        else {
            break;
        };
        let number = number * sign;
        if !(0..gpus as i128).contains(&number) {
            break;
        }
        if seen.contains(&(number as u32)) {
            return Vec::new();
        }
        seen.push(number as u32);
    }
    seen
}

/// Generates lists of valid and invalid tokens of all kinds.
fn list() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        4 => "[ \t]?[+-]?0{0,2}[0-5]?[a-z ]{0,2}",
        4 => "[0-4]",
        1 => "[0-9]{1,25}",
        3 => prop::sample::select(vec!["GPU-89", "GPU-8932", "GPU-89ab", "GPU-55", "GPU-c", "GPU-", "GPU-x", "gpu-55"])
            .prop_map(String::from),
        3 => prop::sample::select(vec!["MIG-1a", "MIG-1b", "MIG-GPU-89ab0000/1/0", "MIG-GPU-89ab0000/12/3", "MIG-", "MIG-9"])
            .prop_map(String::from),
        1 => "\\PC{0,6}",
    ];
    prop::collection::vec(token, 0..6).prop_map(|tokens| tokens.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_select_existing_gpus_once(value in prop::collection::vec(any::<u8>(), 0..64), text in list()) {
        for value in [value.as_slice(), text.as_bytes()] {
            let devices = resolve(Some(value), &GPUS);
            for (position, device) in devices.iter().enumerate() {
                prop_assert!(!devices[..position].contains(device));
                let gpu = GPUS.get(device.index as usize);
                prop_assert!(gpu.is_some());
                prop_assert!(device.mig.is_none_or(|mig| mig < gpu.unwrap().mig.len()));
            }
            prop_assert!(devices.len() <= 1 || devices.iter().all(|device| device.mig.is_none()));
            prop_assert!(devices.len() <= value.split(|&byte| byte == b',').count());
        }
    }

    #[test]
    fn indices_match_reference_parser(value in "([ \t]?[+-]?[0-9]{0,2}[a-z ]{0,1},){0,5}[0-5]?", gpus in 0_usize..=4) {
        let found: Vec<u32> = resolve(Some(value.as_bytes()), &GPUS[..gpus]).iter().map(|device| device.index).collect();
        prop_assert_eq!(found, reference_parser(&value, gpus));
    }

    #[test]
    fn list_prefix_gives_result_prefix(value in list(), more in list()) {
        let short = resolve(Some(value.as_bytes()), &GPUS);
        let long = resolve(Some(format!("{value},{more}").as_bytes()), &GPUS);
        // The result is empty if `more` repeats a GPU.
        prop_assert!(long.is_empty() || long.starts_with(&short), "{short:?} then {long:?}");
    }

    #[test]
    fn order_is_kept(order in Just(vec![0_u32, 1, 2, 3]).prop_shuffle(), count in 0_usize..=4, by_uuid in any::<bool>()) {
        let order = &order[..count];
        let name = |&index: &u32| if by_uuid { GPUS[index as usize].uuid.to_string() } else { index.to_string() };
        let value = order.iter().map(name).collect::<Vec<_>>().join(",");
        prop_assert_eq!(indices(value.as_bytes()), order);
    }
}
