//! The targets `folder:`, `file:` and `s3:`: they upload the files of a version, switch
//! `current.json`, and remove old versions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::error::{Error, FileResult, Result};
use crate::base::manifest::{FileEntry, Manifest, file};
use crate::base::progress::Progress;
use crate::base::{digest, files, json};
use crate::publish::address::Address;
use crate::publish::objects::store::{CURRENT, Current, OBJECTS, Objects, PUBLICATION, Store};
use crate::publish::objects::{folder, s3};
use crate::publish::publication::Publication;
use crate::publish::target::{Desired, Inspection, PlannedChange, Target, TargetUsers};

/// A version that is ready to send.
pub(super) struct Prepared {
    folder: String,
    /// The files of the study: paths, sizes and digests.
    files: BTreeMap<String, (PathBuf, FileEntry)>,
    publication: Vec<u8>,
    objects: Vec<u8>,
    current: Vec<u8>,
    objects_digest: String,
}

/// An object store or a folder to publish to.
pub(crate) struct ObjectTarget {
    address: String,
    /// The path of a folder; `None` for an object store.
    root: Option<PathBuf>,
    store: Box<dyn Store>,
    /// The number of versions to keep, 1..=10,000; all if `None`.
    keep: Option<usize>,
    /// The results of the inspection: the tag of the pointer, the folder in force, and the version
    /// to send. `None` before the inspection, or without a pointer.
    tag: Option<String>,
    in_force: Option<String>,
    prepared: Option<Prepared>,
}

impl ObjectTarget {
    pub(crate) fn open(address: &Address) -> Result<Self> {
        let is_folder = matches!(address.kind.as_str(), "folder" | "file");
        address.allow(if is_folder {
            &["keep"]
        } else {
            &["keep", "endpoint", "region"]
        })?;
        let keep = match address.get("keep").map(str::parse) {
            None => None,
            Some(Ok(n @ 1..=10_000)) => Some(n),
            Some(_) => {
                return Err(Error::usage(format!(
                    "{address}: expected to keep 1 to 10000 versions, found another number"
                )));
            }
        };
        let (shown_address, store) = open_store(address, is_folder)?;
        let root = is_folder.then(|| PathBuf::from(&address.rest));
        Ok(Self {
            address: shown_address,
            root,
            store,
            keep,
            tag: None,
            in_force: None,
            prepared: None,
        })
    }

    fn current(&self, plan: &str) -> Result<(Option<Current>, Option<String>)> {
        let name = format!("{plan}/{CURRENT}");
        let Some((bytes, tag)) = self.store.read(&name)? else {
            return Ok((None, None));
        };
        let current = serde_json::from_slice(&bytes).map_err(|error| {
            Error::target(
                format!("{}/{name}", self.address),
                format!("expected a pointer of Sluice, found: {error}"),
            )
        })?;
        Ok((Some(current), Some(tag)))
    }

    /// Removes old versions until `keep` are left, the oldest first. The version in force is never
    /// removed. The version before it is removed last: stores give times in whole seconds, so times
    /// do not order two versions of the same second.
    fn remove_old(&self, plan: &str, in_force: &str, now: i64) -> Result<()> {
        let Some(keep) = self.keep else { return Ok(()) };
        let mut whole = Vec::new();
        for folder in self
            .store
            .folders(plan)?
            .into_iter()
            .filter(|folder| folder != in_force)
        {
            match self.store.written(&format!("{plan}/{folder}/{OBJECTS}"))? {
                Some(written) => whole.push((self.in_force.as_ref() == Some(&folder), written, folder)),
                // An incomplete version may still be on its way. After one day it counts as
                // abandoned.
                None => {
                    let first = self.store.written(&format!("{plan}/{folder}/{PUBLICATION}"))?;
                    if first.is_some_and(|written| now - written > crate::base::time::DAY) {
                        whole.push((false, i64::MIN, folder));
                    }
                }
            }
        }
        whole.sort();
        whole.truncate(whole.len().saturating_sub(keep - 1));
        for (_, _, folder) in whole {
            // The list of files is removed first, so an incomplete version never looks complete.
            self.store.remove(&format!("{plan}/{folder}/{OBJECTS}"))?;
            for name in self.store.sizes(&format!("{plan}/{folder}"))?.keys() {
                self.store.remove(&format!("{plan}/{folder}/{name}"))?;
            }
        }
        Ok(())
    }
}

pub(super) fn open_store(address: &Address, is_folder: bool) -> Result<(String, Box<dyn Store>)> {
    if is_folder {
        return Ok((address.rest.clone(), Box::new(folder::Folder::new(&address.rest))));
    }
    #[cfg(feature = "stores")]
    return s3::open(address);
    #[cfg(not(feature = "stores"))]
    return Err(crate::publish::target::without_stores(&address.kind));
}

/// The plan's id, checked to be a valid folder name.
pub(super) fn plan_folder(address: &str, plan_id: &str) -> Result<String> {
    let is_plain = !plan_id.is_empty()
        && !plan_id.starts_with('.')
        && !plan_id.contains(|c: char| c == '/' || c == '\\' || c.is_control());
    if is_plain {
        return Ok(plan_id.to_owned());
    }
    Err(Error::target(
        address,
        format!("expected a plan's id that can name a folder, found {plan_id:?}"),
    ))
}

/// The study's files to publish: the files of its manifest, or the known file names if there is no
/// manifest.
pub(super) fn study_files(desired: &Desired<'_>) -> Result<BTreeMap<String, (PathBuf, FileEntry)>> {
    let dir = desired.dir;
    let mut files = BTreeMap::new();
    let manifest_path = dir.join(file::MANIFEST);
    if manifest_path.exists() {
        let manifest: Manifest = json::read_json(&manifest_path)?;
        for (name, entry) in manifest.files {
            files.insert(name.clone(), (dir.join(&name), Some(entry)));
        }
        files.insert(file::MANIFEST.to_owned(), (manifest_path, None));
    } else {
        let known = [
            file::STUDY,
            file::FEATURES,
            file::LAYERS,
            file::LAYER_SUMMARY,
            "layers.row_groups.json",
            file::ANALYSIS,
            file::SCHEDULE,
            file::STATE,
            file::GATE_REPORT,
            file::REPORT_MD,
            file::REPORT_HTML,
        ];
        let mut names: Vec<PathBuf> = known
            .iter()
            .map(PathBuf::from)
            .filter(|name| dir.join(name).is_file())
            .collect();
        for folder in [file::CUBE, file::TABLES] {
            if dir.join(folder).is_dir() {
                names.extend(
                    files::files_below(&dir.join(folder))?
                        .iter()
                        .map(|name| Path::new(folder).join(name)),
                );
            }
        }
        files.extend(
            names
                .into_iter()
                .map(|name| (name.display().to_string(), (dir.join(&name), None))),
        );
    }
    match desired.layers {
        Some(path) => _ = files.insert(file::LAYERS.to_owned(), (path.to_owned(), None)),
        None => _ = files.remove(file::LAYERS),
    }
    files
        .into_iter()
        .map(|(name, (path, expected))| {
            let n_bytes = std::fs::metadata(&path).or_unreadable(&path)?.len();
            let entry = FileEntry {
                digest: digest::sha256_of_file(&path)?,
                n_bytes,
            };
            match expected {
                Some(expected) if expected != entry => Err(Error::in_file(
                    &path,
                    format!(
                        "expected the file of its manifest, {}, found {}",
                        expected.digest, entry.digest
                    ),
                )
                .hint("it was changed after the study was made: run the study again")),
                _ => Ok((name, (path, entry))),
            }
        })
        .collect()
}

pub(super) fn prepare(desired: &Desired<'_>) -> Result<Prepared> {
    let publication = desired.publication;
    // A rollback sends no data files: they are in the previous version.
    let files = if desired.options.rollback {
        BTreeMap::new()
    } else {
        study_files(desired)?
    };
    let document = json::to_json(publication).into_bytes();
    let mut entries: BTreeMap<String, FileEntry> = files
        .iter()
        .map(|(name, (_, entry))| (name.clone(), entry.clone()))
        .collect();
    entries.insert(PUBLICATION.to_owned(), entry_of(&document));
    let objects = Objects {
        schema: "sluice.objects/1".into(),
        plan_id: publication.plan_id.clone(),
        version: publication.version.clone(),
        files: entries,
    };
    let objects = json::to_json(&objects).into_bytes();
    let objects_digest = entry_of(&objects).digest;
    // The folder name includes a digest of the files. The same ratios with other files get another
    // folder, so files in force are never overwritten.
    let content: String = objects_digest
        .trim_start_matches("sha256:")
        .chars()
        .take(8)
        .collect();
    let folder = format!("{}-{content}", publication.version);
    let current = Current {
        schema: "sluice.current/1".into(),
        folder: folder.clone(),
        objects_digest: objects_digest.clone(),
        publication: publication.clone(),
    };
    Ok(Prepared {
        folder,
        files,
        publication: document,
        objects,
        current: json::to_json(&current).into_bytes(),
        objects_digest,
    })
}

pub(super) fn entry_of(bytes: &[u8]) -> FileEntry {
    FileEntry {
        digest: digest::sha256_of_bytes(bytes),
        n_bytes: bytes.len() as u64,
    }
}

impl Target for ObjectTarget {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn inspect(&mut self, desired: &Desired<'_>, _count: bool, _progress: &Progress) -> Result<Inspection> {
        let plan = plan_folder(&self.address, &desired.publication.plan_id)?;
        let real = |path: &Path| {
            std::path::absolute(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
                .unwrap_or_default()
        };
        if self
            .root
            .as_ref()
            .is_some_and(|root| real(root).starts_with(real(desired.dir)))
        {
            return Err(Error::target(
                &self.address,
                "expected a folder outside the study's folder, found one inside",
            )
            .hint("name another folder"));
        }
        let prepared = prepare(desired)?;
        let (current, tag) = self.current(&plan)?;
        let current_sizes = self.store.sizes(&format!("{plan}/{}", prepared.folder))?;
        let mut changes = Vec::new();
        let own = [(PUBLICATION, &prepared.publication), (OBJECTS, &prepared.objects)]
            .map(|(name, bytes)| (name, bytes.len() as u64));
        let files = prepared
            .files
            .iter()
            .map(|(name, (_, entry))| (name.as_str(), entry.n_bytes));
        for (name, n_bytes) in files.chain(own) {
            let before = current_sizes.get(name).copied();
            if before != Some(n_bytes) {
                let show = |n: u64| format!("{n} bytes");
                changes.push(PlannedChange::new(
                    format!("{plan}/{}/{name}", prepared.folder),
                    before.map(show),
                    Some(show(n_bytes)),
                ));
            }
        }
        let is_current = current.as_ref().is_some_and(|current| {
            (
                current.folder.as_str(),
                &current.objects_digest,
                &current.publication,
            ) == (&prepared.folder, &prepared.objects_digest, desired.publication)
        });
        if !is_current {
            let before = current.as_ref().map(|current| current.folder.clone());
            changes.push(PlannedChange::new(
                format!("{plan}/{CURRENT}"),
                before,
                Some(prepared.folder.clone()),
            ));
        }
        self.tag = tag;
        self.in_force = current.as_ref().map(|current| current.folder.clone());
        self.prepared = Some(prepared);
        Ok(Inspection {
            current: current.map(|current| current.publication),
            changes,
            users: None,
            warnings: vec![],
        })
    }

    fn apply(
        &mut self,
        desired: &Desired<'_>,
        _held: Option<&Publication>,
        progress: &Progress,
    ) -> Result<Option<TargetUsers>> {
        let plan = plan_folder(&self.address, &desired.publication.plan_id)?;
        let prepared = match self.prepared.take() {
            Some(prepared) => prepared,
            None => prepare(desired)?,
        };
        let at = |name: &str| format!("{plan}/{}/{name}", prepared.folder);
        let bar = progress.bar(
            "objects",
            "bytes",
            Some(prepared.files.values().map(|(_, entry)| entry.n_bytes).sum()),
        );
        let began = Instant::now();
        let mut n_written = 0_u32;
        let mut pace = || {
            n_written += 1;
            if let Some(max_qps) = desired.options.max_qps {
                thread::sleep(
                    Duration::from_secs_f64(f64::from(n_written) / f64::from(max_qps))
                        .saturating_sub(began.elapsed()),
                );
            }
        };
        // The publication is written first. Its time dates the version if nothing else arrives.
        let entry = entry_of(&prepared.publication);
        if !self.store.has(&at(PUBLICATION), &entry)? {
            self.store
                .write(&at(PUBLICATION), prepared.publication.clone(), &entry)?;
            pace();
        }
        for (name, (path, entry)) in &prepared.files {
            if !self.store.has(&at(name), entry)? {
                self.store.send(&at(name), path, entry)?;
                pace();
            }
            bar.advance(entry.n_bytes);
        }
        let entry = entry_of(&prepared.objects);
        if !self.store.has(&at(OBJECTS), &entry)? {
            self.store.write(&at(OBJECTS), prepared.objects.clone(), &entry)?;
            pace();
        }
        if !self.store.swap(
            &format!("{plan}/{CURRENT}"),
            prepared.current.clone(),
            self.tag.as_deref(),
        )? {
            // If the answer to a request was lost, the request is repeated. The second request then
            // finds the pointer that the first one wrote, which is a success.
            let (current, _) = self.current(&plan)?;
            if current
                .as_ref()
                .is_none_or(|current| current.folder != prepared.folder)
            {
                let found = current.map_or_else(|| "nothing".to_owned(), |current| current.folder);
                return Err(Error::target(
                    format!("{}/{plan}/{CURRENT}", self.address),
                    format!(
                        "expected the pointer to be unchanged since the inspection, found that it names {found}"
                    ),
                )
                .hint("another publication changed the target in the meantime: run it again to see the changes"));
            }
        }
        self.remove_old(&plan, &prepared.folder, desired.options.now)?;
        Ok(None)
    }
}
