//! Off-policy evaluation: the value that another assignment would have had on the same log, and
//! whether the log contains enough evidence for it.

pub(crate) mod estimators;
mod intervals;

pub use intervals::{Bounds, anytime, cressie_read, cressie_read_interval};

pub use estimators::{
    Estimator, Lambdas, Log, MAX_WEIGHT_Z, MIN_ESS, Overlap, Value, balanced_propensity, numbered,
};
