//! Object stores with an S3 interface: reads and writes the objects of a bucket, for inputs and for
//! publishing.

#[cfg(feature = "stores")]
pub(crate) mod bucket;
#[cfg(feature = "stores")]
mod http;
#[cfg(feature = "stores")]
mod listing;

#[cfg(feature = "stores")]
pub(crate) use bucket::{Bucket, Location, ObjectInfo};
#[cfg(feature = "stores")]
pub(crate) use http::system_certificates;
#[cfg(feature = "stores")]
pub(crate) use listing::SkippedKeys;
