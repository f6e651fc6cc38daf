//! Object stores that speak S3's language: a bucket's objects as bytes and files, for inputs and for publishing.

#[cfg(feature = "stores")]
mod bucket;
#[cfg(feature = "stores")]
mod http;
mod inputs;

#[cfg(feature = "stores")]
pub(crate) use bucket::{Bucket, Location};
pub(crate) use inputs::{fetch, is_url, local_file, local_root, named_as_asked, remove_fetched};
