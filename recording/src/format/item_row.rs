//! The columns that CSV, JSON Lines, and Parquet have in common.

use serde::{Deserialize, Serialize};

use crate::{
    error::RecordingError,
    item::{Item, ItemKind},
    series::Series,
};

/// An item as a row of a table. The fields have the order of the columns. As a JSON object, a row has keys only for the
/// columns that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ItemRow {
    /// The time, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The NVML index of the GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<u32>,
    /// The name of the series of a value, or of the series that an event concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The attribute that distinguishes series with the same name, such as `hw.gpu.task=general`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The value of the series or event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The unit of the value of a series, in UCUM notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The process ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The name of the event; `None` for a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The additional data of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl ItemRow {
    pub(super) fn from_item(item: &Item) -> Self {
        let info = item.series().map(Series::info);
        Self {
            time_unix_nano: item.time_unix_nano,
            gpu: item.gpu,
            metric: info.map(|info| info.name.to_owned()),
            attribute: info.and_then(|info| info.attribute).map(|(name, value)| format!("{name}={value}")),
            value: item.value,
            unit: info.filter(|_| matches!(item.kind, ItemKind::Value(_))).map(|info| info.unit.to_owned()),
            pid: item.pid,
            event: item.event_name().map(str::to_owned),
            text: item.text.clone(),
        }
    }

    /// Returns all cells, including empty ones, in the order of the columns.
    pub(super) fn cells(&self) -> impl Serialize + use<'_> {
        let Self { time_unix_nano, gpu, metric, attribute, value, unit, pid, event, text } = self;
        (time_unix_nano, gpu, metric, attribute, value, unit, pid, event, text)
    }

    /// Converts the row to an item. Returns `None` for a value of a series that is unknown to this version.
    pub(super) fn into_item(self) -> Result<Option<Item>, RecordingError> {
        let key = match (self.metric, &self.attribute) {
            (Some(metric), Some(attribute)) => Some(format!("{metric}{{{attribute}}}")),
            (metric, _) => metric,
        };
        let series = key.as_deref().and_then(Series::from_key);
        let kind = match (self.event, series) {
            (Some(event), series) => ItemKind::Event(event.into(), series),
            (None, Some(_)) if self.value.is_none() => {
                return Err(RecordingError::Damaged("a row has no value".to_owned()));
            }
            (None, Some(series)) => ItemKind::Value(series),
            (None, None) if key.is_some() => return Ok(None),
            (None, None) => return Err(RecordingError::Damaged("a row is neither a value nor an event".to_owned())),
        };
        let Self { time_unix_nano, gpu, pid, value, text, .. } = self;
        Ok(Some(Item { time_unix_nano, gpu, pid, kind, value, text }))
    }
}
