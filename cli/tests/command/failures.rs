//! Tests of failures of the driver, of GPUs, and of the output, and of hostile text from external sources.

use super::*;

#[test]
fn missing_driver_prints_help() {
    // Files with the names of the driver libraries hide an installed driver.
    let directory = tempfile::tempdir().unwrap();
    for name in ["libnvidia-ml.so.1", "libnvidia-ml.so"] {
        fs::write(directory.path().join(name), "no library").unwrap();
    }
    for args in [&[][..], &["list"], &["ps", "--json"], &["driver"], &["show", "0"]] {
        let mut command = command(env!("CARGO_BIN_EXE_igpu"), args);
        command.env("LD_LIBRARY_PATH", directory.path());
        let result = run(command);
        if !Path::new("/usr/lib/wsl/lib/libnvidia-ml.so.1").exists() {
            assert_eq!((result.code, result.stdout.as_str()), (Some(1), ""), "{args:?}");
            assert_eq!(errors(&result.stderr).len(), 1, "{}", result.stderr);
            for part in ["libnvidia-ml.so.1 (", "libnvidia-ml.so (", "/usr/lib/wsl/lib/", "\nhelp: "] {
                assert!(result.stderr.contains(part), "{part} is not in {}", result.stderr);
            }
            assert!(result.stderr.ends_with("try simulated GPUs with `igpu --simulate`\n"), "{}", result.stderr);
        }
    }
    for (library, expected) in [("/nowhere/libx.so", "/nowhere/libx.so"), ("libm.so.6", "libnvidia-ml.so.1")] {
        let result = igpu(&["--library", library]);
        let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
        assert_eq!((result.code, result.stdout.as_str()), (Some(1), ""));
        assert!(message.contains(expected) || result.stderr.contains(expected), "{message}");
        assert!(result.stderr.ends_with("try simulated GPUs with `igpu --simulate`\n"), "{}", result.stderr);
    }
}

#[test]
fn driver_startup_failure_is_one_error() {
    for (return_code, parts) in [
        ("'LIB_RM_VERSION_MISMATCH'", ["reboot", "LIB_RM_VERSION_MISMATCH (18)"]),
        ("'DRIVER_NOT_LOADED'", ["modprobe nvidia", "DRIVER_NOT_LOADED (9)"]),
        ("'NO_PERMISSION'", ["root", "NO_PERMISSION (4)"]),
        ("'INSUFFICIENT_RESOURCES'", ["stop other programs", "(23)"]),
        ("4711", ["nvml.h", "code 4711"]),
    ] {
        let broken = simulated(&format!("[driver]\ninit_return = {return_code}\n[[gpu]]"));
        let result = igpu(&["--json", &broken.argument]);
        assert_eq!((result.code, result.stdout.as_str(), errors(&result.stderr).len()), (Some(1), "", 1));
        assert!(parts.iter().all(|part| result.stderr.contains(part)), "{}", result.stderr);
    }
    // A machine without a GPU is not a failure, whether `nvmlInit_v2` fails or the number of GPUs is 0.
    let none = simulated("[driver]\ninit_return = 28");
    assert_eq!(stdout_of(&[&none.argument]), "There is no NVIDIA GPU on this machine.\n");
    assert_eq!(stdout_of(&["list", "--json", &none.argument]), "[]\n");
    // The driver can be initialized, but does not return a valid number of GPUs.
    for value in ["return = 'UNKNOWN'", "value = -1"] {
        let failing = workstation(&format!("[[fault]]\nfunction = 'nvmlDeviceGetCount*'\n{value}"));
        for args in [&[][..], &["list"], &["ps"], &["show", "0"]] {
            let result = igpu(&[args, &[failing.argument.as_str()]].concat());
            assert_eq!(
                (result.code, result.stdout.as_str(), errors(&result.stderr).len()),
                (Some(1), "", 1),
                "{args:?}"
            );
        }
    }
}

#[test]
fn lost_gpu_does_not_hide_others() {
    let lost = workstation("[[gpu_lost]]\ngpu = 1");
    let result = igpu(&[&lost.argument]);
    assert_eq!((result.code, shown(&result)), (Some(1), vec!["0", "2", "3"]));
    let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
    assert!(message.starts_with("GPU 1") && message.contains("GPU_IS_LOST (15)"), "{message}");
    let result = igpu(&["--json", &lost.argument]);
    let gpus = json(&result.stdout);
    assert_eq!((result.code, gpus.len(), errors(&result.stderr).len()), (Some(1), 4, 1));
    assert!(gpus[1]["error"].as_str().unwrap().contains("GPU_IS_LOST"));
    assert_eq!((&gpus[1]["power"]["draw"], &gpus[2]["memory"]["used"]), (&Value::Null, &Value::from(3712.0)));
    assert_eq!(gpus[0].get("error"), None);
    let result = igpu(&["list", &lost.argument]);
    assert_eq!((result.code, result.stdout.lines().count(), errors(&result.stderr).len()), (Some(1), 4, 1));
    let result = igpu(&["ps", "--json", &lost.argument]);
    assert_eq!((result.code, json(&result.stdout).len(), errors(&result.stderr).len()), (Some(1), 6, 1));
    // The lost GPU affects only commands that select it.
    assert_eq!(igpu(&["show", "0", "GPU-4d1f", &lost.argument]).code, Some(0));
    let result = igpu(&["show", "1", &lost.argument]);
    assert_eq!((result.code, result.stdout.as_str(), errors(&result.stderr).len()), (Some(1), "", 1));
    let all = workstation(&(0..4).map(|gpu| format!("[[gpu_lost]]\ngpu = {gpu}\nreturn = 16\n")).collect::<String>());
    let result = igpu(&[&all.argument]);
    assert_eq!((result.code, result.stdout.as_str(), errors(&result.stderr).len()), (Some(1), "", 4));
    assert!(result.stderr.contains("nvidia-smi --gpu-reset"));
    // A GPU that is lost after its UUID was read is reported with its UUID.
    let lost_later = workstation("[[fault]]\nfunction = 'nvmlDeviceGetPowerUsage'\ngpu = 2\nreturn = 'GPU_IS_LOST'");
    let result = igpu(&[&lost_later.argument]);
    assert_eq!((result.code, shown(&result)), (Some(1), vec!["0", "1", "3"]));
    assert!(
        errors(&result.stderr)[0].starts_with("GPU 2 (GPU-4d1f3a0e-7c2b-4f5d-9a68-0b7e5c3d2f11) "),
        "{}",
        result.stderr
    );
}

#[test]
fn unsupported_value_is_not_a_failure() {
    for code in ["'NOT_SUPPORTED'", "'NO_PERMISSION'", "'UNKNOWN'", "4711"] {
        let unsupported = workstation(&format!("[[fault]]\nfunction = 'nvmlDeviceGetPower*'\nreturn = {code}"));
        assert_eq!(stdout_of(&[&unsupported.argument]).matches("Draw       : N/A W\n").count(), 4);
        assert_eq!(json(&stdout_of(&["--json", &unsupported.argument]))[3]["power"]["draw"], Value::Null);
    }
    let nonsense = workstation("[[fault]]\ngpu = 0\nvalue = -1");
    for args in [&[][..], &["list"], &["ps"], &["--json"]] {
        assert_eq!(igpu(&[args, &[nonsense.argument.as_str()]].concat()).code, Some(0));
    }
}

/// Returns `true` if the text has no characters that control a terminal, except line feeds.
fn is_safe_for_terminals(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)))
}

/// A process that is killed when dropped.
struct SleepingProcess(Child);

impl Drop for SleepingProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn control_characters_are_escaped_in_text() {
    let hostile = "\\u001b]0;x\\u0007\\u001b[2Jé\\r\\n\\u202e";
    let fault =
        |function: &str, gpu: u32| format!("[[fault]]\nfunction = '{function}'\ngpu = {gpu}\ntext = \"{hostile}\"\n");
    let named = workstation(
        &(fault("nvmlDeviceGetName", 0) + &fault("nvmlDeviceGetUUID", 1) + &fault("nvmlDeviceGetPciInfo_v3", 2)),
    );
    for args in [&[][..], &["list"], &["ps"], &["driver"]] {
        let text = igpu(&[args, &[named.argument.as_str()]].concat());
        assert!(text.code == Some(0) && is_safe_for_terminals(&text.stdout), "{text:?}");
    }
    assert!(
        stdout_of(&["list", &named.argument]).contains("0  GPU-115dafb8-26db-32ba-d729-f21b29fc001f \\u{1b}]0;x\\u{7}")
    );
    assert_eq!(json(&stdout_of(&["--json", &named.argument]))[0]["name"], "\u{1b}]0;x\u{7}\u{1b}[2Jé\r\n\u{202e}");
    let versions = simulated("[[fault]]\nfunction = 'nvmlSystemGet*'\ntext = \"\\u001b[2J\\n\"");
    assert!(is_safe_for_terminals(&stdout_of(&["driver", &versions.argument])));
    // The message on stderr about a lost GPU whose UUID is hostile.
    let lost = workstation(
        &(fault("nvmlDeviceGetUUID", 1) + "[[fault]]\nfunction = 'nvmlDeviceGetMemoryInfo_v2'\ngpu = 1\nreturn = 15"),
    );
    let result = igpu(&[&lost.argument]);
    assert!(
        result.code == Some(1) && is_safe_for_terminals(&result.stderr) && errors(&result.stderr).len() == 1,
        "{result:?}"
    );
    // Invalid UTF-8, a missing NUL, and an empty text.
    for text in ["bytes = [255, 254]", "bytes = [71, 27]\nno_nul = true", "text = ''"] {
        let odd = workstation(&format!("[[fault]]\nfunction = 'nvmlDeviceGet*'\n{text}"));
        for args in [&[][..], &["list"], &["--json"]] {
            let result = igpu(&[args, &[odd.argument.as_str()]].concat());
            assert!(result.code == Some(0) && is_safe_for_terminals(&result.stdout), "{result:?}");
        }
    }
    // A process with a hostile name.
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("\u{1b}[31mx\ny\u{202e}");
    let script = directory.path().join("script");
    fs::write(&script, "#!/bin/sh\nread line\n").unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    copy(&script, &program);
    let child = SleepingProcess(Command::new(&program).stdin(Stdio::piped()).spawn().unwrap());
    let processes = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, memory_mib = 1 }}]", child.0.id()));
    for args in [&[][..], &["ps"]] {
        let text = stdout_of(&[args, &[processes.argument.as_str()]].concat());
        assert!(is_safe_for_terminals(&text), "{text:?}");
        assert!(text.contains("\\u{1b}[31mx"), "{text}");
    }
    let rows = json(&stdout_of(&["ps", "--json", &processes.argument]));
    assert!(rows[0]["name"].as_str().unwrap().starts_with("\u{1b}[31mx\ny"));
}

#[test]
fn process_lists_grow_to_any_length() {
    let many = simulated(&format!(
        "[[gpu]]\ncount = 2\nprocess = [{{ pid = {}, count = 700, memory_mib = 3 }}]",
        UNUSED_PID - 5000
    ));
    let table = stdout_of(&["ps", &many.argument]);
    assert_eq!(table.lines().count(), 1401);
    assert_eq!(table.lines().filter(|line| line.ends_with("N/A            3 MiB")).count(), 1400, "{table}");
    assert_eq!(json(&stdout_of(&["ps", "--json", &many.argument])).len(), 1400);
    assert!(stdout_of(&[&many.argument]).lines().count() > 1400);
    // More processes than the initial capacity of the lists.
    let more = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, count = 1500 }}]", UNUSED_PID - 5000));
    assert_eq!(stdout_of(&["ps", &more.argument]).lines().count(), 1501);
    assert_eq!(json(&stdout_of(&["--json", &more.argument]))[0]["processes"].as_array().map(Vec::len), Some(1500));
    // A list that grows faster than the capacity cannot be shown completely, which is a failure.
    let growing = "[[fault]]\nfunction = 'nvmlDeviceGetComputeRunningProcesses_v3'\nextra_processes_per_call = 4000";
    let more = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, count = 1500 }}]\n{growing}", UNUSED_PID - 5000));
    for args in [&["ps"][..], &["show"], &["--json"], &["ps", "--json"]] {
        let result = igpu(&[args, &[more.argument.as_str()]].concat());
        assert_eq!(result.code, Some(1), "{args:?}");
        let expected = " processes, of which 0 are shown\nhelp: run the command again";
        assert!(result.stderr.contains(expected), "{args:?}: {}", result.stderr);
    }
}

#[test]
fn denied_process_list_is_an_error() {
    let fault =
        |kind| format!("[[fault]]\nfunction = 'nvmlDeviceGet{kind}RunningProcesses_v3'\nreturn = 'NO_PERMISSION'\n");
    let denied = simulated(&format!("[[gpu]]\n{}{}", fault("Compute"), fault("Graphics")));
    let result = igpu(&["ps", &denied.argument]);
    assert_eq!(result.code, Some(1));
    assert!(result.stderr.contains("the processes of GPU 0 are unknown: nvmlDeviceGetCompute"), "{}", result.stderr);
    assert_eq!(json(&stdout_of(&["--json", &denied.argument]))[0]["processes"], Value::Null);
    assert!(stdout_of(&[&denied.argument]).contains("GPU MEM\n    N/A\n"));
}

#[test]
fn control_characters_are_escaped_in_json() {
    let hostile = "text = \"\\u009b31mx\\u061c\\u007f\\u202e\"";
    let named = simulated(&format!("[[gpu]]\nprocess = []\n[[fault]]\nfunction = 'nvmlDeviceGetName'\n{hostile}"));
    let text = stdout_of(&["--json", &named.argument]);
    assert!(text.chars().all(|c| c == '\n' || !igpu::needs_escape(c)), "{text:?}");
    assert_eq!(json(&text)[0]["name"], "\u{9b}31mx\u{61c}\u{7f}\u{202e}");
}

#[test]
fn closed_pipe_is_not_a_failure() {
    for args in [&["--simulate"][..], &["ps", "--json", "--simulate"], &["man"], &["completions", "bash"], &["--help"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(env!("CARGO_BIN_EXE_igpu"), args);
        command.stdout(writer).stderr(Stdio::piped());
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
    }
    // Like `head -1`, the reader reads only one line of an output that is larger than the buffer of a pipe.
    let many = simulated(&format!("[[gpu]]\nprocess = [{{ pid = {}, count = 1000 }}]", UNUSED_PID - 5000));
    let mut command = command(env!("CARGO_BIN_EXE_igpu"), ["ps", "--json", &many.argument]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((line.as_str(), output.status.code(), output.stderr.as_slice()), ("[\n", Some(0), &b""[..]));
}

#[test]
fn full_disk_is_a_failure() {
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
        assert_eq!((output.status.code(), errors(&stderr).len()), (Some(1), 1), "{args:?}");
        assert!(stderr.contains("No space left on device") && stderr.contains("output"), "{stderr}");
    }
}
