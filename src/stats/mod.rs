//! Pure statistics: numbers in, numbers or a reason out. One method a file.

pub mod bootstrap;
mod clusters;
pub mod dist;
pub mod effect;
pub mod jackknife;
mod known;
pub mod multiplicity;
pub mod non_inferiority;
pub mod proportion;
mod psi;
pub mod quantile;
pub mod ratio;
pub mod sequential;
pub mod srm;
pub mod stages;

pub use clusters::Clusters;
pub use known::{Interval, Known, Reason};
pub use psi::psi;
