//! The command as its user has it: the built binary, what it prints, and how it ends.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, fs::symlink, process::parent_id},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nvml_sim::{Scenario, built_library, install};
use serde_json::Value;

const SCENARIOS: [(&str, usize); 6] =
    [("workstation", 4), ("hgx-h100", 8), ("mig", 2), ("laptop", 1), ("old-driver", 2), ("empty", 0)];
/// A pid that no Linux gives out by default.
const FOREIGN: u32 = 4_199_998;

fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    for name in ["IGPU_NVML_LIBRARY", "CUDA_VISIBLE_DEVICES", "NVML_SIM_SCENARIO", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    command.args(args.into_iter().map(|arg| arg.as_ref().to_owned())).stdin(Stdio::null());
    command
}

/// How a command ended.
#[derive(Debug, PartialEq)]
struct End {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn end(mut command: Command) -> End {
    let output = command.output().expect("the command");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    End { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn igpu(args: &[&str]) -> End {
    end(command(env!("CARGO_BIN_EXE_igpu"), args))
}

fn igpu_visible(value: &str, args: &[&str]) -> End {
    let mut command = command(env!("CARGO_BIN_EXE_igpu"), args);
    command.env("CUDA_VISIBLE_DEVICES", value);
    end(command)
}

/// What was printed by a command that had nothing to complain of.
fn done(args: &[&str]) -> String {
    let end = igpu(args);
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{args:?}");
    end.stdout
}

fn json(text: &str) -> Vec<Value> {
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items,
        other => panic!("no array: {other:?} in {text}"),
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// What a failure says: one line for each, after the command's name.
fn sentences(stderr: &str) -> Vec<&str> {
    let said: Vec<_> = stderr.lines().map(|line| line.strip_prefix("igpu: ").expect(stderr)).collect();
    assert!(!stderr.contains("panicked"), "{stderr}");
    said
}

/// A scenario in a file, as an argument.
struct Simulated {
    _directory: tempfile::TempDir,
    argument: String,
}

fn simulated(toml: &str) -> Simulated {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scenario.toml");
    fs::write(&path, toml).unwrap();
    let argument = format!("--simulate={}", path.display());
    Simulated { _directory: directory, argument }
}

fn workstation(more: &str) -> Simulated {
    simulated(&format!("{}\n{more}", Scenario::named("workstation").unwrap().text()))
}

/// A driver as a shared library in a directory of its own.
fn installed(toml: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario::from_toml(toml).unwrap();
    let path = install(directory.path(), &scenario, &built_library().unwrap()).unwrap();
    (directory, path)
}

#[test]
fn every_subcommand_works_on_every_scenario() {
    for (scenario, count) in SCENARIOS {
        let simulate = format!("--simulate={scenario}");
        let text = |args: &[&str]| done(&[&[simulate.as_str()], args].concat());
        let array = |args: &[&str]| json(&text(&[args, &["--json"]].concat()));
        let all = text(&[]);
        assert_eq!(all.matches("INDEX        : ").count(), count, "{scenario}");
        assert_eq!(text(&["show"]).lines().count(), all.lines().count());
        assert_eq!(text(&["list"]).lines().count(), count.max(1));
        assert_eq!(array(&[]).len(), count);
        assert_eq!(array(&["show"]).len(), count);
        assert_eq!(array(&["list"]).len(), count);
        // Each GPU has the command itself and its parent.
        let rows = array(&["ps"]);
        let expected = if scenario == "laptop" { 3 } else { 2 * count };
        assert_eq!(rows.len(), expected, "{scenario}");
        let table = text(&["ps"]);
        assert_eq!(table.lines().count(), expected + 1, "a head, or a sentence");
        let versions = array(&["driver"]);
        assert_eq!(versions.len(), 1);
        assert_eq!(keys(&versions[0]), ["cuda_version", "driver_version", "library", "nvml_version"]);
        if count == 0 {
            for said in [all, text(&["list"]), table] {
                assert_eq!(said, "There is no NVIDIA GPU on this machine.\n");
            }
        }
    }
}

#[test]
fn json_has_the_seeds_attributes() {
    for (scenario, _) in SCENARIOS {
        for gpu in json(&done(&["--json", &format!("--simulate={scenario}")])) {
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
    let gpus = json(&done(&["--json", "--simulate"]));
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
    // N/A is null: the laptop has no fan and no limits, and tells no memory of graphics processes.
    let gpus = json(&done(&["--json", "--simulate=laptop"]));
    let gpu = &gpus[0];
    for missing in [&gpu["serial"], &gpu["utilization"]["fan"], &gpu["power"]["limit"], &gpu["power"]["management"]] {
        assert_eq!(*missing, Value::Null);
    }
    let graphics = gpu["processes"].as_array().unwrap().iter().filter(|process| process["kind"] == "graphics");
    assert!(graphics.map(|process| &process["gpu_memory"]).eq([&Value::Null, &Value::Null]));
    let gpus = json(&done(&["--json", "--simulate=mig"]));
    let parts = gpus[0]["processes"].as_array().unwrap().iter().map(|process| process["gpu_instance_id"].as_u64());
    assert!(parts.eq([Some(1), Some(5)]));
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
fn list_is_a_line_a_gpu() {
    assert_eq!(
        done(&["list", "--simulate"]),
        "\
0  GPU-115dafb8-26db-32ba-d729-f21b29fc001f GeForce GTX 1080 Ti
1  GPU-d9bf777c-e49e-e609-f873-d05b3208970b GeForce GTX 1080 Ti
2  GPU-4d1f3a0e-7c2b-4f5d-9a68-0b7e5c3d2f11 GeForce GTX 1080 Ti
3  GPU-e2c9b6d4-15a7-4c83-8f0d-63a1f7b09e52 GeForce GTX 1080 Ti
"
    );
    let lines = json(&done(&["list", "--json", "--simulate=laptop"]));
    let expected = serde_json::json!({
        "index": 0, "uuid": "GPU-3c5e7a90-1b2d-4e6f-8a0c-2d4f6a8c0e1b", "name": "NVIDIA GeForce RTX 4060 Laptop GPU"
    });
    assert_eq!(lines, [expected]);
}

#[test]
fn driver_tells_the_versions() {
    let said =
        "DRIVER VERSION : 390.157\nNVML VERSION   : 9.390.157\nCUDA VERSION   : 9.1\nLIBRARY        : simulated\n";
    assert_eq!(done(&["driver", "--simulate=old-driver"]), said);
    let (_directory, library) = installed(Scenario::named("hgx-h100").unwrap().text());
    let path = library.to_str().unwrap();
    let versions = json(&done(&["driver", "--json", "--library", path]));
    assert_eq!((&versions[0]["driver_version"], &versions[0]["cuda_version"]), (&"580.95.05".into(), &"13.0".into()));
    assert_eq!(versions[0]["library"], path);
    // What the driver does not tell is N/A, said so, and a failure.
    let silent = workstation("[[fault]]\nfunction = 'nvmlSystemGetNVMLVersion'\nreturn = 'NO_PERMISSION'");
    let end = igpu(&["driver", &silent.argument]);
    assert_eq!((end.code, sentences(&end.stderr).len()), (Some(1), 1));
    assert!(end.stdout.contains("NVML VERSION   : N/A\nCUDA VERSION   : 13.0\n"), "{}", end.stdout);
    let end = igpu(&["driver", "--json", &silent.argument]);
    assert_eq!((end.code, &json(&end.stdout)[0]["nvml_version"]), (Some(1), &Value::Null));
}

#[test]
fn ps_is_one_table_of_all_gpus() {
    let table = done(&["ps", "--simulate=mig"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "GPU PID TYPE NAME USER PARENT PARENT NAME CREATION TIME GPU MEM");
    assert_eq!(rows.len(), 5);
    let own = std::process::id().to_string();
    // The instances of a divided GPU stand behind its index.
    assert_eq!(rows.iter().skip(1).map(|row| row[0]).collect::<Vec<_>>(), ["0/1/0", "0/5/0", "1", "1"]);
    assert_eq!((rows[1][2], rows[1][3], rows[1][5]), ("compute", "igpu", own.as_str()));
    assert_eq!((rows[2][1], rows[2][5]), (own.as_str(), parent_id().to_string().as_str()));
    assert!(table.lines().nth(1).unwrap().ends_with("  18000 MiB"), "{table}");
    assert!(table.lines().all(|line| line == line.trim_end()));
    let rows = json(&done(&["ps", "--json", "--simulate=laptop"]));
    let kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["compute", "graphics", "graphics"]);
    let mut expected = [&PROCESS_KEYS[..], &["gpu"]].concat();
    expected.sort_unstable();
    assert_eq!(keys(&rows[0]), expected);
    let none = simulated("[[gpu]]\nprocess = []");
    assert_eq!(done(&["ps", &none.argument]).lines().count(), 1);
    assert_eq!(done(&["ps", "--json", &none.argument]), "[]\n");
}

/// The indices that are shown.
fn shown(end: &End) -> Vec<&str> {
    end.stdout.lines().filter_map(|line| line.strip_prefix("INDEX        : ")).collect()
}

#[test]
fn gpus_are_chosen_by_index_and_by_uuid() {
    for (names, expected) in [
        (&["2"][..], &["2"][..]),
        (&["3", "1"], &["3", "1"]),
        (&["1", "1", "GPU-d9bf"], &["1"]),
        (&["GPU-d9bf777c-e49e-e609-f873-d05b3208970b"], &["1"]),
        (&["gpu-D9BF", "e2c9"], &["1", "3"]),
        (&["GPU-4", "0"], &["2", "0"]),
        (&["e"], &["3"]),
    ] {
        let end = igpu(&[&["--simulate", "show"], names].concat());
        assert_eq!((end.code, end.stderr.as_str(), shown(&end)), (Some(0), "", expected.to_vec()), "{names:?}");
    }
    for (name, told) in [
        ("4", "no GPU has index 4; valid are 0 to 3"),
        ("99999999999999", "no GPU has index 4294967295; valid are 0 to 3"),
        ("GPU-", "4 GPUs have a UUID that starts with \"GPU-\"; give more of it (`igpu list` shows them)"),
        ("GPU-ffff", "no GPU has a UUID that starts with \"GPU-ffff\"; `igpu list` shows them"),
        ("", "no GPU has a UUID that starts with \"\"; `igpu list` shows them"),
        ("\u{1b}[31m", "no GPU has a UUID that starts with \"\\u{1b}[31m\"; `igpu list` shows them"),
        ("é", "no GPU has a UUID that starts with \"é\"; `igpu list` shows them"),
    ] {
        let end = igpu(&["show", "0", name, "--simulate"]);
        assert_eq!((end.code, end.stdout.as_str(), sentences(&end.stderr)), (Some(1), "", vec![told]));
    }
    let end = igpu(&["show", "0", "--simulate=empty"]);
    assert_eq!(
        (end.code, sentences(&end.stderr)),
        (Some(1), vec!["no GPU has index 0; there are no GPUs on this machine"])
    );
}

#[test]
fn visible_keeps_to_cuda_visible_devices() {
    for (value, expected) in [
        ("1,3", &["1", "3"][..]),
        ("3,0,9,1", &["3", "0"]),
        ("GPU-e2c9,GPU-115d", &["3", "0"]),
        ("0,0", &[]),
        ("", &[]),
    ] {
        let end = igpu_visible(value, &["--visible", "--simulate"]);
        assert_eq!((end.code, shown(&end)), (Some(0), expected.to_vec()), "{value:?}");
        let list = igpu_visible(value, &["list", "--visible", "--json", "--simulate"]);
        let indices: Vec<_> = json(&list.stdout).iter().map(|line| line["index"].to_string()).collect();
        assert_eq!(indices, expected);
        let ps = igpu_visible(value, &["ps", "--visible", "--json", "--simulate"]);
        assert_eq!((ps.code, json(&ps.stdout).len()), (Some(0), 2 * expected.len()));
        // Without the flag the variable means nothing.
        assert_eq!(shown(&igpu_visible(value, &["--simulate"])).len(), 4);
    }
    let none = igpu_visible("", &["--visible", "--simulate"]);
    assert_eq!(none.stdout, "CUDA_VISIBLE_DEVICES leaves no GPU visible.\n");
    assert_eq!(shown(&igpu(&["--visible", "--simulate"])).len(), 4, "a variable that is not set hides nothing");
    // A GPU that is there, but hidden.
    let hidden = igpu_visible("1,3", &["show", "0", "--visible", "--simulate"]);
    assert_eq!(hidden.code, Some(1));
    assert_eq!(sentences(&hidden.stderr), ["GPU 0 is hidden by CUDA_VISIBLE_DEVICES; leave --visible out"]);
    let hidden = igpu_visible("1,3", &["show", "GPU-115d", "--visible", "--simulate"]);
    assert_eq!(hidden.code, Some(1));
    assert_eq!(sentences(&hidden.stderr), ["GPU 0 is hidden by CUDA_VISIBLE_DEVICES; leave --visible out"]);
    // What is ambiguous among all may be clear among those that are visible.
    assert_eq!(shown(&igpu_visible("1", &["show", "GPU-", "--visible", "--simulate"])), ["1"]);
    // On a machine without a GPU it is not the variable's doing.
    let empty = igpu_visible("0", &["--visible", "--simulate=empty"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), "There is no NVIDIA GPU on this machine.\n"));
    // A part of a GPU stands for it.
    let part = igpu_visible("MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d3", &["--visible", "--simulate=mig"]);
    assert_eq!(shown(&part), ["0"]);
}

#[test]
fn without_a_driver_it_says_what_to_do() {
    // Files of the driver's names that are no libraries, so that a machine's own driver is not found.
    let directory = tempfile::tempdir().unwrap();
    for name in ["libnvidia-ml.so.1", "libnvidia-ml.so"] {
        fs::write(directory.path().join(name), "no library").unwrap();
    }
    for args in [&[][..], &["list"], &["ps", "--json"], &["driver"], &["show", "0"]] {
        let mut command = command(env!("CARGO_BIN_EXE_igpu"), args);
        command.env("LD_LIBRARY_PATH", directory.path());
        let end = end(command);
        if !Path::new("/usr/lib/wsl/lib/libnvidia-ml.so.1").exists() {
            assert_eq!((end.code, end.stdout.as_str()), (Some(1), ""), "{args:?}");
            let [said] = sentences(&end.stderr)[..] else { panic!("{}", end.stderr) };
            for part in ["libnvidia-ml.so.1 (", "libnvidia-ml.so (", "/usr/lib/wsl/lib/", "install", "igpu --simulate"]
            {
                assert!(said.contains(part), "{part} is not in {said}");
            }
        }
    }
    for (library, told) in [("/nowhere/libx.so", "/nowhere/libx.so"), ("libm.so.6", "libnvidia-ml.so.1")] {
        let end = igpu(&["--library", library]);
        let [said] = sentences(&end.stderr)[..] else { panic!("{}", end.stderr) };
        assert_eq!((end.code, end.stdout.as_str()), (Some(1), ""));
        assert!(said.contains(told) && said.contains("--simulate"), "{said}");
    }
}

#[test]
fn a_driver_that_does_not_start_is_told_in_a_sentence() {
    for (answer, parts) in [
        ("'LIB_RM_VERSION_MISMATCH'", ["reboot", "LIB_RM_VERSION_MISMATCH (18)"]),
        ("'DRIVER_NOT_LOADED'", ["modprobe nvidia", "DRIVER_NOT_LOADED (9)"]),
        ("'NO_PERMISSION'", ["root", "NO_PERMISSION (4)"]),
        ("'INSUFFICIENT_RESOURCES'", ["close", "(23)"]),
        ("4711", ["nvml.h", "code 4711"]),
    ] {
        let broken = simulated(&format!("[driver]\ninit_return = {answer}\n[[gpu]]"));
        let end = igpu(&["--json", &broken.argument]);
        let [said] = sentences(&end.stderr)[..] else { panic!("{}", end.stderr) };
        assert_eq!((end.code, end.stdout.as_str()), (Some(1), ""));
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    // A driver that finds no GPU is no failure, whether it says so at once or later.
    let none = simulated("[driver]\ninit_return = 28");
    assert_eq!(done(&[&none.argument]), "There is no NVIDIA GPU on this machine.\n");
    assert_eq!(done(&["list", "--json", &none.argument]), "[]\n");
    // One that starts, and then does not answer for the machine.
    for value in ["return = 'UNKNOWN'", "value = -1"] {
        let mute = workstation(&format!("[[fault]]\nfunction = 'nvmlDeviceGetCount*'\n{value}"));
        for args in [&[][..], &["list"], &["ps"], &["show", "0"]] {
            let end = igpu(&[args, &[mute.argument.as_str()]].concat());
            assert_eq!((end.code, end.stdout.as_str(), sentences(&end.stderr).len()), (Some(1), "", 1), "{args:?}");
        }
    }
}

#[test]
fn a_lost_gpu_is_named_and_the_others_are_shown() {
    let lost = workstation("[[gpu_lost]]\ngpu = 1");
    let end = igpu(&[&lost.argument]);
    assert_eq!((end.code, shown(&end)), (Some(1), vec!["0", "2", "3"]));
    let [said] = sentences(&end.stderr)[..] else { panic!("{}", end.stderr) };
    assert!(said.starts_with("GPU 1") && said.contains("GPU_IS_LOST (15)") && said.contains("dmesg"), "{said}");
    let end = igpu(&["--json", &lost.argument]);
    let gpus = json(&end.stdout);
    assert_eq!((end.code, gpus.len(), sentences(&end.stderr).len()), (Some(1), 4, 1));
    assert!(gpus[1]["error"].as_str().unwrap().contains("GPU_IS_LOST"));
    assert_eq!((&gpus[1]["power"]["draw"], &gpus[2]["memory"]["used"]), (&Value::Null, &Value::from(3712.0)));
    assert_eq!(gpus[0].get("error"), None);
    let end = igpu(&["list", &lost.argument]);
    assert_eq!((end.code, end.stdout.lines().count(), sentences(&end.stderr).len()), (Some(1), 4, 1));
    let end = igpu(&["ps", "--json", &lost.argument]);
    assert_eq!((end.code, json(&end.stdout).len(), sentences(&end.stderr).len()), (Some(1), 6, 1));
    // Whom it does not concern, it does not bother; who asks for it alone gets the failure alone.
    assert_eq!(igpu(&["show", "0", "GPU-4d1f", &lost.argument]).code, Some(0));
    let end = igpu(&["show", "1", &lost.argument]);
    assert_eq!((end.code, end.stdout.as_str(), sentences(&end.stderr).len()), (Some(1), "", 1));
    let all = workstation(&(0..4).map(|gpu| format!("[[gpu_lost]]\ngpu = {gpu}\nreturn = 16\n")).collect::<String>());
    let end = igpu(&[&all.argument]);
    assert_eq!((end.code, end.stdout.as_str(), sentences(&end.stderr).len()), (Some(1), "", 4));
    assert!(end.stderr.contains("nvidia-smi --gpu-reset"));
    // Lost amid the reading: named by its UUID, which is known by then.
    let amid = workstation("[[fault]]\nfunction = 'nvmlDeviceGetPowerUsage'\ngpu = 2\nreturn = 'GPU_IS_LOST'");
    let end = igpu(&[&amid.argument]);
    assert_eq!((end.code, shown(&end)), (Some(1), vec!["0", "1", "3"]));
    assert!(
        sentences(&end.stderr)[0].starts_with("GPU 2 (GPU-4d1f3a0e-7c2b-4f5d-9a68-0b7e5c3d2f11) "),
        "{}",
        end.stderr
    );
}

#[test]
fn a_reading_that_is_refused_is_no_failure() {
    for code in ["'NOT_SUPPORTED'", "'NO_PERMISSION'", "'UNKNOWN'", "4711"] {
        let refusing = workstation(&format!("[[fault]]\nfunction = 'nvmlDeviceGetPower*'\nreturn = {code}"));
        assert_eq!(done(&[&refusing.argument]).matches("Draw       : N/A W\n").count(), 4);
        assert_eq!(json(&done(&["--json", &refusing.argument]))[3]["power"]["draw"], Value::Null);
    }
    let nonsense = workstation("[[fault]]\ngpu = 0\nvalue = -1");
    for args in [&[][..], &["list"], &["ps"], &["--json"]] {
        assert_eq!(igpu(&[args, &[nonsense.argument.as_str()]].concat()).code, Some(0));
    }
}

/// Nothing but lines: no character that a terminal would obey.
fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)))
}

/// Copies a program by a process of its own: a descriptor of this one that is open for writing would be inherited by
/// the children of tests beside this one, and nobody may run a file that is being written.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn names_cannot_take_the_terminal_over() {
    let hostile = "\\u001b]0;x\\u0007\\u001b[2Jé\\r\\n\\u202e";
    let fault =
        |function: &str, gpu: u32| format!("[[fault]]\nfunction = '{function}'\ngpu = {gpu}\ntext = \"{hostile}\"\n");
    let named = workstation(
        &(fault("nvmlDeviceGetName", 0) + &fault("nvmlDeviceGetUUID", 1) + &fault("nvmlDeviceGetPciInfo_v3", 2)),
    );
    for args in [&[][..], &["list"], &["ps"], &["driver"]] {
        let text = igpu(&[args, &[named.argument.as_str()]].concat());
        assert!(text.code == Some(0) && is_harmless(&text.stdout), "{text:?}");
    }
    assert!(done(&["list", &named.argument]).contains("0  GPU-115dafb8-26db-32ba-d729-f21b29fc001f \\u{1b}]0;x\\u{7}"));
    assert_eq!(json(&done(&["--json", &named.argument]))[0]["name"], "\u{1b}]0;x\u{7}\u{1b}[2Jé\r\n\u{202e}");
    let versions = simulated("[[fault]]\nfunction = 'nvmlSystemGet*'\ntext = \"\\u001b[2J\\n\"");
    assert!(is_harmless(&done(&["driver", &versions.argument])));
    // A lost GPU whose UUID is hostile, on stderr.
    let lost = workstation(
        &(fault("nvmlDeviceGetUUID", 1) + "[[fault]]\nfunction = 'nvmlDeviceGetMemoryInfo_v2'\ngpu = 1\nreturn = 15"),
    );
    let end = igpu(&[&lost.argument]);
    assert!(end.code == Some(1) && is_harmless(&end.stderr) && sentences(&end.stderr).len() == 1, "{end:?}");
    // Broken UTF-8, no NUL, nothing at all.
    for text in ["bytes = [255, 254]", "bytes = [71, 27]\nno_nul = true", "text = ''"] {
        let odd = workstation(&format!("[[fault]]\nfunction = 'nvmlDeviceGet*'\n{text}"));
        for args in [&[][..], &["list"], &["--json"]] {
            let end = igpu(&[args, &[odd.argument.as_str()]].concat());
            assert!(end.code == Some(0) && is_harmless(&end.stdout), "{end:?}");
        }
    }
    // A process that calls itself so.
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("\u{1b}[31mx\ny\u{202e}");
    let script = directory.path().join("script");
    fs::write(&script, "#!/bin/sh\nread line\n").unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    copy(&script, &program);
    let child = Sleeper(Command::new(&program).stdin(Stdio::piped()).spawn().unwrap());
    let processes = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, memory = 1 }}]", child.0.id()));
    for args in [&[][..], &["ps"]] {
        let text = done(&[args, &[processes.argument.as_str()]].concat());
        assert!(is_harmless(&text), "{text:?}");
        assert!(text.contains("\\u{1b}[31mx"), "{text}");
    }
    let rows = json(&done(&["ps", "--json", &processes.argument]));
    assert!(rows[0]["name"].as_str().unwrap().starts_with("\u{1b}[31mx\ny"));
}

#[test]
fn hundreds_of_processes_are_shown() {
    let many =
        simulated(&format!("[[gpu]]\ncount = 2\nprocess = [{{ pid = {}, repeat = 700, memory = 3 }}]", FOREIGN - 5000));
    let table = done(&["ps", &many.argument]);
    assert_eq!(table.lines().count(), 1401);
    assert_eq!(table.lines().filter(|line| line.ends_with("N/A            3 MiB")).count(), 1400, "{table}");
    assert_eq!(json(&done(&["ps", "--json", &many.argument])).len(), 1400);
    assert!(done(&[&many.argument]).lines().count() > 1400);
    // Longer than the memory for it: said, and a failure, as not all is shown.
    let more = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, repeat = 1500 }}]", FOREIGN - 5000));
    let end = igpu(&["ps", &more.argument]);
    assert_eq!(
        (end.code, sentences(&end.stderr)),
        (Some(1), vec!["GPU 0 has 1500 processes, of which 0 are shown; report this driver"])
    );
    assert!(done(&["show", &more.argument]).contains("and 1500 more that there was no room for\n"));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for args in [&["--simulate"][..], &["ps", "--json", "--simulate"], &["man"], &["completions", "bash"], &["--help"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(env!("CARGO_BIN_EXE_igpu"), args);
        command.stdout(writer).stderr(Stdio::piped());
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
    }
    // As `| head -1`: more than a pipe holds, of which one line is read.
    let many = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, repeat = 1000 }}]", FOREIGN - 5000));
    let mut command = command(env!("CARGO_BIN_EXE_igpu"), ["ps", "--json", &many.argument]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((line.as_str(), output.status.code(), output.stderr.as_slice()), ("[\n", Some(0), &b""[..]));
}

#[test]
fn a_full_disk_is_a_failure() {
    for args in [
        &["--simulate"][..],
        &["list", "--json", "--simulate"],
        &["man"],
        &["completions", "fish"],
        &["driver", "--simulate"],
    ] {
        let mut command = command(env!("CARGO_BIN_EXE_igpu"), args);
        command.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), sentences(&stderr).len()), (Some(1), 1), "{args:?}");
        assert!(stderr.contains("No space left on device") && stderr.contains("output"), "{stderr}");
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    let unreadable = simulated("this is no TOML");
    let unknown_key = simulated("[[gpu]]\nnaem = 'x'");
    for args in [
        &["--simulate=nonsense"][..],
        &["--simulate="],
        &["--simulate=/nowhere/scenario.toml"],
        &[&unreadable.argument],
        &[&unknown_key.argument, "list"],
        &["--simulate", "--library", "x.so"],
        &["--nonsense"],
        &["nonsense"],
        &["list", "0", "--simulate"],
        &["ps", "extra"],
        &["completions"],
        &["completions", "nonsense"],
        &["--library"],
        &["--library", ""],
        &["--simulate", "--json=yes"],
    ] {
        let end = igpu(args);
        assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(end.stderr.starts_with("error: ") && !end.stderr.contains("panicked"), "{}", end.stderr);
    }
    // What would have been right.
    assert!(igpu(&["--simulate=nonsense"]).stderr.contains("workstation, hgx-h100, mig"));
    assert!(igpu(&[&unreadable.argument]).stderr.contains("line 1"));
    assert!(igpu(&[&unknown_key.argument]).stderr.contains("line 2"));
}

#[test]
fn help_teaches_by_example() {
    let help = done(&["--help"]);
    for part in [
        "Examples:",
        "igpu --simulate",
        "igpu show 0 GPU-d9bf",
        "CUDA_VISIBLE_DEVICES=1,3",
        "Exit status: 0",
        "--library",
        "--json",
    ] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
    for subcommand in ["show", "list", "ps", "driver", "completions", "man"] {
        assert!(help.contains(&format!("\n  {subcommand} ")), "{subcommand}");
        let own = done(&[subcommand, "--help"]);
        assert!(own.contains("Usage: igpu") && own.contains(subcommand), "{own}");
    }
    // What the help shows, works: each example line that needs no shell.
    for line in help.lines().filter_map(|line| line.trim().strip_prefix("igpu ")) {
        let Some((example, _)) = line.split_once("  ").filter(|(example, _)| !example.contains('|')) else { continue };
        let mut args: Vec<&str> = example.split_whitespace().collect();
        if !example.contains("--simulate") {
            args.push("--simulate");
        }
        done(&args);
    }
    let version = done(&["--version"]);
    assert!(version.starts_with(&format!("igpu {} (nvml.h ", env!("CARGO_PKG_VERSION"))), "{version}");
}

#[test]
fn completions_and_manual_are_made() {
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef igpu"), ("fish", "complete -c igpu")] {
        let script = done(&["completions", shell]);
        for part in [mark, "list", "driver", "simulate", "visible"] {
            assert!(script.contains(part), "{part} is not in the completions of {shell}");
        }
        // The shell itself, where it is there, finds no fault with it.
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("completions");
        fs::write(&file, &script).unwrap();
        if let Ok(output) = Command::new(shell).arg("-n").arg(&file).output() {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let page = done(&["man"]);
    for part in [".TH igpu 1", ".SH NAME", ".SH OPTIONS", "\\-\\-simulate", "igpu\\-ps", "Examples:"] {
        assert!(page.contains(part), "{part} is not in the manual page");
    }
}

#[test]
fn a_copy_needs_no_file_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let (bin, empty) = (directory.path().join("bin"), directory.path().join("empty"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&empty).unwrap();
    let program = bin.join("igpu");
    copy(Path::new(env!("CARGO_BIN_EXE_igpu")), &program);
    for (scenario, count) in SCENARIOS {
        let mut command = command(&program, [format!("--simulate={scenario}"), "--json".to_owned()]);
        command.current_dir(&empty).env_clear();
        let end = end(command);
        assert_eq!((end.code, end.stderr.as_str(), json(&end.stdout).len()), (Some(0), "", count), "{scenario}");
    }
    let linked = directory.path().join("linked");
    symlink(&program, &linked).unwrap();
    assert_eq!(end(command(&linked, ["list", "--simulate"])).stdout.lines().count(), 4);
}

#[test]
fn a_library_shows_what_the_simulation_shows() {
    for (scenario, count) in SCENARIOS {
        let (_directory, library) = installed(Scenario::named(scenario).unwrap().text());
        let path = library.to_str().unwrap();
        let simulate = format!("--simulate={scenario}");
        assert_eq!(done(&["list", "--library", path]), done(&["list", &simulate]));
        let by_library = json(&done(&["--json", "--library", path]));
        let in_process = json(&done(&["--json", &simulate]));
        for (one, other) in by_library.iter().zip(&in_process) {
            assert_eq!((&one["pci"], &one["memory"]["total"]), (&other["pci"], &other["memory"]["total"]));
            assert_eq!(one["power"]["limit"], other["power"]["limit"]);
        }
        assert_eq!((by_library.len(), in_process.len()), (count, count));
        // The variable names it as well.
        let mut command = command(env!("CARGO_BIN_EXE_igpu"), ["list"]);
        command.env("IGPU_NVML_LIBRARY", path);
        assert_eq!(end(command).stdout, done(&["list", &simulate]));
    }
}
