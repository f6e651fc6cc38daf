//! Object stores that speak S3's language: a bucket's objects as bytes and files, for inputs and
//! for publishing.

#[cfg(feature = "stores")]
pub(crate) mod bucket;
#[cfg(feature = "stores")]
mod http;

#[cfg(feature = "stores")]
pub(crate) use bucket::{Bucket, Location};
