//! Off-policy estimates: what another assignment would have earned on the same log, and whether the
//! log can say.

pub(crate) mod estimators;
mod intervals;

pub use intervals::{Bounds, anytime, cressie_read, cressie_read_interval};

pub use estimators::{
    Estimator, Lambdas, Log, MAX_WEIGHT_Z, MIN_ESS, Overlap, Value, balanced_propensity, numbered,
};
