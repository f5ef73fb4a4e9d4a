//! What goes wrong, and what others do to the output.

use super::*;

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
    let processes = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, memory_mib = 1 }}]", child.0.id()));
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
    let many = simulated(&format!(
        "[[gpu]]\ncount = 2\nprocess = [{{ pid = {}, count = 700, memory_mib = 3 }}]",
        FOREIGN - 5000
    ));
    let table = done(&["ps", &many.argument]);
    assert_eq!(table.lines().count(), 1401);
    assert_eq!(table.lines().filter(|line| line.ends_with("N/A            3 MiB")).count(), 1400, "{table}");
    assert_eq!(json(&done(&["ps", "--json", &many.argument])).len(), 1400);
    assert!(done(&[&many.argument]).lines().count() > 1400);
    // More than the memory that is made at first: it is made anew.
    let more = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, count = 1500 }}]", FOREIGN - 5000));
    assert_eq!(done(&["ps", &more.argument]).lines().count(), 1501);
    assert_eq!(json(&done(&["--json", &more.argument]))[0]["processes"].as_array().map(Vec::len), Some(1500));
    // A list that grows faster than memory can be made: said, and a failure, as not all is shown.
    let growing = "[[fault]]\nfunction = 'nvmlDeviceGetComputeRunningProcesses_v3'\nextra_processes_per_call = 4000";
    let more = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, count = 1500 }}]\n{growing}", FOREIGN - 5000));
    for args in [&["ps"][..], &["show"], &["--json"], &["ps", "--json"]] {
        let end = igpu(&[args, &[more.argument.as_str()]].concat());
        assert_eq!(end.code, Some(1), "{args:?}");
        assert!(end.stderr.contains(" processes, of which 0 are shown; ask again"), "{args:?}: {}", end.stderr);
    }
}

#[test]
fn refused_processes_are_not_taken_for_none() {
    let fault =
        |kind| format!("[[fault]]\nfunction = 'nvmlDeviceGet{kind}RunningProcesses_v3'\nreturn = 'NO_PERMISSION'\n");
    let refused = simulated(&format!("[[gpu]]\n{}{}", fault("Compute"), fault("Graphics")));
    let end = igpu(&["ps", &refused.argument]);
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("the processes of GPU 0 are not known: nvmlDeviceGetCompute"), "{}", end.stderr);
    assert_eq!(json(&done(&["--json", &refused.argument]))[0]["processes"], Value::Null);
    assert!(done(&[&refused.argument]).contains("GPU MEM\n    N/A\n"));
}

#[test]
fn json_cannot_take_the_terminal_over() {
    let hostile = "text = \"\\u009b31mx\\u061c\\u007f\\u202e\"";
    let named = simulated(&format!("[[gpu]]\nprocess = []\n[[fault]]\nfunction = 'nvmlDeviceGetName'\n{hostile}"));
    let text = done(&["--json", &named.argument]);
    assert!(text.chars().all(|c| c == '\n' || !igpu::needs_escape(c)), "{text:?}");
    assert_eq!(json(&text)[0]["name"], "\u{9b}31mx\u{61c}\u{7f}\u{202e}");
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
    let many = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, count = 1000 }}]", FOREIGN - 5000));
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
