//! A snapshot of a GPU: its identity and six attribute groups.

use std::fmt;

use arrayvec::ArrayString;

#[cfg(feature = "serde")]
use super::json;
use super::{
    GpuClockInfo, GpuMemoryInfo, GpuPciInfo, GpuPowerInfo, GpuProcessesInfo, GpuUtilizationInfo, Reading,
    reading::{NOT_AVAILABLE, Reasons},
};
use crate::{Clock, Device, Error, Escaped, Nvml, Result, Text};

/// A snapshot of a GPU, with its identity and six attribute groups.
///
/// The attributes have the names and the units of the Python package igpu 0.1.2: MiB for memory, MHz for clocks, W for
/// power, percent for utilization, and °C for temperatures. [`Device`] has methods for other units and for more values.
///
/// [`update`](Self::update) reads the attributes again without allocating. Static attributes, for example names and
/// maxima, are read once. An update reads all other attributes with 15 NVML calls, and makes one more call if a static
/// attribute is missing. An attribute that the GPU does not support is `None`, and [`reason`](Self::reason) returns the
/// error. Each update tries again, because a single error does not prove that the GPU lacks an attribute.
///
/// The [`Display`](fmt::Display) form is the text that igpu 0.1.2 prints.
///
/// # Examples
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// let mut gpu = nvml.gpu_info(1)?;
/// println!("{}: {:?} MiB used", gpu.name.unwrap_or_default(), gpu.memory.used);
/// gpu.update()?;
/// match gpu.power.draw {
///     Some(watts) => println!("{watts} W"),
///     None => println!("power: {:?}", gpu.reason(igpu::Reading::PowerDraw)),
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GpuInfo {
    /// The index of the GPU. The GPUs are in the order of their PCI addresses.
    pub index: u32,
    /// The product name (`nvmlDeviceGetName`).
    pub name: Option<Text>,
    /// The serial number of the board (`nvmlDeviceGetSerial`). `None` on most GeForce boards.
    pub serial: Option<Text>,
    /// The UUID, which starts with `GPU-` (`nvmlDeviceGetUUID`).
    pub uuid: Option<Text>,
    /// The version of the VBIOS (`nvmlDeviceGetVbiosVersion`).
    pub bios: Option<ArrayString<32>>,
    /// The on-board memory, in MiB.
    pub memory: GpuMemoryInfo,
    /// The utilization, fan speed, temperature, and performance state.
    pub utilization: GpuUtilizationInfo,
    /// The PCI address and the PCIe link.
    pub pci: GpuPciInfo,
    /// The clocks, in MHz.
    pub clocks: GpuClockInfo,
    /// The power draw and the power limits, in watts.
    pub power: GpuPowerInfo,
    /// The processes on the GPU.
    pub processes: GpuProcessesInfo,
    #[cfg_attr(feature = "serde", serde(skip))]
    reasons: Reasons,
    #[cfg_attr(feature = "serde", serde(serialize_with = "json::displayed", skip_serializing_if = "Option::is_none"))]
    error: Option<Error>,
    #[cfg_attr(feature = "serde", serde(skip))]
    nvml: Nvml,
    #[cfg_attr(feature = "serde", serde(skip))]
    device: Option<Device>,
    /// The number of [`STATIC_READINGS`] that were attempted at least once.
    #[cfg_attr(feature = "serde", serde(skip))]
    static_attempted: usize,
    /// The index in [`STATIC_READINGS`] at which the search for the next missing reading starts.
    #[cfg_attr(feature = "serde", serde(skip))]
    next_static_retry: usize,
}

/// A function that reads a static attribute, or stores the error if the attribute is missing.
type ReadStatic = fn(&mut GpuInfo, &Device) -> Result<()>;

/// The readings that cannot change while the driver is loaded. Each is attempted until it succeeds.
const STATIC_READINGS: [(Reading, ReadStatic); 12] = [
    (Reading::Name, |gpu, device| gpu.reasons.store(Reading::Name, device.name()).map(|value| gpu.name = value)),
    (Reading::Serial, |gpu, device| {
        gpu.reasons.store(Reading::Serial, device.serial()).map(|value| gpu.serial = value)
    }),
    (Reading::Uuid, |gpu, device| gpu.reasons.store(Reading::Uuid, device.uuid()).map(|value| gpu.uuid = value)),
    (Reading::Bios, |gpu, device| {
        gpu.reasons.store(Reading::Bios, device.vbios_version()).map(|value| gpu.bios = value)
    }),
    (Reading::Pci, |GpuInfo { pci, .. }, device| {
        pci.reasons.store(Reading::Pci, device.pci_info()).map(|value| pci.set_address(value))
    }),
    (Reading::MaxLinkGen, |GpuInfo { pci, .. }, device| {
        pci.reasons.store(Reading::MaxLinkGen, device.max_pcie_link_generation()).map(|value| pci.max_link_gen = value)
    }),
    (Reading::MaxLinkWidth, |GpuInfo { pci, .. }, device| {
        pci.reasons.store(Reading::MaxLinkWidth, device.max_pcie_link_width()).map(|value| pci.max_link_width = value)
    }),
    (Reading::MaxClockGraphics, |GpuInfo { clocks, .. }, device| {
        let result = device.max_clock(Clock::GRAPHICS);
        clocks.reasons.store(Reading::MaxClockGraphics, result).map(|value| clocks.max_graphics = value)
    }),
    (Reading::MaxClockSm, |GpuInfo { clocks, .. }, device| {
        clocks.reasons.store(Reading::MaxClockSm, device.max_clock(Clock::SM)).map(|value| clocks.max_sm = value)
    }),
    (Reading::MaxClockMemory, |GpuInfo { clocks, .. }, device| {
        clocks
            .reasons
            .store(Reading::MaxClockMemory, device.max_clock(Clock::MEMORY))
            .map(|value| clocks.max_memory = value)
    }),
    (Reading::PowerManagement, |GpuInfo { power, .. }, device| {
        power
            .reasons
            .store(Reading::PowerManagement, device.power_management_mode())
            .map(|value| power.management = value)
    }),
    (Reading::PowerLimitConstraints, |GpuInfo { power, .. }, device| {
        let result = device.power_limit_constraints_mw();
        power.reasons.store(Reading::PowerLimitConstraints, result).map(|value| power.set_constraints(value))
    }),
];

impl GpuInfo {
    /// Allocates a snapshot of the GPU with this index, and reads all attributes.
    ///
    /// The snapshot has capacity for `process_capacity` processes. Users that are not in `/etc/passwd` appear as uids
    /// until [`resolve_users`](crate::process::resolve_users) is called.
    ///
    /// # Errors
    /// Returns [`Error::InvalidIndex`] if there is no GPU with this index. If the GPU exists but is lost or cannot be
    /// opened, the function succeeds, [`error`](Self::error) returns the reason, and the next update tries again.
    pub fn new(nvml: &Nvml, index: u32, process_capacity: usize) -> Result<Self> {
        let mut gpu = Self {
            index,
            name: None,
            serial: None,
            uuid: None,
            bios: None,
            memory: GpuMemoryInfo::default(),
            utilization: GpuUtilizationInfo::default(),
            pci: GpuPciInfo::default(),
            clocks: GpuClockInfo::default(),
            power: GpuPowerInfo::default(),
            processes: GpuProcessesInfo::with_capacity(process_capacity),
            reasons: Reasons::default(),
            error: None,
            nvml: nvml.clone(),
            device: None,
            static_attempted: 0,
            next_static_retry: 0,
        };
        // `update` stores any other error in `gpu.error`.
        if let Err(error @ Error::InvalidIndex { .. }) = gpu.update() {
            return Err(error);
        }
        Ok(gpu)
    }

    /// Returns the error of the last update if the GPU was lost or could not be opened.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Returns the error of a missing reading, or `None` if the reading is present.
    #[must_use]
    pub fn reason(&self, reading: Reading) -> Option<&Error> {
        let groups = [
            &self.reasons,
            &self.memory.reasons,
            &self.utilization.reasons,
            &self.pci.reasons,
            &self.clocks.reasons,
            &self.power.reasons,
            &self.processes.reasons,
        ];
        groups.into_iter().find_map(|reasons| reasons.get(reading))
    }

    /// Returns the GPU's handle, for calls that `GpuInfo` has no attribute for. Returns `None` if the GPU could not be
    /// opened.
    #[must_use]
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Reads all attributes that can change. Never allocates, even if the number of processes changes or calls fail.
    ///
    /// # Errors
    /// Returns the driver's error code if the GPU is lost, needs a reset, or cannot be opened. All attributes that can
    /// change are `None` in this case, and static attributes keep their values. The next update tries again.
    pub fn update(&mut self) -> Result<()> {
        self.with_device(|gpu, device| {
            gpu.read_static(device)?;
            gpu.memory.update(device)?;
            gpu.utilization.update(device)?;
            gpu.pci.update(device)?;
            gpu.clocks.update(device)?;
            gpu.power.update(device)?;
            gpu.processes.update(device)
        })
    }

    /// Reads only the group `memory`, with one NVML call.
    ///
    /// # Errors
    /// Returns the same errors as [`update`](Self::update).
    pub fn update_memory(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.memory.update(device))
    }

    /// Reads only the group `utilization`, with four NVML calls.
    ///
    /// # Errors
    /// Returns the same errors as [`update`](Self::update).
    pub fn update_utilization(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.utilization.update(device))
    }

    /// Reads only the attributes of the group `pci` that can change, with two NVML calls.
    ///
    /// # Errors
    /// Returns the same errors as [`update`](Self::update).
    pub fn update_pci(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.pci.update(device))
    }

    /// Reads only the attributes of the group `clocks` that can change, with three NVML calls.
    ///
    /// # Errors
    /// Returns the same errors as [`update`](Self::update).
    pub fn update_clocks(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.clocks.update(device))
    }

    /// Reads only the attributes of the group `power` that can change, with two NVML calls.
    ///
    /// # Errors
    /// Returns the same errors as [`update`](Self::update).
    pub fn update_power(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.power.update(device))
    }

    /// Reads only the group `processes`, with three NVML calls and from `/proc`. These calls can delay other programs
    /// that use the GPU; see [`Device::compute_processes`].
    ///
    /// # Errors
    /// Returns the same errors as [`update`](Self::update).
    pub fn update_processes(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.processes.update(device))
    }

    /// Increases the capacity for processes if the last update truncated the list, and reads the list again.
    ///
    /// Allocates. Call this method outside the sampling path if [`GpuProcessesInfo::omitted_count`] is not 0.
    ///
    /// # Errors
    /// Returns the same errors as [`update`](Self::update).
    pub fn grow_process_list(&mut self) -> Result<()> {
        // The list may have become longer in the meantime, so a second attempt can be necessary.
        for _ in 0..2 {
            if self.processes.omitted_count() == 0 {
                break;
            }
            self.processes.grow();
            self.update_processes()?;
        }
        Ok(())
    }

    /// Opens the GPU if necessary, runs an update with its handle, and stores the error.
    fn with_device(&mut self, update: impl FnOnce(&mut Self, &Device) -> Result<()>) -> Result<()> {
        let device = match self.device.take() {
            Some(device) => Ok(device),
            None => self.nvml.device(self.index),
        };
        let result = device.and_then(|device| {
            let result = update(self, &device);
            self.device = Some(device);
            result
        });
        self.error = result.as_ref().err().cloned();
        if let Err(error) = &result {
            self.invalidate(error);
        }
        result
    }

    /// Reads all static attributes in the first update, and one missing static attribute in each later update. The
    /// retries are limited to one call per update because many GPUs never support some of these attributes.
    fn read_static(&mut self, device: &Device) -> Result<()> {
        if self.static_attempted < STATIC_READINGS.len() {
            while let Some((_, read)) = STATIC_READINGS.get(self.static_attempted) {
                read(self, device)?;
                self.static_attempted += 1;
            }
            return Ok(());
        }
        let candidates =
            (0..STATIC_READINGS.len()).map(|offset| (self.next_static_retry + offset) % STATIC_READINGS.len());
        let missing = candidates
            .map(|index| (index, STATIC_READINGS[index]))
            .find(|(_, (reading, _))| self.reason(*reading).is_some());
        let Some((index, (_, read))) = missing else { return Ok(()) };
        self.next_static_retry = index + 1;
        read(self, device)
    }

    /// Clears all attributes that can change, because old values must not look like current values. Stores the same
    /// error for static attributes that have not been attempted yet.
    fn invalidate(&mut self, error: &Error) {
        for (reading, _) in STATIC_READINGS.iter().skip(self.static_attempted) {
            let reasons = match reading {
                Reading::Name | Reading::Serial | Reading::Uuid | Reading::Bios => &mut self.reasons,
                Reading::Pci | Reading::MaxLinkGen | Reading::MaxLinkWidth => &mut self.pci.reasons,
                Reading::PowerManagement | Reading::PowerLimitConstraints => &mut self.power.reasons,
                _ => &mut self.clocks.reasons,
            };
            reasons.set(*reading, error.clone());
        }
        self.memory.invalidate(error);
        self.utilization.invalidate(error);
        self.pci.invalidate(error);
        self.clocks.invalidate(error);
        self.power.invalidate(error);
        self.processes.invalidate(error);
    }
}

impl fmt::Display for GpuInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |reading, value: Option<&'_ str>| {
            self.reasons.text_or_reason(reading, value.map(|value| Escaped(value).to_string())).to_string()
        };
        writeln!(f, "INDEX        : {}", self.index)?;
        // igpu 0.1.2 crashes if the name is missing, so there is no text to imitate.
        writeln!(f, "BOARD NAME   : {}", Escaped(self.name.as_deref().unwrap_or(NOT_AVAILABLE)))?;
        writeln!(f, "SERIAL       : {}", text(Reading::Serial, self.serial.as_deref()))?;
        writeln!(f, "UUID         : {}", text(Reading::Uuid, self.uuid.as_deref()))?;
        writeln!(f, "BIOS VERSION : {}\n", text(Reading::Bios, self.bios.as_deref()))?;
        writeln!(f, "{}\n", self.memory)?;
        writeln!(f, "{}\n", self.utilization)?;
        writeln!(f, "{}\n", self.pci)?;
        writeln!(f, "{}\n", self.clocks)?;
        writeln!(f, "{}\n", self.power)?;
        writeln!(f, "{}", self.processes)
    }
}
