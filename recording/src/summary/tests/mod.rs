//! Invented recordings whose sums are computed by hand.

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

const S: u64 = 1_000_000_000;
/// When the invented recordings begin.
const START: u64 = 1_700_000_000 * S;

/// An instant so many seconds after the start.
fn at(seconds: f64) -> u64 {
    START + (seconds * 1e9) as u64
}

/// A value of GPU 0.
fn value(seconds: f64, metric: Metric, value: f64) -> Item {
    Item::value(at(seconds), 0, Series::for_metric(metric), value)
}

/// An event of GPU 0.
fn happens(seconds: f64, name: &'static str) -> Item {
    Item { gpu: Some(0), ..Item::event(at(seconds), name) }
}

/// The event that a metric of GPU 0 rests.
fn rests(seconds: f64, metric: Metric) -> Item {
    let kind = crate::ItemKind::Event(event::METRIC_SUSPENDED.into(), Some(Series::for_metric(metric)));
    Item { kind, ..happens(seconds, event::METRIC_SUSPENDED) }
}

/// A process of GPU 0 is seen.
fn seen(seconds: f64, pid: u32, name: &str, owned_by_command: bool) -> Item {
    let process = RecordedProcess {
        name: Some(name.into()),
        user: Some("ada".into()),
        create_time: Some(seconds),
        owned_by_command,
    };
    let text = serde_json::to_string(&process).ok();
    Item { pid: Some(pid), text, ..happens(seconds, event::PROCESS_START) }
}

/// A process of GPU 0 is gone.
fn gone(seconds: f64, pid: u32) -> Item {
    Item { pid: Some(pid), ..happens(seconds, event::PROCESS_END) }
}

/// A value of a process on GPU 0.
fn of_process(seconds: f64, pid: u32, metric: Metric, number: f64) -> Item {
    Item { pid: Some(pid), ..value(seconds, metric, number) }
}

/// The first item of a recording of a command and its processes.
fn start() -> Item {
    let command = Some(vec!["train".to_owned()]);
    Item::start(at(0.0), &Header { processes: true, command, ..Header::default() })
}

fn end(seconds: f64) -> Item {
    Item::event(at(seconds), event::END)
}

fn summary(items: &[Item]) -> Summary {
    let mut builder = SummaryBuilder::default();
    items.iter().for_each(|item| builder.observe(item));
    builder.summary()
}

/// The summary of the only GPU.
fn gpu(items: &[Item]) -> GpuSummary {
    let mut summary = summary(items);
    assert_eq!(summary.gpus.len(), 1);
    summary.gpus.remove(0)
}
