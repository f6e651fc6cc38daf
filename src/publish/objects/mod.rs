//! Object stores and folders as targets: a study's files under a name of their own, then one small
//! object that says which are in force.

mod folder;
#[cfg(feature = "stores")]
mod s3;
mod store;
pub(super) mod target;
