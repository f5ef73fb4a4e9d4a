//! The catalogue of metrics: what can be sampled, in which unit, by which call of the driver, and how often that is of
//! use. The sampler, the records, and the README's table all come from it; a new metric is one entry of
//! `catalogue.rs`.

mod call;
mod catalogue;
mod grouping;
mod info;
mod lookup;

pub use self::{
    call::Call,
    catalogue::{CATALOGUE, Metric},
    info::{Kind, MetricInfo, Source},
};
pub(crate) use self::{
    call::MAX_NUMBERS,
    grouping::{CallGroup, DriverCall, group_by_call},
};
