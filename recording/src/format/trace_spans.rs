//! What the formats for traces have in common: processes and the command are spans, with names for people.

use std::collections::HashSet;

use crate::{
    event,
    header::{RecordedGpu, RecordedProcess},
    item::{Item, ItemKind},
};

/// So many processes can be open at a time; those beyond are plain events. Memory is bounded whatever is recorded.
const MOST_OPEN: usize = 1 << 14;

/// How an item stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanEdge {
    /// A process or the command begins.
    Begin(TraceSpan),
    /// It ends.
    End(TraceSpan),
    /// Anything else: an event of no duration.
    Instant,
}

/// What has a beginning and an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TraceSpan {
    /// A process on a GPU.
    Process(u32, u32),
    /// The command.
    Command,
}

/// The spans that are open: a trace shows only those that begin before they end, and once at a time.
#[derive(Default)]
pub(super) struct OpenSpans {
    open: HashSet<TraceSpan>,
}

impl OpenSpans {
    pub(super) fn part(&mut self, item: &Item) -> SpanEdge {
        let ItemKind::Event(name, None) = &item.kind else { return SpanEdge::Instant };
        let (span, begins) = match (name.as_ref(), item.gpu, item.pid) {
            (event::PROCESS_START, Some(gpu), Some(pid)) => (TraceSpan::Process(gpu, pid), true),
            (event::PROCESS_END, Some(gpu), Some(pid)) => (TraceSpan::Process(gpu, pid), false),
            (event::COMMAND_START, None, _) => (TraceSpan::Command, true),
            (event::COMMAND_END, None, _) => (TraceSpan::Command, false),
            _ => return SpanEdge::Instant,
        };
        if begins && self.open.len() < MOST_OPEN && self.open.insert(span) {
            SpanEdge::Begin(span)
        } else if !begins && self.open.remove(&span) {
            SpanEdge::End(span)
        } else {
            SpanEdge::Instant
        }
    }
}

impl TraceSpan {
    /// The event that its beginning or its end is.
    pub(super) fn event(self, begins: bool) -> &'static str {
        match (self, begins) {
            (Self::Process(..), true) => event::PROCESS_START,
            (Self::Process(..), false) => event::PROCESS_END,
            (Self::Command, true) => event::COMMAND_START,
            (Self::Command, false) => event::COMMAND_END,
        }
    }
}

/// What the GPUs are called: by the recording's first item.
#[derive(Default)]
pub(super) struct GpuLabels(Vec<RecordedGpu>);

impl GpuLabels {
    pub(super) fn learn(&mut self, item: &Item) {
        if let Some(header) = item.header() {
            self.0 = header.gpus;
        }
    }

    /// "GPU 0 NVIDIA H100 80GB HBM3"; of more than ten GPUs "GPU 00 …": Perfetto puts them in the order of their names.
    pub(super) fn label(&self, index: u32) -> String {
        let most = self.0.iter().map(|gpu| gpu.index).max().unwrap_or_default();
        let digits = most.to_string().len();
        match self.get(index).and_then(|gpu| gpu.name.as_deref()) {
            Some(name) => format!("GPU {index:0digits$} {name}"),
            None => format!("GPU {index:0digits$}"),
        }
    }

    pub(super) fn uuid(&self, index: u32) -> Option<String> {
        self.get(index)?.uuid.clone()
    }

    fn get(&self, index: u32) -> Option<&RecordedGpu> {
        self.0.iter().find(|gpu| gpu.index == index)
    }
}

/// "python (4711) ann", of what is known of a process.
pub(super) fn process_label(pid: u32, process: Option<RecordedProcess>) -> String {
    let RecordedProcess { name, user, .. } = process.unwrap_or_default();
    let name = name.as_deref().unwrap_or("process");
    match user {
        Some(user) => format!("{name} ({pid}) {user}"),
        None => format!("{name} ({pid})"),
    }
}

/// What a span is called: the process's name or the command line.
pub(super) fn span_label(span: TraceSpan, item: &Item) -> String {
    match span {
        TraceSpan::Process(_, pid) => process_label(pid, item.process()),
        TraceSpan::Command => item.text.clone().unwrap_or_else(|| "command".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &'static str, pid: u32) -> Item {
        Item { gpu: Some(0), pid: Some(pid), ..Item::event(1, name) }
    }

    #[test]
    fn a_span_begins_once_and_ends_once() {
        let mut spans = OpenSpans::default();
        let seven = TraceSpan::Process(0, 7);
        let parts: Vec<SpanEdge> = [event::PROCESS_END, event::PROCESS_START, event::PROCESS_START, event::PROCESS_END]
            .map(|name| spans.part(&process(name, 7)))
            .to_vec();
        assert_eq!(parts, [SpanEdge::Instant, SpanEdge::Begin(seven), SpanEdge::Instant, SpanEdge::End(seven)]);
    }

    #[test]
    fn open_spans_are_bounded() {
        let mut spans = OpenSpans::default();
        let begun = (0..2 * MOST_OPEN as u32)
            .filter(|pid| spans.part(&process(event::PROCESS_START, *pid)) != SpanEdge::Instant);
        assert_eq!(begun.count(), MOST_OPEN);
    }

    #[test]
    fn labels_say_what_is_known() {
        let known =
            RecordedProcess { name: Some("python".into()), user: Some("ann".into()), ..RecordedProcess::default() };
        assert_eq!(process_label(4711, Some(known)), "python (4711) ann");
        assert_eq!(process_label(4711, None), "process (4711)");
        assert_eq!(GpuLabels::default().label(3), "GPU 3");
        let sixteen = GpuLabels((0..16).map(|index| RecordedGpu { index, ..RecordedGpu::default() }).collect());
        assert_eq!([sixteen.label(3), sixteen.label(15)], ["GPU 03", "GPU 15"]);
    }
}
