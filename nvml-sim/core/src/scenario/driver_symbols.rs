//! The functions that the libraries of real driver branches export.

use std::collections::HashMap;
use std::sync::OnceLock;

/// The branches whose exported functions are known.
pub(crate) const BRANCHES: [&str; 6] = ["340", "390", "470", "525", "535", "550"];

/// The table: lines of branches, each followed by the functions that exactly these branches export.
const TABLE: &str = include_str!("driver_symbols.txt");

/// Returns `true` if the library of a driver branch exports the function.
pub(crate) fn exports(branch: u32, name: &str) -> bool {
    static BRANCHES_OF: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    let branch = branch.to_string();
    let branches = BRANCHES_OF.get_or_init(parse).get(name);
    branches.is_some_and(|branches| branches.split(' ').any(|known| known == branch))
}

/// Returns the branches of each function.
fn parse() -> HashMap<&'static str, &'static str> {
    let mut branches = "";
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| {
            if line.starts_with("nvml") {
                return Some((line, branches));
            }
            branches = line;
            None
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_functions_are_in_the_header() {
        for name in parse().keys() {
            assert!(nvml_sys::NAMES.iter().any(|known| known.to_bytes() == name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn branch_functions_are_counted() {
        let count = |branch: &str| parse().values().filter(|known| known.split(' ').any(|one| one == branch)).count();
        assert_eq!(BRANCHES.map(count), [113, 184, 251, 306, 329, 347]);
    }

    #[test]
    fn function_since_branch_is_missing_before() {
        for (name, first) in [
            ("nvmlInit_v2", 340),
            ("nvmlDeviceGetPciInfo_v3", 390),
            ("nvmlDeviceGetTotalEnergyConsumption", 390),
            ("nvmlDeviceGetComputeRunningProcesses_v2", 470),
            ("nvmlDeviceGetMemoryInfo_v2", 525),
            ("nvmlDeviceGetCurrentClocksEventReasons", 535),
        ] {
            for branch in BRANCHES.map(|branch| branch.parse().unwrap()) {
                assert_eq!(exports(branch, name), branch >= first, "{name} in {branch}");
            }
        }
        assert!(BRANCHES.iter().all(|branch| !exports(branch.parse().unwrap(), "nvmlDeviceGetTemperatureV")));
    }
}
