//! Energy in joules, from the driver's energy counter or, on GPUs without a counter, from the integral of the power.

mod counter;
mod integral;

pub(super) use self::{
    counter::{CounterEnergy, CounterStep},
    integral::IntegratedEnergy,
};
