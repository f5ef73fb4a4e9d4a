//! Tests of the help, the completions, the manual pages, the location of the program, and the selected library.

use igpu_recording::Format;

use super::*;

#[test]
fn wrong_usage_exits_with_two() {
    let unreadable = simulated("this is no scenario");
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
        &["man", "--json"],
        &["completions", "bash", "--json"],
    ] {
        let result = igpu(args);
        assert_eq!((result.code, result.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(result.stderr.starts_with("igpu: ") && !result.stderr.contains("panicked"), "{}", result.stderr);
    }
    // The help line lists the valid values. An error in a file has the line number.
    let help = format!("\nhelp: use one of {}, or the path of a TOML file\n", Scenario::names().join(", "));
    assert!(igpu(&["--simulate=nonsense"]).stderr.contains(&help));
    assert!(igpu(&[&unreadable.argument]).stderr.contains("line 1"));
    assert!(igpu(&[&unknown_key.argument]).stderr.contains("line 2"));
}

#[test]
fn misplaced_argument_prints_help() {
    for (args, help) in [
        (&["--simulate", "hgx-h100", "list"][..], "write `--simulate=hgx-h100`"),
        (&["list", "--simulate", "hgx-h100"], "write `--simulate=hgx-h100`"),
        (&["record", "echo", "hi"], "put `--` before the program: `igpu record -- echo`"),
        (&["record", "--summary-json", "s.json"], "write `--summary-json=s.json`"),
    ] {
        let result = igpu(args);
        assert!(result.code == Some(2) && result.stderr.starts_with("igpu: "), "{args:?}: {}", result.stderr);
        assert!(result.stderr.contains(&format!("\nhelp: {help}\n\nUsage: ")), "{args:?}: {}", result.stderr);
    }
}

#[test]
fn help_examples_succeed() {
    let help = stdout_of(&["--help"]);
    for part in [
        "Examples:",
        "igpu --simulate",
        "igpu show 0 GPU-d9bf",
        "CUDA_VISIBLE_DEVICES=1,3",
        "Exit status:\n  0  Success",
        "--library",
        "--json",
    ] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
    for subcommand in ["show", "list", "ps", "probe", "record", "report", "plot", "driver", "completions", "man"] {
        assert!(help.contains(&format!("\n  {subcommand} ")), "{subcommand}");
        let own = stdout_of(&[subcommand, "--help"]);
        assert!(own.contains(&format!("Usage: igpu {subcommand} ")), "{own}");
        for part in ["\nExamples:\n", "\nExit status:\n"] {
            assert!(own.contains(part), "{part} is not in {own}");
        }
        for line in help.lines().chain(own.lines()) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
    // Run the examples that need no shell, no other program, and no recording.
    let needs_more = |example: &str| example.contains('|') || example.contains(" -- ") || example.starts_with("report");
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
        // If the shell is installed, it accepts the script.
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("completions");
        fs::write(&file, &script).unwrap();
        if let Ok(output) = Command::new(shell).arg("-n").arg(&file).output() {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let page = stdout_of(&["man"]);
    assert_eq!(page.matches("Show the state of NVIDIA GPUs").count(), 1, "NAME and DESCRIPTION differ: {page}");
    for part in [
        ".SH DESCRIPTION",
        ".TH igpu 1",
        ".SH NAME",
        ".SH OPTIONS",
        "\\-\\-simulate",
        "\\fBigpu\\-ps\\fR(1)",
        ".SH \"EXAMPLES\"",
        ".SH \"ENVIRONMENT\"",
        ".SH \"EXIT STATUS\"",
    ] {
        assert!(page.contains(part), "{part} is not in the manual page");
    }
}

#[test]
fn every_subcommand_has_a_man_page() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("man1");
    assert_eq!(stdout_of(&["man", "--all", target.to_str().unwrap()]), "");
    let mut names: Vec<String> =
        fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    let subcommands = ["completions", "driver", "list", "man", "plot", "probe", "ps", "record", "report", "show"];
    let subcommands = subcommands.into_iter().filter(|name| cfg!(feature = "plot") || *name != "plot");
    let expected: Vec<String> =
        subcommands.clone().map(|name| format!("igpu-{name}.1")).chain(["igpu.1".to_owned()]).collect();
    assert_eq!(names, expected);
    for name in subcommands {
        let page = stdout_of(&["man", name]);
        assert_eq!(page, fs::read_to_string(target.join(format!("igpu-{name}.1"))).unwrap());
        for part in [&format!(".TH igpu-{name} 1"), ".SH SYNOPSIS", ".SH \"EXAMPLES\"", ".SH \"EXIT STATUS\""] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }
    let record = stdout_of(&["man", "record"]);
    assert!(
        record.contains("\nigpu record [OPTIONS] [\\-\\- <COMMAND>...]\n") && record.contains("gpu.power"),
        "{record}"
    );
    // If groff is installed, it formats the pages without warnings.
    for name in names {
        if let Ok(output) = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(target.join(&name)).output()
        {
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        }
    }
    let unknown = igpu(&["man", "nope"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(2), ""));
    assert!(
        unknown.stderr.contains("no subcommand is named \"nope\"\nhelp: use one of show, list, "),
        "{}",
        unknown.stderr
    );
    let unwritable = igpu(&["man", "--all", "/dev/null/man1"]);
    assert_eq!((unwritable.code, errors(&unwritable.stderr).len()), (Some(1), 1));
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
        for (a, b) in by_library.iter().zip(&in_process) {
            assert_eq!((&a["pci"], &a["memory"]["total"]), (&b["pci"], &b["memory"]["total"]));
            assert_eq!(a["power"]["limit"], b["power"]["limit"]);
        }
        assert_eq!((by_library.len(), in_process.len()), (count, count));
        // The environment variable selects the same library.
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
