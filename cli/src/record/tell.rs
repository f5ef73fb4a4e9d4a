//! What is said while a program runs: sentences on stderr that keep clear of the live line, each once.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write as _},
    os::fd::AsFd as _,
    time::Duration,
};

use igpu::{
    ReturnCode,
    sampler::{Event, Record},
};
use indicatif::ProgressBar;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A call that does not return for so long is told. Before, it may be only slow.
const HANGS: Duration = Duration::from_secs(2);

/// Says sentences.
#[derive(Clone)]
pub struct Tell(pub ProgressBar);

impl Tell {
    pub fn say(&self, sentence: &str) {
        // A recording waits for nobody to read what is said of it.
        if can_be_written() {
            // Nobody is left to tell when stderr is closed.
            let _ = self.0.suspend(|| writeln!(io::stderr(), "igpu: {sentence}"));
        }
    }
}

/// Whether stderr takes a line now: not so of a pipe that is full, nor of a terminal that Ctrl-S has stopped.
pub fn can_be_written() -> bool {
    let stderr = io::stderr();
    poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) != Ok(0)
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Lost,
    Back,
    Hangs,
    Refuses,
}

/// Says what happens to GPUs.
pub struct Watch {
    tell: Tell,
    told: HashSet<(u16, Kind)>,
    /// Calls that hang and were not told of: since when, by the sampler's clock.
    hanging: HashMap<u16, u64>,
    /// What had values: a metric that never had any is one that the GPU lacks.
    had_values: HashSet<(u16, u16)>,
}

impl Watch {
    pub fn new(tell: Tell) -> Self {
        Self { tell, told: HashSet::new(), hanging: HashMap::new(), had_values: HashSet::new() }
    }

    pub fn see(&mut self, record: &Record) {
        let gpu = record.gpu;
        match record.event() {
            None => {
                self.had_values.insert((gpu, record.metric));
            }
            Some(Event::GPU_LOST) => {
                let code = ReturnCode(record.value as u32);
                self.say(gpu, Kind::Lost, || {
                    format!("GPU {gpu} is lost ({code}); what was recorded of it stays, and it is tried again")
                });
            }
            Some(Event::GPU_HUNG) => {
                self.hanging.insert(gpu, record.at);
            }
            Some(Event::GPU_BACK) => {
                self.hanging.remove(&gpu);
                if self.told.contains(&(gpu, Kind::Lost)) || self.told.contains(&(gpu, Kind::Hangs)) {
                    self.say(gpu, Kind::Back, || format!("GPU {gpu} answers again"));
                }
            }
            Some(Event::METRIC_RESTS) => self.refused(record),
            Some(_) => {}
        }
    }

    /// Looks whether a call has not returned for too long by now.
    pub fn look(&mut self, now: u64) {
        let long = |since: &u64| now.saturating_sub(*since) >= HANGS.as_nanos() as u64;
        let gpus: Vec<u16> = self.hanging.iter().filter(|(_, since)| long(since)).map(|(gpu, _)| *gpu).collect();
        for gpu in gpus {
            self.hanging.remove(&gpu);
            let seconds = HANGS.as_secs();
            self.say(gpu, Kind::Hangs, || {
                format!(
                    "a driver call about GPU {gpu} has not returned for {seconds} s; it has no values until it does"
                )
            });
        }
    }

    fn refused(&mut self, record: &Record) {
        let Some(metric) = record.metric().filter(|_| self.had_values.contains(&(record.gpu, record.metric))) else {
            return;
        };
        let (gpu, code) = (record.gpu, ReturnCode(record.value as u32));
        if code != ReturnCode::NOT_SUPPORTED {
            self.say(gpu, Kind::Refuses, || {
                format!("the driver refuses {} of GPU {gpu} by now ({code}); it is tried again", metric.name())
            });
        }
    }

    fn say(&mut self, gpu: u16, kind: Kind, sentence: impl FnOnce() -> String) {
        if self.told.insert((gpu, kind)) {
            self.tell.say(&sentence());
        }
    }
}
