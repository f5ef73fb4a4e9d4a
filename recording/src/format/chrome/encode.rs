//! Writes an event a line.

use std::{borrow::Cow, collections::HashSet};

use serde_json::value::RawValue;

use super::event::{EventArgs, GPU_0, IGPU, OtherData, TraceEvent, phase};
use crate::{
    format::{
        encoder::Encoder,
        trace_spans::{GpuLabels, OpenSpans, SpanEdge, TraceSpan, span_label},
    },
    item::{Item, ItemKind},
    series::Series,
};

#[derive(Default)]
pub(super) struct ChromeEncoder {
    start: Option<u64>,
    has_events: bool,
    /// The GPUs that have their names.
    named: HashSet<u64>,
    gpus: GpuLabels,
    spans: OpenSpans,
}

impl Encoder for ChromeEncoder {
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
        let start = self.begin(item, out);
        let pid = self.process(item.gpu, out);
        let event = match &item.kind {
            ItemKind::Value(series) => counter(item, *series),
            ItemKind::Event(name, series) => self.event(item, name, *series, out),
        };
        self.write(&TraceEvent { pid, ts: micros(item.at, start), ..event }, out);
    }

    fn encode_tail(&mut self, out: &mut Vec<u8>) {
        if self.start.is_none() {
            head(&OtherData::default(), out);
        }
        out.extend_from_slice(b"\n]}\n");
    }
}

impl ChromeEncoder {
    fn begin(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        self.gpus.learn(item);
        if let Some(start) = self.start {
            return start;
        }
        let header = item.header().unwrap_or_default();
        let other = OtherData {
            recorder: format!("igpu {}", header.igpu_version).trim_end().to_owned().into(),
            start_unix_nano: item.at.to_string().into(),
            host: header.host.map(Cow::Owned),
            driver_version: header.driver_version.map(Cow::Owned),
        };
        head(&other, out);
        self.start = Some(item.at);
        item.at
    }

    /// The number that stands for a GPU, or for none; it has a name from then on.
    fn process(&mut self, gpu: Option<u32>, out: &mut Vec<u8>) -> u64 {
        let pid = gpu.map_or(IGPU, |index| u64::from(index) + GPU_0);
        if self.named.insert(pid) {
            let label = gpu.map_or("igpu".to_owned(), |index| self.gpus.label(index));
            self.metadata(pid, "process_name", EventArgs { name: Some(label.into()), ..EventArgs::default() }, out);
            self.metadata(pid, "process_sort_index", EventArgs { sort_index: Some(pid), ..EventArgs::default() }, out);
        }
        pid
    }

    fn event<'a>(
        &mut self,
        item: &'a Item,
        name: &'a str,
        series: Option<Series>,
        out: &mut Vec<u8>,
    ) -> TraceEvent<'a> {
        let args = EventArgs {
            value: item.value,
            pid: item.pid,
            series: series.map(|series| series.key().into()),
            text: item.text.as_deref().map(Cow::Borrowed),
            ..EventArgs::default()
        };
        let (ph, span) = match self.spans.part(item) {
            SpanEdge::Instant => {
                return TraceEvent {
                    ph: phase::INSTANT.into(),
                    tid: Some(0),
                    s: Some("p".into()),
                    name: name.into(),
                    args,
                    ..TraceEvent::default()
                };
            }
            SpanEdge::Begin(span) => (phase::BEGIN, span),
            SpanEdge::End(span) => (phase::END, span),
        };
        // An end closes the last beginning of its thread.
        let mut label = String::new();
        if ph == phase::BEGIN {
            label = span_label(span, item);
            self.thread(item, span, &label, out);
        }
        let args = match (ph, span) {
            (phase::END, TraceSpan::Command) => EventArgs { exit_status: args.value, value: None, ..args },
            _ => args,
        };
        TraceEvent { ph: ph.into(), tid: Some(thread_of(span)), name: label.into(), args, ..TraceEvent::default() }
    }

    /// Says what a span's thread is called.
    fn thread(&mut self, item: &Item, span: TraceSpan, label: &str, out: &mut Vec<u8>) {
        let name = if span == TraceSpan::Command { "command" } else { label };
        let event = TraceEvent {
            ph: phase::METADATA.into(),
            pid: item.gpu.map_or(IGPU, |index| u64::from(index) + GPU_0),
            tid: Some(thread_of(span)),
            name: "thread_name".into(),
            args: EventArgs { name: Some(name.into()), ..EventArgs::default() },
            ..TraceEvent::default()
        };
        self.write(&event, out);
    }

    fn metadata(&mut self, pid: u64, name: &str, args: EventArgs<'_>, out: &mut Vec<u8>) {
        self.write(
            &TraceEvent { ph: phase::METADATA.into(), pid, name: name.into(), args, ..TraceEvent::default() },
            out,
        );
    }

    fn write(&mut self, event: &TraceEvent<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.has_events { b",\n" } else { b"\n" });
        self.has_events = true;
        // Into memory, and all keys are text: this cannot fail.
        let _ = serde_json::to_writer(out, event);
    }
}

fn counter(item: &Item, series: Series) -> TraceEvent<'static> {
    TraceEvent {
        ph: phase::COUNTER.into(),
        id: item.pid.map(|pid| pid.to_string().into()),
        name: series.key().into(),
        args: EventArgs { value: item.value, ..EventArgs::default() },
        ..TraceEvent::default()
    }
}

/// The command has the thread after that of plain events; processes have their pids.
fn thread_of(span: TraceSpan) -> u32 {
    match span {
        TraceSpan::Process(_, pid) => pid,
        TraceSpan::Command => 1,
    }
}

fn head(other: &OtherData<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"displayTimeUnit\":\"ms\",\"otherData\":");
    let _ = serde_json::to_writer(&mut *out, other);
    out.extend_from_slice(b",\"traceEvents\":[");
}

/// Microseconds since the start, to the nanosecond.
fn micros(at: u64, start: u64) -> Option<Box<RawValue>> {
    let sign = if at < start { "-" } else { "" };
    let nanos = at.abs_diff(start);
    RawValue::from_string(format!("{sign}{}.{:03}", nanos / 1_000, nanos % 1_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        let text = |at, start| micros(at, start).unwrap().get().to_owned();
        assert_eq!(text(1_500, 1_000), "0.500");
        assert_eq!(text(1_000, 1_001), "-0.001");
        assert_eq!(text(u64::MAX, 0), "18446744073709551.615");
    }
}
