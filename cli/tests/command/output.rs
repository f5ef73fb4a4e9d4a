//! Tests of the output of each subcommand as text and as JSON, and of the selection of GPUs.

use super::*;

#[test]
fn subcommands_work_on_every_scenario() {
    for (scenario, count) in scenarios() {
        let simulate = format!("--simulate={scenario}");
        let text = |args: &[&str]| stdout_of(&[&[simulate.as_str()], args].concat());
        let array = |args: &[&str]| json(&text(&[args, &["--json"]].concat()));
        let all = text(&[]);
        assert_eq!(all.matches("INDEX        : ").count(), count, "{scenario}");
        assert_eq!(text(&["show"]).lines().count(), all.lines().count());
        assert_eq!(text(&["list"]).lines().count(), count.max(1));
        assert_eq!(array(&[]).len(), count);
        assert_eq!(array(&["show"]).len(), count);
        assert_eq!(array(&["list"]).len(), count);
        // The processes on each GPU are the command itself and its parent.
        let rows = array(&["ps"]);
        let expected = if scenario == "laptop" { 3 } else { 2 * count };
        assert_eq!(rows.len(), expected, "{scenario}");
        let table = text(&["ps"]);
        assert_eq!(table.lines().count(), expected + 1, "the first line is the header or a message");
        let versions = array(&["driver"]);
        assert_eq!(versions.len(), 1);
        assert_eq!(keys(&versions[0]), ["cuda_version", "driver_version", "library", "nvml_version"]);
        if count == 0 {
            for message in [all, text(&["list"]), table] {
                assert_eq!(message, "There is no NVIDIA GPU on this machine.\n");
            }
        }
    }
}

#[test]
fn json_has_every_documented_key() {
    for (scenario, _) in scenarios() {
        for gpu in json(&stdout_of(&["--json", &format!("--simulate={scenario}")])) {
            assert_eq!(
                keys(&gpu),
                [
                    "bios",
                    "clocks",
                    "index",
                    "memory",
                    "name",
                    "pci",
                    "power",
                    "processes",
                    "serial",
                    "utilization",
                    "uuid"
                ]
            );
            assert_eq!(keys(&gpu["memory"]), ["free", "reserved", "total", "unit", "used"]);
            assert_eq!(keys(&gpu["utilization"]), ["fan", "gpu", "memory", "performance", "temperature"]);
            assert_eq!(
                keys(&gpu["pci"]),
                [
                    "bus",
                    "bus_id",
                    "current_link_gen",
                    "current_link_width",
                    "device",
                    "device_id",
                    "max_link_gen",
                    "max_link_width",
                    "sub_system_id"
                ]
            );
            assert_eq!(
                keys(&gpu["clocks"]),
                ["graphics", "max_graphics", "max_memory", "max_sm", "memory", "sm", "unit"]
            );
            assert_eq!(keys(&gpu["power"]), ["draw", "limit", "management", "max_limit", "min_limit", "unit"]);
            for process in gpu["processes"].as_array().unwrap() {
                assert_eq!(keys(process), PROCESS_KEYS);
            }
        }
    }
    let gpus = json(&stdout_of(&["--json", "--simulate"]));
    let gpu = &gpus[0];
    assert_eq!((&gpu["index"], &gpu["serial"]), (&Value::from(0), &Value::Null));
    assert_eq!(
        gpu["memory"],
        serde_json::json!({"total": 11178.5, "used": 10799.0, "free": 379.5, "reserved": 0.0, "unit": "MiB"})
    );
    assert_eq!(
        gpu["utilization"],
        serde_json::json!({"gpu": 44, "memory": 35, "fan": 36, "temperature": 61, "performance": "P2"})
    );
    assert_eq!((&gpu["pci"]["bus"], &gpu["pci"]["max_link_width"]), (&Value::from("88"), &Value::from("16x")));
    assert_eq!(gpu["power"]["draw"], 122.23);
    let [own, parent] = &gpu["processes"].as_array().unwrap()[..] else { panic!() };
    assert_eq!((&own["name"], &own["parent_pid"]), (&Value::from("igpu"), &Value::from(std::process::id())));
    assert_eq!((&parent["pid"], &parent["parent_pid"]), (&Value::from(std::process::id()), &Value::from(parent_id())));
    assert_eq!((&own["kind"], &own["gpu_memory"]), (&Value::from("compute"), &Value::from(4284)));
    // Unknown values are null. The laptop has no fan and no power limits, and does not report the memory of graphics
    // processes.
    let gpus = json(&stdout_of(&["--json", "--simulate=laptop"]));
    let gpu = &gpus[0];
    for missing in [&gpu["serial"], &gpu["utilization"]["fan"], &gpu["power"]["limit"], &gpu["power"]["management"]] {
        assert_eq!(*missing, Value::Null);
    }
    let graphics = gpu["processes"].as_array().unwrap().iter().filter(|process| process["kind"] == "graphics");
    assert!(graphics.map(|process| &process["gpu_memory"]).eq([&Value::Null, &Value::Null]));
    let gpus = json(&stdout_of(&["--json", "--simulate=mig"]));
    let instances = gpus[0]["processes"].as_array().unwrap().iter().map(|process| process["gpu_instance_id"].as_u64());
    assert!(instances.eq([Some(1), Some(5)]));
}

const PROCESS_KEYS: [&str; 10] = [
    "compute_instance_id",
    "create_time",
    "gpu_instance_id",
    "gpu_memory",
    "kind",
    "name",
    "parent_name",
    "parent_pid",
    "pid",
    "user",
];

#[test]
fn list_prints_one_line_per_gpu() {
    assert_eq!(
        stdout_of(&["list", "--simulate"]),
        "\
0  GPU-115dafb8-26db-32ba-d729-f21b29fc001f GeForce GTX 1080 Ti
1  GPU-d9bf777c-e49e-e609-f873-d05b3208970b GeForce GTX 1080 Ti
2  GPU-4d1f3a0e-7c2b-4f5d-9a68-0b7e5c3d2f11 GeForce GTX 1080 Ti
3  GPU-e2c9b6d4-15a7-4c83-8f0d-63a1f7b09e52 GeForce GTX 1080 Ti
"
    );
    let lines = json(&stdout_of(&["list", "--json", "--simulate=laptop"]));
    let expected = serde_json::json!({
        "index": 0, "uuid": "GPU-3c5e7a90-1b2d-4e6f-8a0c-2d4f6a8c0e1b", "name": "NVIDIA GeForce RTX 4060 Laptop GPU"
    });
    assert_eq!(lines, [expected]);
}

#[test]
fn driver_prints_versions_and_library() {
    let message =
        "DRIVER VERSION : 390.157\nNVML VERSION   : 9.390.157\nCUDA VERSION   : 9.1\nLIBRARY        : simulated\n";
    assert_eq!(stdout_of(&["driver", "--simulate=old-driver"]), message);
    let (_directory, library) = installed(Scenario::from_name("hgx-h100").unwrap().text());
    let path = library.to_str().unwrap();
    let versions = json(&stdout_of(&["driver", "--json", "--library", path]));
    assert_eq!((&versions[0]["driver_version"], &versions[0]["cuda_version"]), (&"580.95.05".into(), &"13.0".into()));
    assert_eq!(versions[0]["library"], path);
    // A version that the driver does not return is shown as N/A, and is an error.
    let denied = workstation("[[fault]]\nfunction = 'nvmlSystemGetNVMLVersion'\nreturn = 'NO_PERMISSION'");
    let result = igpu(&["driver", &denied.argument]);
    assert_eq!((result.code, errors(&result.stderr).len()), (Some(1), 1));
    assert!(result.stdout.contains("NVML VERSION   : N/A\nCUDA VERSION   : 13.0\n"), "{}", result.stdout);
    let result = igpu(&["driver", "--json", &denied.argument]);
    assert_eq!((result.code, &json(&result.stdout)[0]["nvml_version"]), (Some(1), &Value::Null));
}

#[test]
fn ps_prints_one_table() {
    let table = stdout_of(&["ps", "--simulate=mig"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "GPU PID TYPE NAME USER PARENT PARENT NAME CREATION TIME GPU MEM");
    assert_eq!(rows.len(), 5);
    let own = std::process::id().to_string();
    // With MIG, the index of the GPU is followed by the IDs of the GPU instance and the compute instance.
    assert_eq!(rows.iter().skip(1).map(|row| row[0]).collect::<Vec<_>>(), ["0/1/0", "0/5/0", "1", "1"]);
    assert_eq!((rows[1][2], rows[1][3], rows[1][5]), ("compute", "igpu", own.as_str()));
    assert_eq!((rows[2][1], rows[2][5]), (own.as_str(), parent_id().to_string().as_str()));
    assert!(table.lines().nth(1).unwrap().ends_with("  18000 MiB"), "{table}");
    assert!(table.lines().all(|line| line == line.trim_end()));
    let rows = json(&stdout_of(&["ps", "--json", "--simulate=laptop"]));
    let kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["compute", "graphics", "graphics"]);
    let mut expected = [&PROCESS_KEYS[..], &["gpu"]].concat();
    expected.sort_unstable();
    assert_eq!(keys(&rows[0]), expected);
    let none = simulated("[[gpu]]\nprocess = []");
    assert_eq!(stdout_of(&["ps", &none.argument]).lines().count(), 1);
    assert_eq!(stdout_of(&["ps", "--json", &none.argument]), "[]\n");
}

#[test]
fn gpu_arguments_select_by_index_or_uuid() {
    for (names, expected) in [
        (&["2"][..], &["2"][..]),
        (&["3", "1"], &["3", "1"]),
        (&["1", "1", "GPU-d9bf"], &["1"]),
        (&["GPU-d9bf777c-e49e-e609-f873-d05b3208970b"], &["1"]),
        (&["gpu-D9BF", "e2c9"], &["1", "3"]),
        (&["GPU-4", "0"], &["2", "0"]),
        (&["e"], &["3"]),
    ] {
        let result = igpu(&[&["--simulate", "show"], names].concat());
        assert_eq!(
            (result.code, result.stderr.as_str(), shown(&result)),
            (Some(0), "", expected.to_vec()),
            "{names:?}"
        );
    }
    for (name, expected) in [
        ("4", "no GPU has index 4; valid indices are 0 to 3"),
        ("99999999999999", "no GPU has index 99999999999999; this machine has 4 GPUs, with indices from 0"),
        ("GPU-", "4 GPUs have a UUID that starts with \"GPU-\""),
        ("GPU-ffff", "no GPU has a UUID that starts with \"GPU-ffff\""),
        ("", "no GPU has a UUID that starts with \"\""),
        ("\u{1b}[31m", "no GPU has a UUID that starts with \"\\u{1b}[31m\""),
        ("é", "no GPU has a UUID that starts with \"é\""),
    ] {
        let result = igpu(&["show", "0", name, "--simulate"]);
        assert_eq!((result.code, result.stdout.as_str(), errors(&result.stderr)), (Some(1), "", vec![expected]));
    }
    let result = igpu(&["show", "0", "--simulate=empty"]);
    assert_eq!((result.code, errors(&result.stderr)), (Some(1), vec!["no GPU has index 0; the machine has no GPUs"]));
}

#[test]
fn visible_option_applies_cuda_visible_devices() {
    for (value, expected) in [
        ("1,3", &["1", "3"][..]),
        ("3,0,9,1", &["3", "0"]),
        ("GPU-e2c9,GPU-115d", &["3", "0"]),
        ("0,0", &[]),
        ("", &[]),
    ] {
        let result = igpu_visible(value, &["--visible", "--simulate"]);
        assert_eq!((result.code, shown(&result)), (Some(0), expected.to_vec()), "{value:?}");
        let list = igpu_visible(value, &["list", "--visible", "--json", "--simulate"]);
        let indices: Vec<_> = json(&list.stdout).iter().map(|line| line["index"].to_string()).collect();
        assert_eq!(indices, expected);
        let ps = igpu_visible(value, &["ps", "--visible", "--json", "--simulate"]);
        assert_eq!((ps.code, json(&ps.stdout).len()), (Some(0), 2 * expected.len()));
        // Without --visible, the variable is ignored.
        assert_eq!(shown(&igpu_visible(value, &["--simulate"])).len(), 4);
    }
    let none = igpu_visible("", &["--visible", "--simulate"]);
    assert_eq!(none.stdout, "CUDA_VISIBLE_DEVICES leaves no GPU visible.\n");
    assert_eq!(shown(&igpu(&["--visible", "--simulate"])).len(), 4, "an unset variable hides no GPU");
    // The variable hides an existing GPU.
    let hidden = igpu_visible("1,3", &["show", "0", "--visible", "--simulate"]);
    let expected = "igpu: GPU 0 is hidden by CUDA_VISIBLE_DEVICES\nhelp: omit --visible to select from all GPUs\n";
    assert_eq!((hidden.code, hidden.stderr.as_str()), (Some(1), expected));
    let hidden = igpu_visible("1,3", &["show", "GPU-115d", "--visible", "--simulate"]);
    assert_eq!((hidden.code, hidden.stderr.as_str()), (Some(1), expected));
    // A UUID prefix need only be unique among the visible GPUs.
    assert_eq!(shown(&igpu_visible("1", &["show", "GPU-", "--visible", "--simulate"])), ["1"]);
    // The message for a machine without GPUs does not mention the variable.
    let empty = igpu_visible("0", &["--visible", "--simulate=empty"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), "There is no NVIDIA GPU on this machine.\n"));
    // A MIG device selects its GPU.
    let by_mig_uuid = igpu_visible("MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d3", &["--visible", "--simulate=mig"]);
    assert_eq!(shown(&by_mig_uuid), ["0"]);
}
