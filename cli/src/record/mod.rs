//! `igpu record`: records GPUs while a program runs, and summarizes the recording.
//!
//! The work is split into four threads. Two threads of the sampler read the driver. The recorder thread writes records
//! to the file and adds them to the summary. The main thread handles signals, the command, and the status line. No
//! thread blocks another: if a disk is slow, records are dropped and counted, and the command is not delayed.

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
use crate::{
    error::{CliError, Diagnostic},
    notifier::Notifier,
    options::Options,
};

/// The time between two checks whether the setup has finished. It is short because the command is started only after
/// the setup.
const SETUP_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The maximum time to wait for the end of a setup that a signal has canceled.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(300);

/// Records until the end of the recording, and returns the exit status, which is that of the command if a command is
/// run. Reports all errors except usage errors.
pub(crate) fn run(options: Options, args: RecordArgs) -> Result<ExitCode, CliError> {
    args.check()?;
    let encoder = args.encoder()?;
    let signals = match Signals::block(args.has_command()) {
        Ok(signals) => signals,
        Err(error) => return Ok(report_error(&Diagnostic::new(format!("signals could not be blocked ({error})")))),
    };
    let arguments = Arc::new((options, args));
    let prepared = match setup_interruptible(&arguments, &signals) {
        Ok(prepared) => prepared,
        Err(error @ CliError::Usage(_)) => return Err(error),
        Err(error) => return Ok(report_error(&Diagnostic::from(&error))),
    };
    let (options, args) = &*arguments;
    let child = match args.has_command().then(|| child_process::start(&args.command, &signals.mask_before)).transpose()
    {
        Ok(child) => child,
        Err(not_started) => {
            prepared.output.discard();
            report_error(&not_started.diagnostic);
            return Ok(ExitCode::from(not_started.status));
        }
    };
    let recording = match ActiveRecording::start(prepared, encoder, child, args) {
        Ok(recording) => recording,
        // The command is already running, and continues without a recording.
        Err(error) => {
            let message = format!("nothing is recorded, because a thread could not be started ({error})");
            report_error(&Diagnostic::new(message));
            return Ok(ExitCode::from(child.map_or(1, |child| wait(&signals, child))));
        }
    };
    Ok(recording.run(options, args, &signals))
}

/// Reports the reason why nothing was recorded, and returns the exit status of a failure.
fn report_error(diagnostic: &Diagnostic) -> ExitCode {
    Notifier::without_bar().report(diagnostic);
    ExitCode::FAILURE
}

/// Runs the setup on another thread, so that signals can end the program even if the driver hangs.
fn setup_interruptible(
    arguments: &Arc<(Options, RecordArgs)>,
    signals: &Signals,
) -> Result<PreparedRecording, CliError> {
    let (sender, receiver) = mpsc::channel();
    let for_thread = arguments.clone();
    let prepare = move || {
        let (options, args) = &*for_thread;
        // Sending fails if a signal has canceled the setup.
        let _ = sender.send(setup::prepare(options, args));
    };
    thread::Builder::new().spawn(prepare).map_err(CliError::Thread)?;
    loop {
        if let Some(received) = signals.wait(Duration::ZERO).into_iter().find(|received| received.is_request()) {
            // The setup may have just created the file.
            if let Ok(Ok(prepared)) = receiver.recv_timeout(CANCEL_TIMEOUT) {
                prepared.output.discard();
            }
            std::process::exit(received.exit_status().into());
        }
        match receiver.recv_timeout(SETUP_POLL_INTERVAL) {
            Ok(prepared) => return prepared,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // The thread panicked and printed the panic message.
            Err(mpsc::RecvTimeoutError::Disconnected) => std::process::exit(1),
        }
    }
}

/// Waits for the command without recording, and returns its exit status.
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

/// Forwards a signal to the command, unless the command has received the signal as well. Without a command, returns
/// `true` if the signal ends the recording.
fn handle(received: ReceivedSignal, child: Option<ChildProcess>) -> bool {
    let Some(child) = child else { return received.is_request() };
    // A signal from a descendant of the command, such as `kill 0`, was sent to the whole group, including the command.
    let from_outside = |sender| !processes::is_descendant(sender, child.pid);
    if received.is_request() && received.sender.map_or_else(|| received.is_leader_hangup(), from_outside) {
        received.forward(child.pid);
    }
    false
}

/// A recording in progress.
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

    /// Records until the command exits, a signal ends the recording, or the duration of the recording has passed.
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
        // If the recording ended before the command, the command is still running.
        let status = status.or_else(|| Some(wait(signals, child?)));
        let summary_is_written = finish::show(options, args, &outcome);
        let is_complete = outcome.completion == Completion::Complete && summary_is_written;
        let status = status.unwrap_or(if is_complete { 0 } else { 1 });
        if outcome.completion == Completion::Abandoned {
            // `exit` would run the destructors of the driver's library while an abandoned thread may still be using it.
            // SAFETY: `_exit` has no preconditions.
            unsafe { libc::_exit(status.into()) };
        }
        ExitCode::from(status)
    }

    /// Waits for signals until the next update of the status line. Returns `true` if the recording must end, and sets
    /// `status` if the command has exited.
    fn wait(&self, signals: &Signals, status: &mut Option<u8>) -> bool {
        let remaining = self
            .deadline
            .map_or(status_line::REDRAW_INTERVAL, |deadline| deadline.saturating_duration_since(Instant::now()));
        let mut is_finished = false;
        for received in signals.wait(remaining.min(status_line::REDRAW_INTERVAL)) {
            is_finished |= handle(received, self.child);
        }
        // One SIGCHLD can represent several children.
        if let Some(child) = self.child
            && let Some(command_status) = child_process::reap(child)
        {
            *status = Some(child_process::shell_status(command_status));
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
