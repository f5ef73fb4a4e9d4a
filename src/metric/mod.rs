//! The catalogue of metrics: what can be sampled, in which unit, by which call of the driver, and how often that is of
//! use. The sampler, the records, and the README's table all come from it; a new metric is one entry of
//! `catalogue.rs`.

mod catalogue;
mod info;
mod lookup;

pub use self::{
    catalogue::{CATALOGUE, Metric},
    info::{Call, Kind, MetricInfo, Source},
};
