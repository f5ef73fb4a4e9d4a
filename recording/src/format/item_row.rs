//! An item as a row of a table: what CSV, JSON Lines and Parquet have in common.

use serde::{Deserialize, Serialize};

use crate::{
    error::RecordingError,
    item::{Item, ItemKind},
    series::Series,
};

/// The columns, in their order; as an object, with those that hold something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ItemRow {
    /// Nanoseconds since the epoch.
    pub time_unix_nano: u64,
    /// The GPU's index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<u32>,
    /// The name of the metric, of a value and of an event about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The attribute that tells metrics of one name apart: `hw.gpu.task=general`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The value, or what an event counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The unit of a metric's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The name of an event; none of a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What an event tells besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl ItemRow {
    pub(super) fn of(item: &Item) -> Self {
        let info = item.series().map(Series::info);
        Self {
            time_unix_nano: item.at,
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

    /// All its cells, also the empty ones, in the order of the columns.
    pub(super) fn cells(&self) -> impl Serialize + use<'_> {
        let Self { time_unix_nano, gpu, metric, attribute, value, unit, pid, event, text } = self;
        (time_unix_nano, gpu, metric, attribute, value, unit, pid, event, text)
    }

    /// The item again; none of a metric that this version does not know.
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
        let Self { time_unix_nano: at, gpu, pid, value, text, .. } = self;
        Ok(Some(Item { at, gpu, pid, kind, value, text }))
    }
}
