//! Detection of containers, for advice in errors.

use std::{fs, path::Path};

/// The files that container engines create in the root directory of a container: Docker's, and Podman's.
const MARKER_FILES: [&str; 2] = [".dockerenv", "run/.containerenv"];
/// The files that name the control groups of this process and of the container's first process.
const CGROUP_FILES: [&str; 2] = ["proc/self/cgroup", "proc/1/cgroup"];
/// The words in the names of control groups that container engines create.
const CGROUP_NAMES: [&str; 4] = ["docker", "kubepods", "containerd", "libpod"];

/// Returns `true` if this process appears to run in a container. Files that cannot be read are ignored.
pub(crate) fn is_container() -> bool {
    // systemd defined this variable, and Podman and LXC set it too.
    std::env::var_os("container").is_some_and(|engine| !engine.is_empty()) || has_container_files(Path::new("/"))
}

/// Returns `true` if the files below `root` show a container.
fn has_container_files(root: &Path) -> bool {
    let has_cgroup_name = |file: &str| {
        let groups = fs::read_to_string(root.join(file)).unwrap_or_default();
        CGROUP_NAMES.iter().any(|name| groups.contains(name))
    };
    MARKER_FILES.iter().any(|file| root.join(file).exists()) || CGROUP_FILES.iter().any(|file| has_cgroup_name(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the result for a root directory that contains only this file.
    fn is_container_with(file: &str, content: &str) -> bool {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        has_container_files(root.path())
    }

    #[test]
    fn marker_file_shows_container() {
        assert!(is_container_with(".dockerenv", ""));
        assert!(is_container_with("run/.containerenv", ""));
    }

    #[test]
    fn cgroup_name_shows_container() {
        assert!(is_container_with("proc/self/cgroup", "0::/docker/8f1a\n"));
        assert!(is_container_with("proc/1/cgroup", "12:cpu:/kubepods/besteffort/pod1\n"));
        assert!(is_container_with("proc/self/cgroup", "0::/system.slice/containerd.service\n"));
    }

    #[test]
    fn host_files_show_no_container() {
        assert!(!is_container_with("proc/self/cgroup", "0::/user.slice/user-1000.slice\n"));
        assert!(!has_container_files(Path::new("/nonexistent")));
    }
}
