//! Summaries of synthetic recordings, with expected values computed by hand.

mod json_keys;
mod processes;
mod quantities;
mod recording;

use igpu::metric::Metric;

use super::{GpuSummary, Summary, SummaryBuilder};
use crate::{
    event,
    header::{Header, RecordedProcess},
    item::Item,
    series::Series,
};

const SECOND_NS: u64 = 1_000_000_000;
/// The start of the recordings, in nanoseconds since the Unix epoch.
const START: u64 = 1_700_000_000 * SECOND_NS;

/// Returns the time at this number of seconds after the start.
fn at(seconds: f64) -> u64 {
    START + (seconds * 1e9) as u64
}

/// Returns a value of GPU 0.
fn value(seconds: f64, metric: Metric, value: f64) -> Item {
    Item::value(at(seconds), 0, Series::for_metric(metric), value)
}

/// Returns an event of GPU 0.
fn gpu_event(seconds: f64, name: &'static str) -> Item {
    Item { gpu: Some(0), ..Item::event(at(seconds), name) }
}

/// Returns the event for the suspension of a metric of GPU 0.
fn metric_suspended(seconds: f64, metric: Metric) -> Item {
    let kind = crate::ItemKind::Event(event::METRIC_SUSPENDED.into(), Some(Series::for_metric(metric)));
    Item { kind, ..gpu_event(seconds, event::METRIC_SUSPENDED) }
}

/// Returns the start event of a process on GPU 0.
fn process_start(seconds: f64, pid: u32, name: &str, owned_by_command: bool) -> Item {
    let process = RecordedProcess {
        name: Some(name.into()),
        user: Some("ada".into()),
        create_time: Some(seconds),
        owned_by_command,
    };
    let text = serde_json::to_string(&process).ok();
    Item { pid: Some(pid), text, ..gpu_event(seconds, event::PROCESS_START) }
}

/// Returns the end event of a process on GPU 0.
fn process_end(seconds: f64, pid: u32) -> Item {
    Item { pid: Some(pid), ..gpu_event(seconds, event::PROCESS_END) }
}

/// Returns a value of a process on GPU 0.
fn process_value(seconds: f64, pid: u32, metric: Metric, number: f64) -> Item {
    Item { pid: Some(pid), ..value(seconds, metric, number) }
}

/// Returns the first item of a recording of a command and processes.
fn start() -> Item {
    let command = Some(vec!["train".to_owned()]);
    Item::start(at(0.0), &Header { processes_recorded: true, command, ..Header::default() })
}

/// Returns the last item of a recording.
fn end(seconds: f64) -> Item {
    Item::event(at(seconds), event::END)
}

fn summary(items: &[Item]) -> Summary {
    let mut builder = SummaryBuilder::default();
    items.iter().for_each(|item| builder.observe(item));
    builder.summary()
}

/// Returns the summary of the only GPU.
fn gpu(items: &[Item]) -> GpuSummary {
    let mut summary = summary(items);
    assert_eq!(summary.gpus.len(), 1);
    summary.gpus.remove(0)
}
