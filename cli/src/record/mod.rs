//! `igpu record`: what a program does to the GPUs, as a trace and as a bill.
//!
//! Four threads share the work: the sampler's two read the driver, one turns records into a file and a sum, and the main
//! thread has the signals, the command and the live line. None waits for the next: a disk that is slow costs records,
//! which are counted, and never holds the command up.

mod args;
mod child_process;
mod finish;
mod metrics;
mod notices;
mod output_file;
mod processes;
mod recorder;
mod setup;
mod signals;
mod status_line;

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    thread,
    time::{Duration, Instant},
};

use igpu::sampler::{LatestReader, monotonic};
use igpu_recording::{Item, UnixTimeOffset, event};
use nix::libc;

pub(crate) use self::args::RecordArgs;
use self::{
    child_process::ChildProcess,
    finish::RecordingOutcome,
    recorder::{Completion, Recorder},
    setup::PreparedRecording,
    signals::{ReceivedSignal, Signals},
    status_line::StatusLine,
};
use crate::{error::CliError, notifier::Notifier, options::Options};

/// How often to look whether the preparation has come to its end.
const SETUP_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How long a preparation that is no longer wanted may take to end.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(300);

/// Records, and returns the exit status: that of the command, if there is one. Reports all errors except usage errors.
pub(crate) fn run(options: Options, args: RecordArgs) -> Result<ExitCode, CliError> {
    args.check()?;
    let encoder = args.encoder()?;
    let signals = match Signals::block(args.has_command()) {
        Ok(signals) => signals,
        Err(error) => return Ok(report_error(&format!("cannot block signals ({error}); try without `record`"))),
    };
    let arguments = Arc::new((options, args));
    let prepared = match setup_interruptible(&arguments, &signals) {
        Ok(prepared) => prepared,
        Err(error @ CliError::Usage(_)) => return Err(error),
        Err(error) => return Ok(report_error(&error.to_string())),
    };
    let (options, args) = &*arguments;
    let child = match args.has_command().then(|| child_process::start(&args.command, &signals.mask_before)).transpose()
    {
        Ok(child) => child,
        Err(not_started) => {
            prepared.output.discard();
            report_error(&not_started.message);
            return Ok(ExitCode::from(not_started.status));
        }
    };
    let recording = match ActiveRecording::start(prepared, encoder, child, args) {
        Ok(recording) => recording,
        // The command runs, and is no worse off for this.
        Err(error) => {
            report_error(&format!("there is no thread to record with ({error}); nothing is recorded"));
            return Ok(ExitCode::from(child.map_or(1, |child| wait(&signals, child))));
        }
    };
    Ok(recording.run(options, args, &signals))
}

/// Says why nothing was recorded.
fn report_error(message: &str) -> ExitCode {
    Notifier::without_bar().report(message);
    ExitCode::FAILURE
}

/// Prepares on another thread, so that signals can end the program even if the driver hangs.
fn setup_interruptible(
    arguments: &Arc<(Options, RecordArgs)>,
    signals: &Signals,
) -> Result<PreparedRecording, CliError> {
    let (sender, receiver) = mpsc::channel();
    let for_thread = arguments.clone();
    let prepare = move || {
        let (options, args) = &*for_thread;
        // Nobody waits any more where a signal came first.
        let _ = sender.send(setup::prepare(options, args));
    };
    thread::Builder::new().spawn(prepare).map_err(CliError::Thread)?;
    loop {
        if let Some(received) = signals.wait(Duration::ZERO).into_iter().find(|received| received.is_request()) {
            // The file may just have been made.
            if let Ok(Ok(prepared)) = receiver.recv_timeout(CANCEL_TIMEOUT) {
                prepared.output.discard();
            }
            std::process::exit(received.exit_status().into());
        }
        match receiver.recv_timeout(SETUP_POLL_INTERVAL) {
            Ok(prepared) => return prepared,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // It panicked, and has said so.
            Err(mpsc::RecvTimeoutError::Disconnected) => std::process::exit(1),
        }
    }
}

/// Waits for the command without recording.
fn wait(signals: &Signals, child: ChildProcess) -> u8 {
    loop {
        for received in signals.wait(status_line::REDRAW_INTERVAL) {
            handle(received, Some(child));
        }
        if let Some(status) = child_process::reap(child) {
            return child_process::shell_status(status);
        }
    }
}

/// Passes a signal on to the command, where somebody sent it to igpu alone; gives whether it is for igpu to end by.
fn handle(received: ReceivedSignal, child: Option<ChildProcess>) -> bool {
    let Some(child) = child else { return received.is_request() };
    // `kill 0` in the command's tree reaches igpu too, and has reached the command.
    let from_outside = |sender| !processes::is_descendant(sender, child.pid);
    if received.is_request() && received.sender.map_or_else(|| received.is_leader_hangup(), from_outside) {
        received.forward(child.pid);
    }
    false
}

/// A recording under way.
struct ActiveRecording {
    recorder: Recorder,
    child: Option<ChildProcess>,
    clock: UnixTimeOffset,
    latest: LatestReader,
    status_line: StatusLine,
    deadline: Option<Instant>,
}

impl ActiveRecording {
    fn start(
        prepared: PreparedRecording,
        encoder: Box<dyn igpu_recording::Encoder>,
        child: Option<ChildProcess>,
        args: &RecordArgs,
    ) -> std::io::Result<Self> {
        let (clock, latest, bar) = (prepared.clock, prepared.background.latest_reader(), status_line::bar());
        let gpus: Vec<u32> = prepared.header.gpus.iter().map(|gpu| gpu.index).collect();
        let status_line = StatusLine::new(bar.clone(), latest.clone(), &gpus);
        let command_start = child.map(|ChildProcess { pid, started_ns }| {
            let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
            let (at, text) = (clock.to_unix_nano(started_ns), Some(words.join(" ")));
            Item { pid: Some(pid), text, ..Item::event(at, event::COMMAND_START) }
        });
        let recorder = Recorder::start(prepared, encoder, command_start, Notifier::new(bar))?;
        let deadline = args.duration.and_then(|duration| Instant::now().checked_add(duration));
        Ok(Self { recorder, child, clock, latest, status_line, deadline })
    }

    /// Records until the command ends, somebody ends the recording, or its time is over.
    fn run(self, options: &Options, args: &RecordArgs, signals: &Signals) -> ExitCode {
        let (child, mut status) = (self.child, None);
        loop {
            let is_finished = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_finished || self.recorder.progress.has_no_reader.load(Relaxed) || self.wait(signals, &mut status) {
                break;
            }
            self.status_line.show(&self.recorder.progress);
        }
        let outcome = self.finish(status);
        // Stopped by its duration, it has the command still to wait for.
        let status = status.or_else(|| Some(wait(signals, child?)));
        let summary_is_written = finish::show(options, args, &outcome);
        let whole = outcome.completion == Completion::Complete && summary_is_written;
        let status = status.unwrap_or(if whole { 0 } else { 1 });
        if outcome.completion == Completion::Abandoned {
            // SAFETY: ends the process, without the driver's library being taken from under the threads left in it.
            unsafe { libc::_exit(status.into()) };
        }
        ExitCode::from(status)
    }

    /// Waits for signals for a while; gives whether the recording is to end.
    fn wait(&self, signals: &Signals, status: &mut Option<u8>) -> bool {
        let left = self
            .deadline
            .map_or(status_line::REDRAW_INTERVAL, |deadline| deadline.saturating_duration_since(Instant::now()));
        let mut is_finished = false;
        for received in signals.wait(left.min(status_line::REDRAW_INTERVAL)) {
            is_finished |= handle(received, self.child);
        }
        // One signal may stand for several children.
        if let Some(child) = self.child
            && let Some(ended) = child_process::reap(child)
        {
            *status = Some(child_process::shell_status(ended));
            is_finished = true;
        }
        is_finished
    }

    fn finish(self, status: Option<u8>) -> RecordingOutcome {
        if let (Some(child), Some(status)) = (self.child, status) {
            let (pid, value) = (Some(child.pid), Some(f64::from(status)));
            self.recorder.record(Item {
                pid,
                value,
                ..Item::event(self.clock.to_unix_nano(monotonic()), event::COMMAND_END)
            });
        }
        let (completion, progress) = self.recorder.finish();
        self.status_line.clear();
        let dropped = || Item {
            value: Some(self.latest.dropped() as f64),
            ..Item::event(self.clock.to_unix_nano(monotonic()), event::HEARTBEAT)
        };
        RecordingOutcome { completion, progress, dropped: (completion == Completion::Abandoned).then(dropped) }
    }
}
