//! Reads our traces back, event by event, also where another program laid them out anew.

use std::io::BufRead;

use serde::Deserialize;

use super::event::{GPU_0, IGPU, OtherData, TraceEvent, phase};
use crate::{
    error::RecordingError,
    format::{codec::MAX_RECORD_BYTES, trace_spans::TraceSpan},
    item::{Item, ItemKind},
    read::Items,
    series::Series,
};

pub(super) fn decode(file: Box<dyn BufRead>) -> Items {
    let mut decoder = ChromeDecoder { file, buffer: Vec::new(), start: None };
    Items::new(std::iter::from_fn(move || decoder.next().transpose()))
}

struct ChromeDecoder {
    file: Box<dyn BufRead>,
    buffer: Vec<u8>,
    /// When the first item was; known once the head is read.
    start: Option<u64>,
}

/// What comes before the events.
#[derive(Deserialize)]
struct TraceHead<'a> {
    #[serde(rename = "otherData")]
    other_data: OtherData<'a>,
    #[serde(rename = "traceEvents")]
    _trace_events: [(); 0],
}

impl ChromeDecoder {
    fn next(&mut self) -> Result<Option<Item>, RecordingError> {
        let start = match self.start {
            Some(start) => start,
            None => match self.head()? {
                Some(start) => *self.start.insert(start),
                None => return Ok(None),
            },
        };
        while self.event()? {
            let event: TraceEvent =
                serde_json::from_slice(&self.buffer).map_err(|error| damaged(&error.to_string()))?;
            if let Some(item) = item(&event, start)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Reads up to the first event, and gives when the recording began; `None` of one that has not.
    fn head(&mut self) -> Result<Option<u64>, RecordingError> {
        self.take_until(|depth, byte| depth == 0 || (depth == 2 && byte == b'['))?;
        self.buffer.extend_from_slice(b"]}");
        let head: TraceHead = serde_json::from_slice(&self.buffer).map_err(|_| RecordingError::Format)?;
        if head.other_data.recorder.is_empty() && head.other_data.start_unix_nano.is_empty() {
            return if self.event()? { Err(RecordingError::Format) } else { Ok(None) };
        }
        head.other_data.start_unix_nano.parse().map(Some).map_err(|_| RecordingError::Format)
    }

    /// Reads the next event; gives whether there was one before the end.
    fn event(&mut self) -> Result<bool, RecordingError> {
        loop {
            let byte = *self.file.fill_buf()?.first().ok_or(RecordingError::Truncated)?;
            match byte {
                b',' | b' ' | b'\t' | b'\r' | b'\n' => self.file.consume(1),
                b'{' => break,
                b']' => return self.end().map(|()| false),
                _ => return Err(damaged("something else stands where an event has to begin")),
            }
        }
        self.take_until(|depth, _| depth == 0)?;
        Ok(true)
    }

    /// Takes bytes into the buffer up to the one that `ends` knows by itself and by how many brackets are open after it.
    fn take_until(&mut self, ends: fn(usize, u8) -> bool) -> Result<(), RecordingError> {
        self.buffer.clear();
        let mut place = JsonScanner::default();
        loop {
            let chunk = self.file.fill_buf()?;
            let end = chunk.iter().position(|byte| place.step(*byte) && ends(place.depth, *byte));
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

    /// What follows the last event: other members of the object, where another program wrote some, and its end.
    fn end(&mut self) -> Result<(), RecordingError> {
        loop {
            let chunk = self.file.fill_buf()?;
            let length = chunk.len();
            let ends = chunk.contains(&b'}');
            match (length, ends) {
                (0, _) => return Err(RecordingError::Truncated),
                (_, true) => return Ok(()),
                _ => self.file.consume(length),
            }
        }
    }
}

/// A place in JSON text.
#[derive(Default)]
struct JsonScanner {
    /// How many brackets are open.
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

impl JsonScanner {
    /// Goes over a byte; gives whether it is a bracket.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_text {
            self.in_text = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        matches!(byte, b'{' | b'[' | b'}' | b']')
    }
}

/// The item that an event stands for; none of names of things, and of series that this version does not know.
fn item(event: &TraceEvent, start: u64) -> Result<Option<Item>, RecordingError> {
    let args = &event.args;
    let gpu = match event.pid {
        IGPU => None,
        pid => Some(
            pid.checked_sub(GPU_0)
                .and_then(|index| u32::try_from(index).ok())
                .ok_or_else(|| damaged("an event is of no GPU"))?,
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
            ItemKind::Event(span.event(event.ph == phase::BEGIN).into(), None)
        }
        (other, _) => return Err(damaged(&format!("events of the kind {other:?} are none of ours"))),
    };
    let ts = event.ts.as_ref().and_then(|ts| nanos(ts.get()));
    let at = ts.and_then(|nanos| u64::try_from(nanos.checked_add(start.into())?).ok());
    Ok(Some(Item {
        at: at.ok_or_else(|| damaged("an event has no time"))?,
        gpu,
        pid: event.id.as_ref().and_then(|id| id.parse().ok()).or(args.pid),
        kind,
        value: args.value.or(args.exit_status),
        text: args.text.as_deref().map(str::to_owned),
    }))
}

/// Nanoseconds, of microseconds in text: exact as we write them, and as good as a double where another program wrote
/// more places than there are nanoseconds.
fn nanos(micros: &str) -> Option<i128> {
    let (sign, digits) = micros.strip_prefix('-').map_or((1, micros), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.len() <= 3 && (whole.bytes().chain(part.bytes())).all(|byte| byte.is_ascii_digit()) {
        return Some(sign * format!("{whole}{part:0<3}").parse::<i128>().ok()?);
    }
    let nanos = (micros.parse::<f64>().ok()? * 1e3).round();
    nanos.is_finite().then_some(nanos as i128)
}

fn damaged(what: &str) -> RecordingError {
    RecordingError::Damaged(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond_however_they_are_written() {
        assert_eq!(nanos("18446744073709551.615"), Some(i128::from(u64::MAX)));
        assert_eq!(nanos("-0.001"), Some(-1));
        assert_eq!([nanos("12"), nanos("12.5")], [Some(12_000), Some(12_500)]);
        assert_eq!([nanos("1234567.8910000001"), nanos("1e3")], [Some(1_234_567_891), Some(1_000_000)]);
        assert_eq!([nanos("\"1\""), nanos("1e999"), nanos(&"9".repeat(60))], [None; 3]);
    }
}
