//! Tracks of a trace, and names used in it.

use crate::series::Series;

/// The names of the tracks that each recording may have once.
pub(super) const IGPU: &str = "igpu";
pub(super) const COMMAND: &str = "command";

/// What a process's track has in its description before the pid: its name is for people.
pub(super) const PID: &str = "pid ";

/// What the value of an event is called.
pub(super) const VALUE: &str = "value";
pub(super) const EXIT_STATUS: &str = "exit_status";

/// A track, and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TraceTrack {
    /// What concerns no GPU.
    Igpu,
    /// The command, as a slice.
    Command,
    /// A GPU, and its events.
    Gpu(u32),
    /// A process on a GPU, as a slice.
    Process(Option<u32>, u32),
    /// The values of a series, of a GPU or of a process on it.
    Counter(Option<u32>, Option<u32>, Series),
}

impl TraceTrack {
    /// The track for what concerns this GPU, or none.
    pub(super) fn group(gpu: Option<u32>) -> Self {
        gpu.map_or(Self::Igpu, Self::Gpu)
    }

    /// The track that it stands under.
    pub(super) fn parent(self) -> Option<Self> {
        match self {
            Self::Igpu | Self::Command | Self::Gpu(_) => None,
            Self::Process(gpu, _) | Self::Counter(gpu, None, _) => Some(Self::group(gpu)),
            Self::Counter(gpu, Some(pid), _) => Some(Self::Process(gpu, pid)),
        }
    }

    /// Whether it is of this process on this GPU.
    pub(super) fn is_of(self, gpu: Option<u32>, pid: u32) -> bool {
        match self {
            Self::Process(its_gpu, its_pid) | Self::Counter(its_gpu, Some(its_pid), _) => {
                (its_gpu, its_pid) == (gpu, pid)
            }
            _ => false,
        }
    }
}
