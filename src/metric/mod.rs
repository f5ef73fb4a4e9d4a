//! The catalog of metrics: what can be sampled, in which unit, by which call of the driver, and how often that is of
//! use. The sampler, the records, and the README's table all come from it; a new metric is one entry of
//! `catalog.rs`.

mod call;
mod catalog;
mod grouping;
mod info;
mod lookup;

pub use self::{
    call::Call,
    catalog::{CATALOG, Metric},
    info::{MetricInfo, MetricKind, MetricSource},
};
pub(crate) use self::{
    call::MAX_CALL_VALUES,
    grouping::{CallGroup, DriverCall, group_by_call},
};
