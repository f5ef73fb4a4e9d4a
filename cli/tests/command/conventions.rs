//! Help, completions, the manual; where the command may stand; which library it loads.

use igpu_recording::Format;

use super::*;

#[test]
fn wrong_usage_exits_with_two() {
    let unreadable = simulated("this is no PROBE_SCENARIO");
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
        let result = igpu(args);
        assert_eq!((result.code, result.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(result.stderr.starts_with("error: ") && !result.stderr.contains("panicked"), "{}", result.stderr);
    }
    // What would have been right.
    assert!(igpu(&["--simulate=nonsense"]).stderr.contains(&Scenario::names().join(", ")));
    assert!(igpu(&[&unreadable.argument]).stderr.contains("line 1"));
    assert!(igpu(&[&unknown_key.argument]).stderr.contains("line 2"));
}

#[test]
fn help_examples_succeed() {
    let help = stdout_of(&["--help"]);
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
    for subcommand in ["show", "list", "ps", "probe", "record", "report", "plot", "driver", "completions", "man"] {
        assert!(help.contains(&format!("\n  {subcommand} ")), "{subcommand}");
        let own = stdout_of(&[subcommand, "--help"]);
        assert!(own.contains("Usage: igpu") && own.contains(subcommand), "{own}");
    }
    // What the help shows, works: each example line that needs no shell and no program of the reader's.
    let needs_more = |example: &str| example.contains('|') || example.contains(" -- ");
    for line in help.lines().filter_map(|line| line.trim().strip_prefix("igpu ")) {
        let Some((example, _)) = line.split_once("  ").filter(|(example, _)| !needs_more(example)) else { continue };
        let mut args: Vec<&str> = example.split_whitespace().collect();
        if !example.contains("--simulate") {
            args.push("--simulate");
        }
        stdout_of(&args);
    }
    let version = stdout_of(&["--version"]);
    assert!(version.starts_with(&format!("igpu {} (nvml.h ", env!("CARGO_PKG_VERSION"))), "{version}");
}

#[test]
fn completions_and_man_pages_are_generated() {
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef igpu"), ("fish", "complete -c igpu")] {
        let script = stdout_of(&["completions", shell]);
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
    let page = stdout_of(&["man"]);
    for part in [
        ".TH igpu 1",
        ".SH NAME",
        ".SH OPTIONS",
        "\\-\\-simulate",
        "\\fBps\\fR",
        ".SH EXAMPLES",
        ".SH ENVIRONMENT",
        ".SH EXIT STATUS",
    ] {
        assert!(page.contains(part), "{part} is not in the manual page");
    }
}

#[test]
fn copied_program_needs_no_other_file() {
    let directory = tempfile::tempdir().unwrap();
    let (bin, empty) = (directory.path().join("bin"), directory.path().join("empty"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&empty).unwrap();
    let program = bin.join("igpu");
    copy(Path::new(env!("CARGO_BIN_EXE_igpu")), &program);
    for (scenario, count) in scenarios() {
        let mut command = command(&program, [format!("--simulate={scenario}"), "--json".to_owned()]);
        command.current_dir(&empty).env_clear();
        let result = run(command);
        assert_eq!(
            (result.code, result.stderr.as_str(), json(&result.stdout).len()),
            (Some(0), "", count),
            "{scenario}"
        );
    }
    let linked = directory.path().join("linked");
    symlink(&program, &linked).unwrap();
    assert_eq!(run(command(&linked, ["list", "--simulate"])).stdout.lines().count(), 4);
}

#[test]
fn library_and_simulation_print_the_same() {
    for (scenario, count) in scenarios() {
        let (_directory, library) = installed(Scenario::from_name(scenario).unwrap().text());
        let path = library.to_str().unwrap();
        let simulate = format!("--simulate={scenario}");
        assert_eq!(stdout_of(&["list", "--library", path]), stdout_of(&["list", &simulate]));
        let by_library = json(&stdout_of(&["--json", "--library", path]));
        let in_process = json(&stdout_of(&["--json", &simulate]));
        for (one, other) in by_library.iter().zip(&in_process) {
            assert_eq!((&one["pci"], &one["memory"]["total"]), (&other["pci"], &other["memory"]["total"]));
            assert_eq!(one["power"]["limit"], other["power"]["limit"]);
        }
        assert_eq!((by_library.len(), in_process.len()), (count, count));
        // The variable names it as well.
        let mut command = command(env!("CARGO_BIN_EXE_igpu"), ["list"]);
        command.env("IGPU_NVML_LIBRARY", path);
        assert_eq!(run(command).stdout, stdout_of(&["list", &simulate]));
    }
}

#[test]
fn documents_list_every_format() {
    let document = include_str!("../../../docs/recording.md");
    let readme = include_str!("../../../recording/README.md");
    for format in Format::ALL {
        let extension = format!("| `.{}` |", format.extensions()[0]);
        assert!(document.contains(&extension), "docs/recording.md lacks a row with {extension}");
        assert!(readme.contains(&extension), "recording/README.md lacks a row with {extension}");
    }
}
