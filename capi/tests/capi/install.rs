//! Tests of the files that `scripts/install-capi` installs, and of the symbols that the libraries export.

use std::{fs, path::Path, process::Command};

use crate::tools::{
    RunWith, WARNINGS, compiler, driver, execute, package_root, pkg_config, prefix, run, scratch, target, workspace,
};

#[test]
#[ignore = "installs the library with its own profile, and needs pkg-config"]
fn installation_has_all_files() {
    let mut found = files(prefix(), prefix());
    found.sort();
    let lib = ["lib/libigpu.a", "lib/libigpu.so", "lib/libigpu.so.0", "lib/libigpu.so.0.2.0", "lib/pkgconfig/igpu.pc"];
    assert_eq!(found, [&["include/igpu.h"], &lib[..]].concat());
    let dynamic = run(Command::new("readelf").arg("-d").arg(prefix().join("lib/libigpu.so")));
    assert!(dynamic.contains("Library soname: [libigpu.so.0]") && dynamic.contains("NODELETE"), "{dynamic}");
    assert_eq!(pkg_config(&["--modversion"]).trim(), env!("CARGO_PKG_VERSION"));
    let size = fs::metadata(prefix().join("lib/libigpu.so")).unwrap().len();
    assert!(size < 1 << 20, "the shared library has {size} bytes");
}

#[test]
#[ignore = "installs the library with its own profile, and needs pkg-config"]
fn destdir_is_prepended() {
    let staged = scratch().join("staged");
    let _ = fs::remove_dir_all(&staged);
    let mut script = Command::new(workspace().join("scripts/install-capi"));
    // The script must be able to parse the output of cargo even if the output is colored.
    script.env("CARGO_TERM_COLOR", "always").env("CARGO_TARGET_DIR", target());
    // DESTDIR is relative to the current folder, which differs from the folder of the script.
    run(script.arg("/opt/some & where").env("DESTDIR", "staged").current_dir(scratch()));
    let lib = staged.join("opt/some & where/lib");
    let package = fs::read_to_string(lib.join("pkgconfig/igpu.pc")).unwrap();
    assert!(package.starts_with("prefix=/opt/some & where\n"), "{package}");
    assert!(!package.contains('@'), "{package}");
    let private = package.lines().find_map(|line| line.strip_prefix("Libs.private: ")).unwrap_or_default();
    assert!(private.split(' ').any(|library| library == "-lgcc_s"), "{package}");
    assert!(lib.join("libigpu.so.0").exists());
    let mut flags = Command::new("pkg-config");
    let flags = run(flags.args(["--cflags", "igpu"]).env("PKG_CONFIG_PATH", lib.join("pkgconfig")));
    assert_eq!(flags.trim(), r"-I/opt/some\ \&\ where/include");
}

#[test]
fn unwritable_prefix_fails_before_compilation() {
    let file = scratch().join("file");
    fs::write(&file, "").unwrap();
    let mut script = Command::new(workspace().join("scripts/install-capi"));
    let output = script.arg(file.join("prefix")).env_remove("DESTDIR").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let expected = format!("scripts/install-capi: cannot create directories in {}\n", file.join("prefix").display());
    assert!(!output.status.success() && text.ends_with(&expected) && !text.contains("compiling"), "{text}");
}

#[test]
#[ignore = "installs the library with its own profile, and needs pkg-config"]
fn static_library_exports_only_igpu_names() {
    let archive = prefix().join("lib/libigpu.a");
    let shown = names(Command::new("nm").args(["-g", "--defined-only"]).arg(&archive));
    assert_eq!(shown, names(Command::new("nm").args(["-D", "--defined-only"]).arg(prefix().join("lib/libigpu.so"))));
    // Neither library contains the simulator.
    for library in [archive, prefix().join("lib/libigpu.so")] {
        let bytes = fs::read(library).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"nvml-sim" || part == b"nvml_sim"));
    }
}

#[test]
#[ignore = "installs the library with its own profile, and needs pkg-config"]
fn program_links_static_library() {
    let program = scratch().join("static");
    let mut command = compiler(false);
    command.args(WARNINGS).arg(package_root().join("examples/snapshot.c")).arg(prefix().join("lib/libigpu.a"));
    let all = pkg_config(&["--cflags", "--libs", "--static"]);
    command.args(all.split_whitespace().filter(|flag| *flag != "-ligpu"));
    run(command.args(["-Wl,--gc-sections", "-o"]).arg(&program));
    assert!(!run(Command::new("readelf").arg("-d").arg(&program)).contains("libigpu"));
    let library = driver().join("libnvidia-ml.so.1");
    let printed = execute(&program, RunWith::Nothing, &[], &[("IGPU_NVML_LIBRARY", library.as_os_str())]);
    assert!(
        printed.starts_with("0 GeForce GTX 1080 Ti: 122.23 W, 44 % busy, 10799 MiB used, 2 processes\n"),
        "{printed}"
    );
}

/// Returns the names that `nm` lists, sorted.
fn names(command: &mut Command) -> Vec<String> {
    let listed = run(command);
    let mut names: Vec<String> =
        listed.lines().filter_map(|line| line.rsplit_once(' ')).map(|(_, name)| name.to_owned()).collect();
    names.sort();
    assert!(names.len() > 30 && names.iter().all(|name| name.starts_with("igpu_")), "{names:?}");
    names
}

fn files(folder: &Path, from: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inner = |path: std::path::PathBuf| {
        if path.is_dir() { files(&path, from) } else { vec![path.strip_prefix(from).unwrap().display().to_string()] }
    };
    entries.flat_map(inner).collect()
}
