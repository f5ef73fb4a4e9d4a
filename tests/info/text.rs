//! Tests of the text and the JSON of `GpuInfo`.

use super::*;

/// Returns the output of igpu 0.1.2 with the processes of a test.
fn golden(child: u32, user: &str, created: &str) -> String {
    let own = std::process::id();
    format!(
        "\
INDEX        : 0
BOARD NAME   : GeForce GTX 1080 Ti
SERIAL       : N/A
UUID         : GPU-115dafb8-26db-32ba-d729-f21b29fc001f
BIOS VERSION : 86.02.39.00.01

GPU MEMORY:
    Total :   11178.50 MiB (100.00%)
    Used  :   10799.00 MiB ( 96.61%)
    Free  :     379.50 MiB (  3.39%)

GPU UTILIZATION:
    Performance : P2
    Temperature : 61.00C
    Graphics    : [|||||||||||              ] 44.00%
    Memory      : [||||||||                 ] 35.00%
    Fan         : [|||||||||                ] 36.00%

PCI INFO:
    Bus           : 88
    Bus ID        : 00000000:88:00.0
    Device        : 00
    Device ID     : 1B0610DE
    Sub-System ID : 1210196E
    Generation    : 3 (Max: 3)
    Link Width    : 16x (Max: 16x)

GPU CLOCK:
    Graphics : 1911.0 MHz (Max: 1911.0)
    SM       : 1911.0 MHz (Max: 1911.0)
    Memory   : 5005.0 MHz (Max: 5505.0)

POWER INFO:
    Management : Supported
    Draw       : 122.23 W
    Limit      : 250.00 W
    Min Limit  : 125.00 W
    Max Limit  : 300.00 W

PROCESSES
    PID    | NAME                 | USER                 | PARENT   | CREATION TIME        | GPU MEM
    {child:<6} | sleep                | {user:<20} | {own:<8} | {created:<20} | 4284  
    {FOREIGN:<6} | N/A                  | N/A                  | N/A      | N/A                  | 6515  

"
    )
}

#[test]
fn text_matches_igpu_0_1() {
    let child = SleepProcess::new();
    let text = Scenario::from_name("workstation").unwrap().text().to_owned();
    let text = text.replacen("\"self\"", &child.pid().to_string(), 1).replacen("\"parent\"", &FOREIGN.to_string(), 1);
    let (driver, nvml) = sim_from_toml(&text);
    driver.set_time(Duration::ZERO);
    let gpu = nvml.gpu_info(0).unwrap();
    let user = std::process::Command::new("id").arg("-un").output().unwrap();
    let created = format_local_time(gpu.processes[0].create_time.unwrap()).unwrap();
    let golden = golden(child.pid(), String::from_utf8(user.stdout).unwrap().trim(), &created);
    assert_eq!(gpu.to_string(), golden);
    // The text of each group is a part of the whole text.
    let groups = [
        gpu.memory.to_string(),
        gpu.utilization.to_string(),
        gpu.pci.to_string(),
        gpu.clocks.to_string(),
        gpu.power.to_string(),
        gpu.processes.to_string(),
    ];
    let head = golden.split("GPU MEMORY").next().unwrap();
    assert_eq!(format!("{head}{}\n", groups.join("\n\n")), golden);
    assert!(golden.contains(&format!("    {}\n", gpu.processes[1])));
}

#[test]
fn missing_values_are_shown() {
    let na = "\
INDEX        : 0
BOARD NAME   : N/A
SERIAL       : TEXT
UUID         : TEXT
BIOS VERSION : TEXT

GPU MEMORY:
    Total :        N/A MiB (100.00%)
    Used  :        N/A MiB (   N/A%)
    Free  :        N/A MiB (   N/A%)

GPU UTILIZATION:
    Performance : TEXT
    Temperature : N/AC
    Graphics    : N/A
    Memory      : N/A
    Fan         : N/A

PCI INFO:
    Bus           : N/A
    Bus ID        : N/A
    Device        : N/A
    Device ID     : N/A
    Sub-System ID : N/A
    Generation    : TEXT (Max: TEXT)
    Link Width    : TEXT (Max: TEXT)

GPU CLOCK:
    Graphics : N/A MHz (Max: N/A)
    SM       : N/A MHz (Max: N/A)
    Memory   : N/A MHz (Max: N/A)

POWER INFO:
    Management : TEXT
    Draw       : N/A W
    Limit      : N/A W
    Min Limit  : N/A W
    Max Limit  : N/A W

PROCESSES
    PID    | NAME                 | USER                 | PARENT   | CREATION TIME        | GPU MEM

";
    // If a string cannot be read for another reason, its value is the reason, as in igpu 0.1.2.
    for (number, text) in [
        (3, "N/A"),
        (4, "Insufficient Permissions"),
        (13, "Function Not Found"),
        (999, "Unknown Error"),
        (4711, "Unknown Error"),
    ] {
        let (driver, nvml) = sim_from_name("workstation");
        // The handle is available, but all other calls fail.
        for first in "BCFGMNPSTUV".chars() {
            driver
                .add_faults(&format!("[[fault]]\ngpu = 0\nreturn = {number}\nfunction = 'nvmlDeviceGet{first}*'"))
                .unwrap();
        }
        let gpu = GpuInfo::new(&nvml, 0, 4).unwrap();
        assert_eq!(gpu.error(), None);
        // A list that cannot be read is N/A. A list that the GPU does not support is an empty table.
        let list = if number == 3 { "" } else { "    N/A\n" };
        let expected = na.replace("TEXT", text).replace("| GPU MEM\n", &format!("| GPU MEM\n{list}"));
        assert_eq!(gpu.to_string(), expected);
    }
}

#[test]
fn control_characters_are_escaped() {
    let (driver, nvml) = sim_from_name("hgx-h100");
    let lines = nvml.gpu_info(0).unwrap().to_string().lines().count();
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGet*'\ntext = \"\\u001b]0;x\\u0007é\\n\\u202e\"").unwrap();
    let gpu = nvml.gpu_info(0).unwrap();
    let text = gpu.to_string();
    assert!(text.contains("BOARD NAME   : \\u{1b}]0;x\\u{7}é\\n\\u{202e}\n"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    // The number of lines is that of any other GPU.
    assert_eq!(text.lines().count(), lines);
}

#[cfg(feature = "serde")]
#[test]
fn json_names_match_igpu_0_1() {
    let (driver, nvml) = sim_with_toml("workstation", "[[gpu_lost]]\ngpu = 3\nfrom_s = 5");
    driver.set_time(Duration::ZERO);
    let mut gpus = nvml.gpu_infos().unwrap();
    let json = serde_json::to_value(&gpus).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&json[0]), "bios clocks index memory name pci power processes serial utilization uuid");
    assert_eq!(json[0]["memory"]["used"], 10799.0);
    assert_eq!(json[0]["serial"], serde_json::Value::Null);
    driver.set_time(Duration::from_secs(5));
    assert!(gpus[3].update().is_err());
    let json = serde_json::to_value(&gpus[3]).unwrap();
    assert!(json["error"].as_str().unwrap().contains("GPU_IS_LOST"));
    assert_eq!((&json["power"]["draw"], &json["processes"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}
