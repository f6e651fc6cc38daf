//! Generates synthetic users and traffic with a known truth: the case study of the reference policy
//! (`docs/REFERENCE_POLICY.md`), at any size.

mod driver;
mod ecommerce;
mod traffic;
mod users;

pub use driver::{DATA_FILE, GeneratedData, generate, generate_users, reuse};
