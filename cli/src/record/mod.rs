//! `igpu record`: what a program does to the GPUs, as a trace and as a bill.
//!
//! Four threads share the work: the sampler's two read the driver, one turns records into a file and a sum, and the main
//! thread has the signals, the command and the live line. None waits for the next: a disk that is slow costs records,
//! which are counted, and never holds the command up.

mod args;
mod child;
mod end;
mod live;
mod metrics;
mod notices;
mod prepare;
mod processes;
mod recorder;
mod signals;
mod sink;

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    thread,
    time::{Duration, Instant},
};

use igpu::sampler::{LatestReader, monotonic};
use igpu_recording::{ClockOffset, Item, event};
use nix::libc;

pub(crate) use self::args::RecordArgs;
use self::{
    child::Child,
    end::Outcome,
    live::Live,
    prepare::Prepared,
    recorder::{Ended, Recorder},
    signals::{Came, Signals},
};
use crate::{error::CliError, notifier::Notifier, options::Options};

/// How often to look whether the preparation has come to its end.
const LOOK: Duration = Duration::from_millis(2);

/// How long a preparation that is no longer wanted may take to end.
const TO_THE_END: Duration = Duration::from_millis(300);

/// Records, and returns the exit status: that of the command, if there is one. Reports all errors except usage errors.
pub(crate) fn run(options: Options, args: RecordArgs) -> Result<ExitCode, CliError> {
    args.check()?;
    let encoder = args.encoder()?;
    let signals = match Signals::block(args.has_command()) {
        Ok(signals) => signals,
        Err(error) => return Ok(fail(&format!("cannot block signals ({error}); try without `record`"))),
    };
    let asked = Arc::new((options, args));
    let prepared = match prepared(&asked, &signals) {
        Ok(prepared) => prepared,
        Err(error @ CliError::Usage(_)) => return Err(error),
        Err(error) => return Ok(fail(&error.to_string())),
    };
    let (options, args) = &*asked;
    let child = match args.has_command().then(|| child::start(&args.command, &signals.mask_before)).transpose() {
        Ok(child) => child,
        Err(not_started) => {
            prepared.output.discard();
            fail(&not_started.sentence);
            return Ok(ExitCode::from(not_started.status));
        }
    };
    let recording = match Recording::start(prepared, encoder, child, args) {
        Ok(recording) => recording,
        // The command runs, and is no worse off for this.
        Err(error) => {
            fail(&format!("there is no thread to record with ({error}); nothing is recorded"));
            return Ok(ExitCode::from(child.map_or(1, |child| wait(&signals, child))));
        }
    };
    Ok(recording.run(options, args, &signals))
}

/// Says why nothing was recorded.
fn fail(sentence: &str) -> ExitCode {
    Notifier::without_bar().report(sentence);
    ExitCode::FAILURE
}

/// Prepares on another thread, so that signals can end the program even if the driver hangs.
fn prepared(asked: &Arc<(Options, RecordArgs)>, signals: &Signals) -> Result<Prepared, CliError> {
    let (sender, receiver) = mpsc::channel();
    let for_thread = asked.clone();
    let prepare = move || {
        let (options, args) = &*for_thread;
        // Nobody waits any more where a signal came first.
        let _ = sender.send(prepare::prepare(options, args));
    };
    thread::Builder::new().spawn(prepare).map_err(CliError::Thread)?;
    loop {
        if let Some(came) = signals.wait(Duration::ZERO).into_iter().find(|came| came.is_request()) {
            // The file may just have been made.
            if let Ok(Ok(prepared)) = receiver.recv_timeout(TO_THE_END) {
                prepared.output.discard();
            }
            std::process::exit(came.status().into());
        }
        match receiver.recv_timeout(LOOK) {
            Ok(prepared) => return prepared,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // It panicked, and has said so.
            Err(mpsc::RecvTimeoutError::Disconnected) => std::process::exit(1),
        }
    }
}

/// Waits for the command without recording.
fn wait(signals: &Signals, child: Child) -> u8 {
    loop {
        for came in signals.wait(live::EACH) {
            handle(came, Some(child));
        }
        if let Some(status) = child::reap(child) {
            return child::shell_status(status);
        }
    }
}

/// Passes a signal on to the command, where somebody sent it to igpu alone; gives whether it is for igpu to end by.
fn handle(came: Came, child: Option<Child>) -> bool {
    let Some(child) = child else { return came.is_request() };
    // `kill 0` in the command's tree reaches igpu too, and has reached the command.
    let from_outside = |sender| !processes::descends(sender, child.pid);
    if came.is_request() && came.sender.map_or_else(|| came.is_for_leader(), from_outside) {
        came.pass_on(child.pid);
    }
    false
}

/// A recording under way.
struct Recording {
    recorder: Recorder,
    child: Option<Child>,
    clock: ClockOffset,
    latest: LatestReader,
    live: Live,
    until: Option<Instant>,
}

impl Recording {
    fn start(
        prepared: Prepared,
        encoder: Box<dyn igpu_recording::Encoder>,
        child: Option<Child>,
        args: &RecordArgs,
    ) -> std::io::Result<Self> {
        let (clock, latest, bar) = (prepared.clock, prepared.background.latest_reader(), live::bar());
        let gpus: Vec<u32> = prepared.header.gpus.iter().map(|gpu| gpu.index).collect();
        let live = Live::new(bar.clone(), latest.clone(), &gpus);
        let command_start = child.map(|Child { pid, started }| {
            let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
            let (at, text) = (clock.unix_nano(started), Some(words.join(" ")));
            Item { pid: Some(pid), text, ..Item::event(at, event::COMMAND_START) }
        });
        let recorder = Recorder::start(prepared, encoder, command_start, Notifier::new(bar))?;
        let until = args.duration.and_then(|duration| Instant::now().checked_add(duration));
        Ok(Self { recorder, child, clock, latest, live, until })
    }

    /// Records until the command ends, somebody ends the recording, or its time is over.
    fn run(self, options: &Options, args: &RecordArgs, signals: &Signals) -> ExitCode {
        let (child, mut status) = (self.child, None);
        loop {
            let is_over = self.until.is_some_and(|until| Instant::now() >= until);
            if is_over || self.recorder.progress.has_no_reader.load(Relaxed) || self.wait(signals, &mut status) {
                break;
            }
            self.live.show(&self.recorder.progress);
        }
        let went = self.end(status);
        // Stopped by its duration, it has the command still to wait for.
        let status = status.or_else(|| Some(wait(signals, child?)));
        let summary_is_written = end::show(options, args, &went);
        let whole = went.ended == Ended::Whole && summary_is_written;
        let status = status.unwrap_or(if whole { 0 } else { 1 });
        if went.ended == Ended::LeftAlone {
            // SAFETY: ends the process, without the driver's library being taken from under the threads left in it.
            unsafe { libc::_exit(status.into()) };
        }
        ExitCode::from(status)
    }

    /// Waits for signals for a while; gives whether the recording is to end.
    fn wait(&self, signals: &Signals, status: &mut Option<u8>) -> bool {
        let left = self.until.map_or(live::EACH, |until| until.saturating_duration_since(Instant::now()));
        let mut is_over = false;
        for came in signals.wait(left.min(live::EACH)) {
            is_over |= handle(came, self.child);
        }
        // One signal may stand for several children.
        if let Some(child) = self.child
            && let Some(ended) = child::reap(child)
        {
            *status = Some(child::shell_status(ended));
            is_over = true;
        }
        is_over
    }

    fn end(self, status: Option<u8>) -> Outcome {
        if let (Some(child), Some(status)) = (self.child, status) {
            let (pid, value) = (Some(child.pid), Some(f64::from(status)));
            self.recorder.record(Item {
                pid,
                value,
                ..Item::event(self.clock.unix_nano(monotonic()), event::COMMAND_END)
            });
        }
        let (ended, progress) = self.recorder.end();
        self.live.clear();
        let lost = || Item {
            value: Some(self.latest.dropped() as f64),
            ..Item::event(self.clock.unix_nano(monotonic()), event::LOST)
        };
        Outcome { ended, progress, lost: (ended == Ended::LeftAlone).then(lost) }
    }
}
