//! One bucket: lists, reads and writes its objects. All calls block.

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path as Key;
use object_store::{
    Attribute, AttributeValue, Attributes, ClientOptions, GetOptions, GetRange, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, RetryConfig, UpdateVersion,
};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, io};
use tokio::runtime::{Builder, Runtime};

use crate::base::error::{Error, ErrorKind, FileResult, Result};
use crate::base::limits::Limit;
use crate::base::lock::lock;
use crate::base::objects::http::Connector;
use crate::base::objects::listing::SkippedKeys;
use crate::base::{open, private_folder};

/// The number of bytes that one request sends or fetches.
const PART: u64 = 16 << 20;

/// The largest number of parts of an upload, below S3's limit of 10,000.
const MAX_PARTS: u64 = 9_000;

/// The number of keys that a page of a list counts as at least, if another page follows it.
const THIN_PAGE: u64 = 100;

/// The metadata key for the digest of an object.
const DIGEST: &str = "sha256";

/// The location of a bucket, from an address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Location {
    /// The bucket's name.
    pub(crate) bucket: String,
    /// The address of a server other than AWS. `None` uses `AWS_ENDPOINT_URL_S3` or
    /// `AWS_ENDPOINT_URL`.
    pub(crate) endpoint: Option<String>,
    /// The region. `None` uses `AWS_REGION` or `AWS_DEFAULT_REGION`.
    pub(crate) region: Option<String>,
}

impl Location {
    /// Splits `BUCKET/KEY` into the bucket and the key, which may be empty.
    pub(crate) fn parse(rest: &str) -> Result<(Self, String)> {
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        // The message does not repeat the address, because the user may have put credentials into
        // it.
        if bucket.is_empty() || bucket.contains(['@', ':']) {
            return Err(Error::usage("expected s3://BUCKET/KEY, found no bucket name or an unexpected `@` or `:` in it")
                .hint("set credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and a server in ?endpoint= or AWS_ENDPOINT_URL"));
        }
        Ok((
            Self {
                bucket: bucket.to_owned(),
                ..Self::default()
            },
            key.to_owned(),
        ))
    }
}

/// The metadata of an object: its key, its size in bytes, its ETag (`None` if the store gives none)
/// and its time of writing.
#[derive(Debug, Clone)]
pub(crate) struct ObjectInfo {
    pub(crate) key: String,
    pub(crate) n_bytes: u64,
    pub(crate) tag: Option<String>,
    /// The time of the last write, in microseconds UTC.
    pub(crate) written: i64,
}

impl From<ObjectMeta> for ObjectInfo {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            key: meta.location.to_string(),
            n_bytes: meta.size,
            tag: meta.e_tag,
            written: meta.last_modified.timestamp_micros(),
        }
    }
}

/// A bucket that is ready for requests.
pub(crate) struct Bucket {
    store: AmazonS3,
    runtime: Runtime,
    address: String,
    /// Keys of lists that are not read.
    skipped: Arc<Mutex<SkippedKeys>>,
}

impl Bucket {
    /// Prepares a bucket. It sends no request.
    ///
    /// # Errors
    /// When the environment has no credentials, or the endpoint is not a plain `http://` or
    /// `https://` address.
    pub(crate) fn open(location: &Location) -> Result<Self> {
        let address = format!("s3://{}", location.bucket);
        let wrong = |message: &str| Error::usage(format!("{address}: {message}"));
        let connector = Connector::default();
        let skipped = Arc::clone(&connector.skipped);
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&location.bucket)
            .with_http_connector(connector);
        let named = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
        };
        let endpoint = location
            .endpoint
            .clone()
            .or_else(|| named(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
        let mut options = ClientOptions::default();
        if let Some(endpoint) = &endpoint {
            if endpoint.contains('@')
                || !(endpoint.starts_with("https://") || endpoint.starts_with("http://"))
            {
                return Err(wrong(
                    "expected an endpoint such as https://host:port, found another form",
                ));
            }
            builder = builder.with_endpoint(endpoint);
            options = options.with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = location
            .region
            .clone()
            .or_else(|| named(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
        {
            builder = builder.with_region(region);
        }
        let sources = [
            "AWS_ACCESS_KEY_ID",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        // The machine's metadata service is asked for credentials only if the user configured it.
        if named(&sources).is_none() && named(&["AWS_SKIP_SIGNATURE", "AWS_METADATA_ENDPOINT"]).is_none() {
            return Err(wrong("expected credentials in the environment, found none")
                .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket"));
        }
        let retry = RetryConfig {
            max_retries: 4,
            retry_timeout: Duration::from_secs(60),
            ..RetryConfig::default()
        };
        let store = builder
            .with_client_options(options)
            .with_retry(retry)
            .build()
            .map_err(|error| wrong(&without_secrets(&error.to_string())))?;
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| wrong(&format!("could not start the client: {error}")))?;
        Ok(Self {
            store,
            runtime,
            address,
            skipped,
        })
    }

    fn key(&self, key: &str) -> Result<Key> {
        Key::parse(key).map_err(|error| {
            Error::target(
                &self.address,
                format!("expected a valid object key, found: {error}"),
            )
        })
    }

    /// Converts an error of the store, with a hint for its most likely cause.
    fn failed(&self, key: &str, expected: &str, error: &object_store::Error) -> Error {
        let (found, hint) = match error {
            object_store::Error::NotFound { .. } => (
                "no such object".to_owned(),
                "check that the bucket exists in this region",
            ),
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => (
                "the store refuses these credentials".to_owned(),
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their permissions",
            ),
            object_store::Error::Precondition { .. } => (
                "the object has changed in the meantime".to_owned(),
                "run it again",
            ),
            other => {
                let message = message(&without_secrets(&other.to_string()));
                let is_bucket = message.starts_with("NoSuchBucket");
                (
                    message,
                    if is_bucket {
                        "create the bucket first; Sluice does not create buckets"
                    } else {
                        "run the command again; files that were already sent are skipped"
                    },
                )
            }
        };
        Error::target(
            format!("{}/{key}", self.address),
            format!("expected {expected}, found: {found}"),
        )
        .hint(hint)
    }

    /// Returns the metadata of an object; `None` if it does not exist.
    pub(crate) fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        let location = self.key(key)?;
        match self.runtime.block_on(self.store.head(&location)) {
            Ok(meta) => Ok(Some(meta.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(key, "to look at the object", &error)),
        }
    }

    /// Returns the digest that an object was sent with, and its size in bytes. `None` if it does
    /// not exist. The digest is empty if the object has none.
    pub(crate) fn digest(&self, key: &str) -> Result<Option<(String, u64)>> {
        let location = self.key(key)?;
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.runtime.block_on(self.store.get_opts(&location, options)) {
            Ok(found) => {
                let digest = found
                    .attributes
                    .get(&Attribute::Metadata(DIGEST.into()))
                    .map(|value| value.as_ref().to_owned());
                Ok(Some((digest.unwrap_or_default(), found.meta.size)))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(key, "to look at the object", &error)),
        }
    }

    /// Reads a small object and its tag; `None` if it does not exist.
    pub(crate) fn read(&self, key: &str) -> Result<Option<(Bytes, Option<String>)>> {
        let location = self.key(key)?;
        let read = async {
            let found = self.store.get(&location).await?;
            let tag = found.meta.e_tag.clone();
            Ok((found.bytes().await?, tag))
        };
        match self.runtime.block_on(read) {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(key, "to read the object", &error)),
        }
    }

    /// Lists the objects and folders directly below a folder.
    pub(crate) fn list(&self, folder: &str) -> Result<(Vec<ObjectInfo>, Vec<String>)> {
        let mut found = (Vec::new(), Vec::new());
        self.list_into(folder, &mut 0, &mut found)?;
        Ok(found)
    }

    /// Adds the objects and folders directly below a folder to `found`, page by page. `n_listed`
    /// counts them against [`Limit::ListKeys`]. A key that is not below the folder is
    /// not asked for: it is skipped.
    fn list_into(
        &self,
        folder: &str,
        n_listed: &mut u64,
        found: &mut (Vec<ObjectInfo>, Vec<String>),
    ) -> Result<()> {
        let prefix = self.key(folder)?;
        let prefix = if prefix.as_ref().is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        let mut token = None;
        loop {
            let options = PaginatedListOptions {
                delimiter: Some("/".into()),
                page_token: token,
                ..PaginatedListOptions::default()
            };
            let asked = Some(prefix.as_str()).filter(|prefix| !prefix.is_empty());
            let page = self
                .runtime
                .block_on(self.store.list_paginated(asked, options))
                .map_err(|error| self.failed(folder, "to list the folder", &error))?;
            let (objects, folders) = (page.result.objects, page.result.common_prefixes);
            let n_found = (objects.len() + folders.len()) as u64;
            // A list that goes on with nearly empty pages ends soon.
            let is_thin = page.page_token.is_some() && n_found < THIN_PAGE;
            *n_listed += if is_thin { THIN_PAGE } else { n_found };
            if *n_listed > Limit::ListKeys.value() {
                let location = format!("{}/{folder}", self.address);
                return Err(Error::new(
                    ErrorKind::Target,
                    Limit::ListKeys.problem(location, *n_listed),
                ));
            }
            let is_below = |key: &str| {
                let is_below = key.len() > prefix.len() && key.starts_with(&prefix);
                // The mark of the folder itself is no key of another folder.
                if !is_below && key != prefix.trim_end_matches('/') {
                    lock(&self.skipped).push(key);
                }
                is_below
            };
            let objects = objects.into_iter().map(ObjectInfo::from);
            found.0.extend(objects.filter(|object| is_below(&object.key)));
            let folders = folders.iter().map(Key::to_string);
            found.1.extend(folders.filter(|folder| is_below(folder)));
            token = page.page_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Returns the keys that were skipped since the last call.
    pub(crate) fn take_skipped(&self) -> SkippedKeys {
        std::mem::take(&mut lock(&self.skipped))
    }

    /// Lists the objects below a folder in the order of their keys, through at most `depth` levels
    /// of folders.
    pub(crate) fn list_below(&self, folder: &str, depth: usize) -> Result<Vec<ObjectInfo>> {
        let (mut all, mut n_listed) = (Vec::new(), 0);
        let mut todo = vec![(folder.to_owned(), 0)];
        while let Some((folder, level)) = todo.pop() {
            let mut found = (Vec::new(), Vec::new());
            self.list_into(&folder, &mut n_listed, &mut found)?;
            all.append(&mut found.0);
            if level < depth {
                todo.extend(found.1.into_iter().map(|folder| (folder, level + 1)));
            }
        }
        all.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(all)
    }

    /// Writes a small object in one request, with `digest` in its metadata.
    pub(crate) fn write(&self, key: &str, bytes: Vec<u8>, digest: &str) -> Result<()> {
        let location = self.key(key)?;
        let options = PutOptions {
            attributes: attributes(digest),
            ..PutOptions::default()
        };
        let written = self
            .runtime
            .block_on(self.store.put_opts(&location, bytes.into(), options));
        written
            .map(|_| ())
            .map_err(|error| self.failed(key, "to write the object", &error))
    }

    /// Replaces the object that has this tag. Without a tag, creates the object. Returns `false` if
    /// another version exists.
    pub(crate) fn swap(&self, key: &str, bytes: Vec<u8>, tag: Option<&str>) -> Result<bool> {
        let location = self.key(key)?;
        let mode = match tag {
            Some(tag) => PutMode::Update(UpdateVersion {
                e_tag: Some(tag.to_owned()),
                version: None,
            }),
            None => PutMode::Create,
        };
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        match self
            .runtime
            .block_on(self.store.put_opts(&location, bytes.into(), options))
        {
            Ok(_) => Ok(true),
            Err(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }) => {
                Ok(false)
            }
            Err(error) => Err(self.failed(key, "to write the object", &error)),
        }
    }

    /// Sends a file of `n_bytes` bytes to `key`, with `digest` in the metadata. A large file is
    /// sent in parts, so that only one part is in memory.
    pub(crate) fn send(&self, key: &str, path: &Path, n_bytes: u64, digest: &str) -> Result<()> {
        let unreadable = |error: io::Error| Error::read(path, error);
        let mut file = open::regular(path).map_err(unreadable)?;
        if n_bytes <= PART {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(unreadable)?;
            return self.write(key, bytes, digest);
        }
        let location = self.key(key)?;
        let refused = |error: object_store::Error| self.failed(key, "to write the object", &error);
        let options = PutMultipartOptions {
            attributes: attributes(digest),
            ..PutMultipartOptions::default()
        };
        let mut upload = self
            .runtime
            .block_on(self.store.put_multipart_opts(&location, options))
            .map_err(refused)?;
        let part = PART.max(n_bytes.div_ceil(MAX_PARTS));
        let sent = (|| loop {
            let mut bytes = Vec::new();
            (&mut file)
                .take(part)
                .read_to_end(&mut bytes)
                .map_err(unreadable)?;
            if bytes.is_empty() {
                return self
                    .runtime
                    .block_on(upload.complete())
                    .map(|_| ())
                    .map_err(refused);
            }
            self.runtime
                .block_on(upload.put_part(bytes.into()))
                .map_err(refused)?;
        })();
        if sent.is_err() {
            // If this also fails, the store's rule for incomplete uploads removes the parts.
            self.runtime.block_on(upload.abort()).ok();
        }
        sent
    }

    /// Copies an object into a new private file, part by part. If the object is replaced meanwhile,
    /// the copy fails. The tag of each answer is compared, because some servers ignore the condition.
    pub(crate) fn fetch(&self, found: &ObjectInfo, path: &Path) -> Result<()> {
        let location = self.key(&found.key)?;
        let mut file = private_folder::create_file(path).or_unwritable(path)?;
        let mut start = 0;
        while start < found.n_bytes {
            let end = (start + PART).min(found.n_bytes);
            let options = GetOptions {
                range: Some(GetRange::Bounded(start..end)),
                if_match: found.tag.clone(),
                ..GetOptions::default()
            };
            let part = self.runtime.block_on(async {
                let answer = self.store.get_opts(&location, options).await?;
                let is_same = match (&found.tag, &answer.meta.e_tag) {
                    (Some(listed), Some(tag)) => opaque(listed) == opaque(tag),
                    _ => true,
                };
                if !is_same || answer.meta.size != found.n_bytes {
                    return Err(object_store::Error::Precondition {
                        path: found.key.clone(),
                        source: "the object has another tag or size".into(),
                    });
                }
                answer.bytes().await
            });
            let part =
                part.map_err(|error| self.failed(&found.key, "to read the object as it was listed", &error))?;
            if part.len() as u64 != end - start {
                let found_text = format!(
                    "expected {} bytes from byte {start}, found {}",
                    end - start,
                    part.len()
                );
                return Err(Error::target(
                    format!("{}/{}", self.address, found.key),
                    found_text,
                ));
            }
            file.write_all(&part).or_unwritable(path)?;
            start = end;
        }
        Ok(())
    }

    /// Removes an object. An object that does not exist is not an error.
    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        let location = self.key(key)?;
        match self.runtime.block_on(self.store.delete(&location)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(key, "to remove the object", &error)),
        }
    }
}

/// An ETag without its quotes and the mark of a weak one.
fn opaque(tag: &str) -> &str {
    tag.trim_start_matches("W/").trim_matches('"')
}

fn attributes(digest: &str) -> Attributes {
    Attributes::from_iter([(
        Attribute::Metadata(DIGEST.into()),
        AttributeValue::from(digest.to_owned()),
    )])
}

/// Returns the code and the message of a store's answer; the whole text if they cannot be found.
fn message(text: &str) -> String {
    let part = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(part, _)| part)
    };
    match (part("Code"), part("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => text.to_owned(),
    }
}

/// Removes credentials from a text, because a store's answer may repeat the request.
fn without_secrets(text: &str) -> String {
    let mut text = text.to_owned();
    for name in [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_TOKEN",
        "AWS_ACCESS_KEY_ID",
    ] {
        if let Some(secret) = env::var(name).ok().filter(|secret| !secret.is_empty()) {
            text = text.replace(&secret, "***");
        }
    }
    text
}
