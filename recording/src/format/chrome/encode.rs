//! Encoding of Chrome traces, with an event per line.

use std::{borrow::Cow, collections::HashSet};

use serde_json::value::RawValue;

use super::event::{EventArgs, FIRST_GPU_PID, NO_GPU_PID, OtherData, TraceEvent, phase};
use crate::{
    format::{
        encoder::Encoder,
        trace_spans::{GpuLabels, OpenSpans, SpanEdge, TraceSpan, span_label},
    },
    item::{Item, ItemKind},
    series::Series,
};

/// The encoder of Chrome traces.
#[derive(Default)]
pub(super) struct ChromeEncoder {
    /// The time of the first item, in nanoseconds since the Unix epoch.
    start: Option<u64>,
    has_events: bool,
    /// The trace's process IDs whose labels have been written.
    labeled: HashSet<u64>,
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
        self.write(&TraceEvent { pid, ts: micros(item.time_unix_nano, start), ..event }, out);
    }

    fn encode_tail(&mut self, out: &mut Vec<u8>) {
        if self.start.is_none() {
            write_header(&OtherData::default(), out);
        }
        out.extend_from_slice(b"\n]}\n");
    }
}

impl ChromeEncoder {
    /// Writes the header before the first item, and returns the time of the first item.
    fn begin(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        self.gpus.observe(item);
        if let Some(start) = self.start {
            return start;
        }
        let header = item.header().unwrap_or_default();
        let other = OtherData {
            recorder: format!("igpu {}", header.igpu_version).trim_end().to_owned().into(),
            start_unix_nano: item.time_unix_nano.to_string().into(),
            host: header.host.map(Cow::Owned),
            driver_version: header.driver_version.map(Cow::Owned),
        };
        write_header(&other, out);
        self.start = Some(item.time_unix_nano);
        item.time_unix_nano
    }

    /// Returns the trace's process ID for a GPU, or for events that concern no GPU. Writes its label on the first call.
    fn process(&mut self, gpu: Option<u32>, out: &mut Vec<u8>) -> u64 {
        let pid = gpu.map_or(NO_GPU_PID, |index| u64::from(index) + FIRST_GPU_PID);
        if self.labeled.insert(pid) {
            let label = gpu.map_or("igpu".to_owned(), |index| self.gpus.label(index));
            self.write_metadata(
                pid,
                "process_name",
                EventArgs { name: Some(label.into()), ..EventArgs::default() },
                out,
            );
            self.write_metadata(
                pid,
                "process_sort_index",
                EventArgs { sort_index: Some(pid), ..EventArgs::default() },
                out,
            );
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
        let (ph, span) = match self.spans.observe(item) {
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
        // The end of a span has no name. It ends the last span that began on its thread.
        let mut label = String::new();
        if ph == phase::BEGIN {
            label = span_label(span, item);
            self.write_thread_name(item, span, &label, out);
        }
        let args = match (ph, span) {
            (phase::END, TraceSpan::Command) => EventArgs { exit_status: args.value, value: None, ..args },
            _ => args,
        };
        TraceEvent { ph: ph.into(), tid: Some(thread_of(span)), name: label.into(), args, ..TraceEvent::default() }
    }

    /// Writes the label of the thread of a span.
    fn write_thread_name(&mut self, item: &Item, span: TraceSpan, label: &str, out: &mut Vec<u8>) {
        let name = if span == TraceSpan::Command { "command" } else { label };
        let event = TraceEvent {
            ph: phase::METADATA.into(),
            pid: item.gpu.map_or(NO_GPU_PID, |index| u64::from(index) + FIRST_GPU_PID),
            tid: Some(thread_of(span)),
            name: "thread_name".into(),
            args: EventArgs { name: Some(name.into()), ..EventArgs::default() },
            ..TraceEvent::default()
        };
        self.write(&event, out);
    }

    fn write_metadata(&mut self, pid: u64, name: &str, args: EventArgs<'_>, out: &mut Vec<u8>) {
        self.write(
            &TraceEvent { ph: phase::METADATA.into(), pid, name: name.into(), args, ..TraceEvent::default() },
            out,
        );
    }

    fn write(&mut self, event: &TraceEvent<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.has_events { b",\n" } else { b"\n" });
        self.has_events = true;
        // Serializing a struct to memory cannot fail.
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

/// Returns the trace's thread ID of a span: the process ID of a process, and 1 for the command. Instant events use 0.
fn thread_of(span: TraceSpan) -> u32 {
    match span {
        TraceSpan::Process(_, pid) => pid,
        TraceSpan::Command => 1,
    }
}

fn write_header(other: &OtherData<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"displayTimeUnit\":\"ms\",\"otherData\":");
    let _ = serde_json::to_writer(&mut *out, other);
    out.extend_from_slice(b",\"traceEvents\":[");
}

/// Formats the time since the start in microseconds with three decimal places, which is exact.
fn micros(at: u64, start: u64) -> Option<Box<RawValue>> {
    let sign = if at < start { "-" } else { "" };
    let nanos = at.abs_diff(start);
    RawValue::from_string(format!("{sign}{}.{:03}", nanos / 1_000, nanos % 1_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_is_formatted_exactly() {
        let text = |at, start| micros(at, start).unwrap().get().to_owned();
        assert_eq!(text(1_500, 1_000), "0.500");
        assert_eq!(text(1_000, 1_001), "-0.001");
        assert_eq!(text(u64::MAX, 0), "18446744073709551.615");
    }
}
