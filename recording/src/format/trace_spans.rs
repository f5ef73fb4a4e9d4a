//! The time spans of processes and the command in trace formats, and their labels.

use std::collections::HashSet;

use crate::{
    event,
    header::{RecordedGpu, RecordedProcess},
    item::{Item, ItemKind},
};

/// The maximum number of processes with an open span, which bounds memory use. The start and end of further processes are
/// written as instant events.
const MAX_OPEN_SPANS: usize = 1 << 14;

/// The representation of an item in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanEdge {
    /// The start of a span.
    Begin(TraceSpan),
    /// The end of a span.
    End(TraceSpan),
    /// Neither the start nor the end of a span. If the item is an event, it is written as an instant event.
    Instant,
}

/// The subject of a time span in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TraceSpan {
    /// A process on a GPU, by GPU index and process ID.
    Process(u32, u32),
    /// The recorded command.
    Command,
}

/// The spans that have started and not ended. In a trace, a span cannot end before it starts, and cannot start again before
/// it ends.
#[derive(Default)]
pub(super) struct OpenSpans {
    open: HashSet<TraceSpan>,
}

impl OpenSpans {
    /// Classifies the next item, and opens or closes its span.
    pub(super) fn observe(&mut self, item: &Item) -> SpanEdge {
        let ItemKind::Event(name, None) = &item.kind else { return SpanEdge::Instant };
        let (span, is_begin) = match (name.as_ref(), item.gpu, item.pid) {
            (event::PROCESS_START, Some(gpu), Some(pid)) => (TraceSpan::Process(gpu, pid), true),
            (event::PROCESS_END, Some(gpu), Some(pid)) => (TraceSpan::Process(gpu, pid), false),
            (event::COMMAND_START, None, _) => (TraceSpan::Command, true),
            (event::COMMAND_END, None, _) => (TraceSpan::Command, false),
            _ => return SpanEdge::Instant,
        };
        if is_begin && self.open.len() < MAX_OPEN_SPANS && self.open.insert(span) {
            SpanEdge::Begin(span)
        } else if !is_begin && self.open.remove(&span) {
            SpanEdge::End(span)
        } else {
            SpanEdge::Instant
        }
    }
}

impl TraceSpan {
    /// Returns the name of the event at the start or end of the span.
    pub(super) fn event_name(self, is_begin: bool) -> &'static str {
        match (self, is_begin) {
            (Self::Process(..), true) => event::PROCESS_START,
            (Self::Process(..), false) => event::PROCESS_END,
            (Self::Command, true) => event::COMMAND_START,
            (Self::Command, false) => event::COMMAND_END,
        }
    }
}

/// The labels of the GPUs, from the header of the recording.
#[derive(Default)]
pub(super) struct GpuLabels(Vec<RecordedGpu>);

impl GpuLabels {
    /// Stores the GPUs if the item contains the header.
    pub(super) fn observe(&mut self, item: &Item) {
        if let Some(header) = item.header() {
            self.0 = header.gpus;
        }
    }

    /// Returns a label such as "GPU 0 NVIDIA H100 80GB HBM3". The index is padded with zeros to the length of the
    /// greatest index, because Perfetto sorts tracks by name.
    pub(super) fn label(&self, index: u32) -> String {
        let max_index = self.0.iter().map(|gpu| gpu.index).max().unwrap_or_default();
        let digits = max_index.to_string().len();
        match self.get(index).and_then(|gpu| gpu.name.as_deref()) {
            Some(name) => format!("GPU {index:0digits$} {name}"),
            None => format!("GPU {index:0digits$}"),
        }
    }

    /// Returns the UUID of the GPU; `None` if it is unknown.
    pub(super) fn uuid(&self, index: u32) -> Option<String> {
        self.get(index)?.uuid.clone()
    }

    fn get(&self, index: u32) -> Option<&RecordedGpu> {
        self.0.iter().find(|gpu| gpu.index == index)
    }
}

/// Returns the label of a process, such as "python (4711) ann". Unknown parts are omitted.
pub(super) fn process_label(pid: u32, process: Option<RecordedProcess>) -> String {
    let RecordedProcess { name, user, .. } = process.unwrap_or_default();
    let name = name.as_deref().unwrap_or("process");
    match user {
        Some(user) => format!("{name} ({pid}) {user}"),
        None => format!("{name} ({pid})"),
    }
}

/// Returns the label of a span, which is the label of the process or the command line.
pub(super) fn span_label(span: TraceSpan, item: &Item) -> String {
    match span {
        TraceSpan::Process(_, pid) => process_label(pid, item.process()),
        TraceSpan::Command => item.text.clone().unwrap_or_else(|| "command".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process_event(name: &'static str, pid: u32) -> Item {
        Item { gpu: Some(0), pid: Some(pid), ..Item::event(1, name) }
    }

    #[test]
    fn span_begins_and_ends_once() {
        let mut spans = OpenSpans::default();
        let span = TraceSpan::Process(0, 7);
        let edges = [event::PROCESS_END, event::PROCESS_START, event::PROCESS_START, event::PROCESS_END]
            .map(|name| spans.observe(&process_event(name, 7)));
        assert_eq!(edges, [SpanEdge::Instant, SpanEdge::Begin(span), SpanEdge::Instant, SpanEdge::End(span)]);
    }

    #[test]
    fn open_spans_are_bounded() {
        let mut spans = OpenSpans::default();
        let pids = 0..2 * MAX_OPEN_SPANS as u32;
        let opened =
            pids.filter(|pid| spans.observe(&process_event(event::PROCESS_START, *pid)) != SpanEdge::Instant).count();
        assert_eq!(opened, MAX_OPEN_SPANS);
    }

    #[test]
    fn labels_omit_unknown_parts() {
        let known =
            RecordedProcess { name: Some("python".into()), user: Some("ann".into()), ..RecordedProcess::default() };
        assert_eq!(process_label(4711, Some(known)), "python (4711) ann");
        assert_eq!(process_label(4711, None), "process (4711)");
        assert_eq!(GpuLabels::default().label(3), "GPU 3");
        let sixteen = GpuLabels((0..16).map(|index| RecordedGpu { index, ..RecordedGpu::default() }).collect());
        assert_eq!([sixteen.label(3), sixteen.label(15)], ["GPU 03", "GPU 15"]);
    }
}
