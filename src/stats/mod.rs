//! Pure statistics: numbers in, numbers or a reason out. One method a file.

pub mod bootstrap;
pub mod dist;
pub mod effect;
pub mod jackknife;
mod known;
pub mod multiplicity;
pub mod non_inferiority;
pub mod proportion;
pub mod quantile;
pub mod ratio;
pub mod sequential;
pub mod srm;
pub mod stages;

pub use known::{Interval, Known, Reason};
