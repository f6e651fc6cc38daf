//! A store under a prefix of an S3 bucket. The metadata of each object holds its digest, so an
//! object that is already stored is not sent again.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::manifest::FileEntry;
use crate::base::objects::{Bucket, Location};
use crate::publish::address::Address;
use crate::publish::objects::store::Store;
use crate::publish::objects::version::entry_of;

struct Prefix {
    bucket: Bucket,
    prefix: String,
}

/// Opens a bucket. Returns the address to show and the store.
pub(super) fn open(address: &Address) -> Result<(String, Box<dyn Store>)> {
    let (location, prefix) = Location::parse(&address.rest)?;
    let own = |name: &str| address.get(name).map(str::to_owned);
    let location = Location {
        endpoint: own("endpoint"),
        region: own("region"),
        ..location
    };
    let prefix = prefix.trim_end_matches('/').to_owned();
    let address = format!("s3://{}/{prefix}", location.bucket);
    Ok((
        address.trim_end_matches('/').to_owned(),
        Box::new(Prefix {
            bucket: Bucket::open(&location)?,
            prefix,
        }),
    ))
}

impl Prefix {
    fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.prefix)
        }
    }
}

impl Store for Prefix {
    fn read(&self, name: &str) -> Result<Option<(Vec<u8>, String)>> {
        let key = self.key(name);
        match self.bucket.read(&key)? {
            None => Ok(None),
            Some((bytes, Some(tag))) => Ok(Some((bytes.to_vec(), tag))),
            Some((_, None)) => Err(
                Error::target(key, "expected an object with an ETag, found one without")
                    .hint("a store without ETags cannot keep two publishers apart"),
            ),
        }
    }

    fn has(&self, name: &str, entry: &FileEntry) -> Result<bool> {
        Ok(self
            .bucket
            .digest(&self.key(name))?
            .is_some_and(|(digest, n_bytes)| digest == entry.digest && n_bytes == entry.n_bytes))
    }

    fn sizes(&self, folder: &str) -> Result<BTreeMap<String, u64>> {
        let folder = self.key(folder);
        let found = self.bucket.list_below(&folder, usize::MAX)?;
        // A key outside of the folder is the answer of a server that ignores the prefix.
        let inside = |key: &str| key.strip_prefix(&folder)?.strip_prefix('/').map(str::to_owned);
        let sizes = found.into_iter();
        Ok(sizes
            .filter_map(|found| Some((inside(&found.key)?, found.n_bytes)))
            .collect())
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let (_, folders) = self.bucket.list(&self.key(folder))?;
        Ok(folders
            .iter()
            .filter_map(|folder| folder.rsplit('/').next())
            .map(str::to_owned)
            .collect())
    }

    fn written(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.bucket.head(&self.key(name))?.map(|found| found.written))
    }

    fn send(&self, name: &str, path: &Path, entry: &FileEntry) -> Result<()> {
        self.bucket
            .send(&self.key(name), path, entry.n_bytes, &entry.digest)
    }

    fn write(&self, name: &str, bytes: Vec<u8>, entry: &FileEntry) -> Result<()> {
        self.bucket.write(&self.key(name), bytes, &entry.digest)
    }

    fn swap(&self, name: &str, bytes: Vec<u8>, tag: Option<&str>) -> Result<bool> {
        self.bucket.swap(&self.key(name), bytes, tag)
    }

    fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let entry = entry_of(&bytes);
        self.bucket.write(&self.key(name), bytes, &entry.digest)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.bucket.remove(&self.key(name))
    }
}
