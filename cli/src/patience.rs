//! Says when the driver does not answer: a call that hangs cannot be ended, and nobody else would tell.

use std::{
    io::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;

/// A call that takes as long as this is told.
const LONG: Duration = Duration::from_secs(5);
/// How often to look.
const LOOK: Duration = Duration::from_millis(200);

/// Watches what this program waits for, until it is dropped.
pub struct Patience(Arc<Mutex<Option<Wait>>>);

struct Wait {
    what: &'static str,
    gpu: Option<u32>,
    since: Instant,
    told: bool,
}

impl Patience {
    /// Watches from now on, and keeps clear of this progress bar.
    pub fn start(bar: ProgressBar) -> Self {
        let wait = Arc::new(Mutex::new(None));
        let watched = Arc::downgrade(&wait);
        let look = move || {
            while let Some(wait) = watched.upgrade() {
                if let Some(wait) = &mut *lock(&wait) {
                    wait.tell(&bar);
                }
                drop(wait);
                std::thread::sleep(LOOK);
            }
        };
        // Without a thread to be had, nobody tells; that is no reason to stop.
        let _ = std::thread::Builder::new().spawn(look);
        Self(wait)
    }

    /// From now on, this function of NVML is waited for, or whatever this says.
    pub fn waits_for(&self, what: &'static str, gpu: Option<u32>) {
        *lock(&self.0) = Some(Wait { what, gpu, since: Instant::now(), told: false });
    }

    /// The driver is not waited for.
    pub fn rests(&self) {
        *lock(&self.0) = None;
    }
}

fn lock(wait: &Mutex<Option<Wait>>) -> MutexGuard<'_, Option<Wait>> {
    wait.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wait {
    fn tell(&mut self, bar: &ProgressBar) {
        if self.told || self.since.elapsed() < LONG {
            return;
        }
        self.told = true;
        let gpu = self.gpu.map_or(String::new(), |gpu| format!(" of GPU {gpu}"));
        let (what, seconds) = (self.what, LONG.as_secs());
        // Nobody is left to tell when stderr is closed.
        let _ = bar.suspend(|| {
            writeln!(
                io::stderr(),
                "igpu: {what}{gpu} has not returned for {seconds} s; wait for it, or end this with Ctrl-C"
            )
        });
    }
}
