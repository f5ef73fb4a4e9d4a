//! Perfetto's protobuf: a trace that opens at ui.perfetto.dev, and a recording that can be read back.
//!
//! Each GPU is a group of tracks: its events, a counter for each series, and its processes, each a slice with counters
//! of its own. Each packet stands for itself: its time is in nanoseconds and absolute, and nothing is packed, so that the
//! simplest of readers sees every value.

mod decode;
mod encode;
mod proto;
mod tracks;

use crate::series::Series;

pub(super) use self::{decode::items, encode::PerfettoEncoder};

/// The first byte of such a file: a packet of the trace.
pub(super) const PACKET: u8 = 0x0a;

/// Packets have times by a clock of the trace's own, whose zero is a minute before the first item: so they are short, and
/// what was a little earlier has one too. The first packet says what the machine's clocks showed then, which puts the trace
/// beside others of that machine.
const FIRST_AT: u64 = 60_000_000_000;

/// Marks our packets, should someone put several traces into one file.
const SEQUENCE: u32 = 71;

/// The names of the tracks that each recording may have once.
const IGPU: &str = "igpu";
const COMMAND: &str = "command";

/// What a process's track has in its description before the pid: its name is for people.
const PID: &str = "pid ";

/// What the value of an event is called.
const VALUE: &str = "value";
const EXIT_STATUS: &str = "exit_status";

/// A track, and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Track {
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

impl Track {
    /// The track for what concerns this GPU, or none.
    fn group(gpu: Option<u32>) -> Self {
        gpu.map_or(Self::Igpu, Self::Gpu)
    }

    /// The track that it stands under.
    fn parent(self) -> Option<Self> {
        match self {
            Self::Igpu | Self::Command | Self::Gpu(_) => None,
            Self::Process(gpu, _) | Self::Counter(gpu, None, _) => Some(Self::group(gpu)),
            Self::Counter(gpu, Some(pid), _) => Some(Self::Process(gpu, pid)),
        }
    }

    /// Whether it is of this process on this GPU.
    fn is_of(self, gpu: Option<u32>, pid: u32) -> bool {
        match self {
            Self::Process(its_gpu, its_pid) | Self::Counter(its_gpu, Some(its_pid), _) => {
                (its_gpu, its_pid) == (gpu, pid)
            }
            _ => false,
        }
    }
}
