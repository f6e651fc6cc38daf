//! Statistical methods, one file per method. Each function takes numbers and returns numbers, or
//! the [`Reason`] for a missing result. The formulas and references are in docs/METHODS.md.

pub mod attribution;
pub mod bootstrap;
mod clusters;
pub mod confidence_sequence;
pub mod contrast;
pub mod correlation;
pub mod difference;
pub mod dist;
pub mod effect;
pub mod exact;
pub mod gates;
pub mod group_sequential;
pub mod growth;
pub mod half_width;
pub mod jackknife;
pub mod judge;
pub(super) mod known;
pub mod late;
pub mod look_bounds;
pub mod max_t;
pub mod mcnemar;
pub mod moments;
pub mod multiplicity;
pub mod non_inferiority;
pub mod ope;
pub mod own_past;
pub(crate) mod p_value;
pub mod pass_k;
pub mod power;
pub mod proportion;
pub mod psi;
pub mod quantile;
pub mod ranks;
pub mod ratio;
pub(crate) mod rounding;
pub mod scale_mixture;
pub mod sequential;
pub mod simultaneous;
pub mod special;
pub mod spread;
pub mod srm;
pub mod stages;
pub mod two_proportions;

pub use clusters::Clusters;
pub use known::{Interval, Known, Reason};
