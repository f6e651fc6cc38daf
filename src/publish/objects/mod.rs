//! Object stores and folders as targets. The files of a version are written under their own folder.
//! Then one small object, the pointer, names the version in force.

mod folder;
#[cfg(feature = "stores")]
mod s3;
mod store;
pub(super) mod target;
mod version;
