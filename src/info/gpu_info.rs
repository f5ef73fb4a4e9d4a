//! A GPU at one moment: its identity, and the six groups.

use std::fmt;

use arrayvec::ArrayString;

#[cfg(feature = "serde")]
use super::json;
use super::{
    GpuClockInfo, GpuMemoryInfo, GpuPciInfo, GpuPowerInfo, GpuProcessesInfo, GpuUtilizationInfo, Reading,
    reading::{NOT_AVAILABLE, Reasons},
};
use crate::{Clock, Device, Error, Escaped, Nvml, Result, Text};

/// A GPU at one moment: who it is, and six groups of readings.
///
/// Plain data in memory that is made once. [`update`](Self::update) refills it without allocating: what cannot change
/// is read once, the rest with 15 calls of the driver, and with one more while a fact that cannot change is still
/// missing. A reading that the GPU does not give is `None`, and [`reason`](Self::reason) tells why; every update asks
/// again, because one refusal is no proof.
///
/// It displays as igpu 0.1.2 prints it.
///
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// let mut gpu = nvml.get_device(1)?;
/// println!("{}: {:?} W", gpu.name.unwrap_or_default(), gpu.power.draw);
/// gpu.update()?;
/// println!("{:?} W", gpu.power.draw);
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GpuInfo {
    /// The index of the GPU, in the order of PCI addresses.
    pub index: u32,
    /// The product's name; `nvmlDeviceGetName`.
    pub name: Option<Text>,
    /// The board's serial number; `nvmlDeviceGetSerial`. `None` on most GeForce boards.
    pub serial: Option<Text>,
    /// The UUID, `GPU-…`; `nvmlDeviceGetUUID`.
    pub uuid: Option<Text>,
    /// The version of the VBIOS; `nvmlDeviceGetVbiosVersion`.
    pub bios: Option<ArrayString<32>>,
    /// The memory.
    pub memory: GpuMemoryInfo,
    /// How busy, how hot, how fast.
    pub utilization: GpuUtilizationInfo,
    /// The place on the PCI bus and the link to it.
    pub pci: GpuPciInfo,
    /// The clocks.
    pub clocks: GpuClockInfo,
    /// Power and its limits.
    pub power: GpuPowerInfo,
    /// The processes.
    pub processes: GpuProcessesInfo,
    #[cfg_attr(feature = "serde", serde(skip))]
    reasons: Reasons,
    #[cfg_attr(feature = "serde", serde(serialize_with = "json::displayed", skip_serializing_if = "Option::is_none"))]
    error: Option<Error>,
    #[cfg_attr(feature = "serde", serde(skip))]
    nvml: Nvml,
    #[cfg_attr(feature = "serde", serde(skip))]
    device: Option<Device>,
    /// How many of [`STATIC_READINGS`] were asked for at least once.
    #[cfg_attr(feature = "serde", serde(skip))]
    static_attempted: usize,
    /// Where in [`STATIC_READINGS`] the next missing fact is looked for.
    #[cfg_attr(feature = "serde", serde(skip))]
    next_static_retry: usize,
}

/// Reads a fact into its place, and keeps the reason when the driver refuses it.
type ReadStatic = fn(&mut GpuInfo, &Device) -> Result<()>;

/// What cannot change while the driver is loaded: each is read until it was read once.
const STATIC_READINGS: [(Reading, ReadStatic); 12] = [
    (Reading::Name, |gpu, device| gpu.reasons.store(Reading::Name, device.name()).map(|it| gpu.name = it)),
    (Reading::Serial, |gpu, device| gpu.reasons.store(Reading::Serial, device.serial()).map(|it| gpu.serial = it)),
    (Reading::Uuid, |gpu, device| gpu.reasons.store(Reading::Uuid, device.uuid()).map(|it| gpu.uuid = it)),
    (Reading::Bios, |gpu, device| gpu.reasons.store(Reading::Bios, device.vbios_version()).map(|it| gpu.bios = it)),
    (Reading::Pci, |GpuInfo { pci, .. }, device| {
        pci.reasons.store(Reading::Pci, device.pci_info()).map(|it| pci.set_address(it))
    }),
    (Reading::MaxLinkGen, |GpuInfo { pci, .. }, device| {
        pci.reasons.store(Reading::MaxLinkGen, device.max_pcie_link_generation()).map(|it| pci.max_link_gen = it)
    }),
    (Reading::MaxLinkWidth, |GpuInfo { pci, .. }, device| {
        pci.reasons.store(Reading::MaxLinkWidth, device.max_pcie_link_width()).map(|it| pci.max_link_width = it)
    }),
    (Reading::MaxClockGraphics, |GpuInfo { clocks, .. }, device| {
        let answer = device.max_clock(Clock::GRAPHICS);
        clocks.reasons.store(Reading::MaxClockGraphics, answer).map(|it| clocks.max_graphics = it)
    }),
    (Reading::MaxClockSm, |GpuInfo { clocks, .. }, device| {
        clocks.reasons.store(Reading::MaxClockSm, device.max_clock(Clock::SM)).map(|it| clocks.max_sm = it)
    }),
    (Reading::MaxClockMemory, |GpuInfo { clocks, .. }, device| {
        clocks.reasons.store(Reading::MaxClockMemory, device.max_clock(Clock::MEMORY)).map(|it| clocks.max_memory = it)
    }),
    (Reading::PowerManagement, |GpuInfo { power, .. }, device| {
        power.reasons.store(Reading::PowerManagement, device.power_management_mode()).map(|it| power.management = it)
    }),
    (Reading::PowerLimitConstraints, |GpuInfo { power, .. }, device| {
        let answer = device.power_limit_constraints_mw();
        power.reasons.store(Reading::PowerLimitConstraints, answer).map(|it| power.set_constraints(it))
    }),
];

impl GpuInfo {
    /// Makes the memory for a GPU and fills it. `processes` is how many processes there shall be room for;
    /// [`Nvml::get_devices`] gives room for all that there are. Users that only a directory server knows (LDAP) are
    /// shown by their number until [`resolve_users`](crate::process::resolve_users) was called.
    ///
    /// # Errors
    /// [`Error::InvalidIndex`] when there is no such GPU. That the GPU is there but cannot answer is no error here:
    /// [`error`](Self::error) has it, and the next update tries again.
    pub fn new(nvml: &Nvml, index: u32, processes: usize) -> Result<Self> {
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
            processes: GpuProcessesInfo::with_capacity(processes),
            reasons: Reasons::default(),
            error: None,
            nvml: nvml.clone(),
            device: None,
            static_attempted: 0,
            next_static_retry: 0,
        };
        // Any other error is kept in `gpu.error`.
        if let Err(error @ Error::InvalidIndex { .. }) = gpu.update() {
            return Err(error);
        }
        Ok(gpu)
    }

    /// Why the last update failed, if it did: the GPU was lost, or could not be opened.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Why a reading is missing; `None` when it is there.
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

    /// The GPU's handle, for readings that `GpuInfo` lacks; `None` while the GPU could not be opened.
    #[must_use]
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Reads all that can change anew. Without allocating, also when processes come and go and when calls fail.
    ///
    /// # Errors
    /// The GPU is lost, must be reset, or cannot be opened. What can change is `None` then, and what cannot is kept;
    /// other GPUs are not touched. The next update tries again.
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

    /// Reads the group `memory` alone: one call of the driver.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_memory(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.memory.update(device))
    }

    /// Reads the group `utilization` alone: four calls of the driver.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_utilization(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.utilization.update(device))
    }

    /// Reads what changes of the group `pci` alone: two calls of the driver.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_pci(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.pci.update(device))
    }

    /// Reads what changes of the group `clocks` alone: three calls of the driver.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_clocks(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.clocks.update(device))
    }

    /// Reads what changes of the group `power` alone: two calls of the driver.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_power(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.power.update(device))
    }

    /// Reads the group `processes` alone: three calls of the driver, and `/proc`. These are the calls that disturb other
    /// programs: see [`Device::compute_processes`].
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_processes(&mut self) -> Result<()> {
        self.with_device(|gpu, device| gpu.processes.update(device))
    }

    /// Makes room for the processes that the last update had no room for, and reads them. Allocates: call it beside the
    /// sampling path, when [`GpuProcessesInfo::omitted_count`] says so.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn grow_process_list(&mut self) -> Result<()> {
        // Twice at the most: lists may grow while this is done.
        for _ in 0..2 {
            if self.processes.omitted_count() == 0 {
                break;
            }
            self.processes.grow();
            self.update_processes()?;
        }
        Ok(())
    }

    /// Runs an update with the GPU's handle, which it opens if need be, and keeps how it went.
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

    /// All facts at the first update; later one missing fact an update, in turn, so that a GPU which will never have it
    /// costs one call.
    fn read_static(&mut self, device: &Device) -> Result<()> {
        if self.static_attempted < STATIC_READINGS.len() {
            while let Some((_, read)) = STATIC_READINGS.get(self.static_attempted) {
                read(self, device)?;
                self.static_attempted += 1;
            }
            return Ok(());
        }
        let turns = (0..STATIC_READINGS.len()).map(|turn| (self.next_static_retry + turn) % STATIC_READINGS.len());
        let missing = turns
            .map(|place| (place, STATIC_READINGS[place]))
            .find(|(_, (reading, _))| self.reason(*reading).is_some());
        let Some((place, (_, read))) = missing else { return Ok(()) };
        self.next_static_retry = place + 1;
        read(self, device)
    }

    /// What changes is not known any more: old values must not look like new ones. Facts that were never asked for are
    /// missing for the same reason.
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
        // Without a name igpu 0.1.2 dies, so there are no words of its own to show.
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
