//! Decoding of Chrome traces that igpu wrote, event by event. Other programs may have reformatted the JSON.

use std::io::BufRead;

use serde::Deserialize;

use super::event::{FIRST_GPU_PID, NO_GPU_PID, OtherData, TraceEvent, phase};
use crate::{
    error::RecordingError,
    format::{codec::MAX_RECORD_BYTES, trace_spans::TraceSpan},
    item::{Item, ItemKind},
    items::Items,
    series::Series,
};

pub(super) fn decode(file: Box<dyn BufRead>) -> Items {
    let mut decoder = ChromeDecoder { file, buffer: Vec::new(), start: None };
    Items::new(std::iter::from_fn(move || decoder.next().transpose()))
}

struct ChromeDecoder {
    file: Box<dyn BufRead>,
    /// The text of the current event.
    buffer: Vec<u8>,
    /// The time of the first item, in nanoseconds since the Unix epoch; `None` until the header has been read.
    start: Option<u64>,
}

/// The header of the file, up to the first event.
#[derive(Deserialize)]
struct TraceHeader<'a> {
    #[serde(rename = "otherData")]
    other_data: OtherData<'a>,
    #[serde(rename = "traceEvents")]
    _trace_events: [(); 0],
}

impl ChromeDecoder {
    fn next(&mut self) -> Result<Option<Item>, RecordingError> {
        let start = match self.start {
            Some(start) => start,
            None => match self.read_header()? {
                Some(start) => *self.start.insert(start),
                None => return Ok(None),
            },
        };
        while self.read_event()? {
            let event: TraceEvent =
                serde_json::from_slice(&self.buffer).map_err(|error| damaged(&error.to_string()))?;
            if let Some(item) = item(&event, start)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Reads the header and returns the time of the first item; returns `None` for a recording without items.
    fn read_header(&mut self) -> Result<Option<u64>, RecordingError> {
        self.read_until(|depth, byte| depth == 0 || (depth == 2 && byte == b'['))?;
        self.buffer.extend_from_slice(b"]}");
        let header: TraceHeader = serde_json::from_slice(&self.buffer).map_err(|_| RecordingError::Format)?;
        if header.other_data.recorder.is_empty() && header.other_data.start_unix_nano.is_empty() {
            return if self.read_event()? { Err(RecordingError::Format) } else { Ok(None) };
        }
        header.other_data.start_unix_nano.parse().map(Some).map_err(|_| RecordingError::Format)
    }

    /// Reads the next event into the buffer. Returns `false` after the last event.
    fn read_event(&mut self) -> Result<bool, RecordingError> {
        loop {
            let byte = *self.file.fill_buf()?.first().ok_or(RecordingError::Truncated)?;
            match byte {
                b',' | b' ' | b'\t' | b'\r' | b'\n' => self.file.consume(1),
                b'{' => break,
                b']' => return self.read_end().map(|()| false),
                _ => return Err(damaged("an event does not start with a brace")),
            }
        }
        self.read_until(|depth, _| depth == 0)?;
        Ok(true)
    }

    /// Reads into the buffer up to and including the first bracket for which `is_end` returns `true`. The arguments of
    /// `is_end` are the number of brackets that are open after the bracket, and the bracket.
    fn read_until(&mut self, is_end: fn(usize, u8) -> bool) -> Result<(), RecordingError> {
        self.buffer.clear();
        let mut scanner = JsonScanner::default();
        loop {
            let chunk = self.file.fill_buf()?;
            let end = chunk.iter().position(|byte| scanner.step(*byte) && is_end(scanner.depth, *byte));
            let length = end.map_or(chunk.len(), |end| end + 1);
            self.buffer.extend_from_slice(&chunk[..length]);
            self.file.consume(length);
            if end.is_some() {
                return Ok(());
            }
            if length == 0 {
                return Err(RecordingError::Truncated);
            }
            if self.buffer.len() as u64 > MAX_RECORD_BYTES {
                return Err(damaged("an event is too long"));
            }
        }
    }

    /// Reads the end of the trace after the last event. Another program may have written other keys there.
    fn read_end(&mut self) -> Result<(), RecordingError> {
        loop {
            let chunk = self.file.fill_buf()?;
            let length = chunk.len();
            let has_end = chunk.contains(&b'}');
            match (length, has_end) {
                (0, _) => return Err(RecordingError::Truncated),
                (_, true) => return Ok(()),
                _ => self.file.consume(length),
            }
        }
    }
}

/// A scanner of JSON text that distinguishes brackets from the contents of strings.
#[derive(Default)]
struct JsonScanner {
    /// The number of open brackets.
    depth: usize,
    in_string: bool,
    /// Whether the last byte was a backslash that escapes the next one.
    is_escaped: bool,
}

impl JsonScanner {
    /// Scans a byte. Returns `true` if it is a bracket outside of a string.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            self.in_string = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        matches!(byte, b'{' | b'[' | b'}' | b']')
    }
}

/// Converts an event to an item. Returns `None` for metadata and for series that are unknown to this version.
fn item(event: &TraceEvent, start: u64) -> Result<Option<Item>, RecordingError> {
    let args = &event.args;
    let gpu = match event.pid {
        NO_GPU_PID => None,
        pid => Some(
            pid.checked_sub(FIRST_GPU_PID)
                .and_then(|index| u32::try_from(index).ok())
                .ok_or_else(|| damaged("the process ID of an event is not that of a GPU"))?,
        ),
    };
    let kind = match (event.ph.as_ref(), gpu) {
        (phase::METADATA, _) => return Ok(None),
        (phase::COUNTER, _) => match Series::from_key(&event.name) {
            Some(series) => ItemKind::Value(series),
            None => return Ok(None),
        },
        (phase::INSTANT, _) => {
            ItemKind::Event(event.name.to_string().into(), args.series.as_deref().and_then(Series::from_key))
        }
        (phase::BEGIN | phase::END, gpu) => {
            let span = gpu.map_or(TraceSpan::Command, |gpu| TraceSpan::Process(gpu, event.tid.unwrap_or_default()));
            ItemKind::Event(span.event_name(event.ph == phase::BEGIN).into(), None)
        }
        (other, _) => return Err(damaged(&format!("unexpected event phase {other:?}"))),
    };
    let ts = event.ts.as_ref().and_then(|ts| nanos(ts.get()));
    let at = ts.and_then(|nanos| u64::try_from(nanos.checked_add(start.into())?).ok());
    Ok(Some(Item {
        time_unix_nano: at.ok_or_else(|| damaged("an event has no valid time"))?,
        gpu,
        pid: event.id.as_ref().and_then(|id| id.parse().ok()).or(args.pid),
        kind,
        value: args.value.or(args.exit_status),
        text: args.text.as_deref().map(str::to_owned),
    }))
}

/// Converts the text of a number of microseconds to nanoseconds. The result is exact for up to three decimal places, which
/// igpu writes. For other numbers, it has the precision of an `f64`.
fn nanos(micros: &str) -> Option<i128> {
    let (sign, digits) = micros.strip_prefix('-').map_or((1, micros), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() <= 3 && (whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
        return Some(sign * format!("{whole}{fraction:0<3}").parse::<i128>().ok()?);
    }
    let nanos = (micros.parse::<f64>().ok()? * 1e3).round();
    nanos.is_finite().then_some(nanos as i128)
}

fn damaged(message: &str) -> RecordingError {
    RecordingError::Damaged(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_is_parsed_exactly() {
        assert_eq!(nanos("18446744073709551.615"), Some(i128::from(u64::MAX)));
        assert_eq!(nanos("-0.001"), Some(-1));
        assert_eq!([nanos("12"), nanos("12.5")], [Some(12_000), Some(12_500)]);
        assert_eq!([nanos("1234567.8910000001"), nanos("1e3")], [Some(1_234_567_891), Some(1_000_000)]);
        assert_eq!([nanos("\"1\""), nanos("1e999"), nanos(&"9".repeat(60))], [None; 3]);
    }
}
