//! The tracks of a trace, and the names in it.

use crate::series::Series;

/// The name of the track for events that concern no GPU.
pub(super) const IGPU_TRACK_NAME: &str = "igpu";
/// The name of the track of the command.
pub(super) const COMMAND_TRACK_NAME: &str = "command";

/// The text before the process ID in the description of a process track. A decoder reads the process ID from the
/// description, and does not parse the name of the track.
pub(super) const PID_PREFIX: &str = "pid ";

/// The name of the annotation with the value of an event.
pub(super) const VALUE_ANNOTATION: &str = "value";
/// The name of the annotation with the exit status, which is the value of the event at the end of the command.
pub(super) const EXIT_STATUS_ANNOTATION: &str = "exit_status";

/// The identity of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TraceTrack {
    /// The events that concern no GPU.
    Igpu,
    /// The slice of the command.
    Command,
    /// The events of a GPU, by index. The tracks of its series and processes are children of this track.
    Gpu(u32),
    /// The slice of a process on a GPU, by GPU index and process ID.
    Process(Option<u32>, u32),
    /// The values of a series, by GPU index and, for a per-process series, process ID.
    Counter(Option<u32>, Option<u32>, Series),
}

impl TraceTrack {
    /// Returns the track of events for a GPU, or for events that concern no GPU.
    pub(super) fn for_gpu(gpu: Option<u32>) -> Self {
        gpu.map_or(Self::Igpu, Self::Gpu)
    }

    /// Returns the parent track.
    pub(super) fn parent(self) -> Option<Self> {
        match self {
            Self::Igpu | Self::Command | Self::Gpu(_) => None,
            Self::Process(gpu, _) | Self::Counter(gpu, None, _) => Some(Self::for_gpu(gpu)),
            Self::Counter(gpu, Some(pid), _) => Some(Self::Process(gpu, pid)),
        }
    }

    /// Returns `true` if the track belongs to this process on this GPU.
    pub(super) fn belongs_to(self, gpu: Option<u32>, pid: u32) -> bool {
        match self {
            Self::Process(track_gpu, track_pid) | Self::Counter(track_gpu, Some(track_pid), _) => {
                (track_gpu, track_pid) == (gpu, pid)
            }
            _ => false,
        }
    }
}
