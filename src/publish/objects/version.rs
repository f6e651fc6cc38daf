//! A version that is ready to send: the files of a study, the publication and the pointer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, FileResult, Result};
use crate::base::manifest::{FileEntry, Manifest, file};
use crate::base::{digest, files, json};
use crate::publish::objects::store::{Current, Objects, PUBLICATION};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// A version that is ready to send.
pub(super) struct Prepared {
    pub(super) folder: String,
    /// The files of the study: paths, sizes and digests.
    pub(super) files: BTreeMap<String, (PathBuf, FileEntry)>,
    pub(super) publication: Vec<u8>,
    pub(super) objects: Vec<u8>,
    pub(super) current: Vec<u8>,
    pub(super) objects_digest: String,
}

/// The study's files to publish: the files of its manifest, or the known file names if there is no
/// manifest.
pub(super) fn study_files(desired: &Desired<'_>) -> Result<BTreeMap<String, (PathBuf, FileEntry)>> {
    let mut files = BTreeMap::new();
    let Some(dir) = desired.dir else {
        return layer_file(desired);
    };
    let manifest_path = dir.join(file::MANIFEST);
    if manifest_path.exists() {
        let manifest_path = desired.manifest.map_or(manifest_path, Path::to_owned);
        let manifest = Manifest::read(&manifest_path)?;
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

/// The files of a layer table by itself.
fn layer_file(desired: &Desired<'_>) -> Result<BTreeMap<String, (PathBuf, FileEntry)>> {
    let Some(path) = desired.layers else {
        return Ok(BTreeMap::new());
    };
    let entry = FileEntry {
        digest: digest::sha256_of_file(path)?,
        n_bytes: std::fs::metadata(path).or_unreadable(path)?.len(),
    };
    Ok([(file::LAYERS.to_owned(), (path.to_owned(), entry))].into())
}

pub(super) fn prepare(desired: &Desired<'_>) -> Result<Prepared> {
    let publication = desired.publication;
    // A rollback sends no data files: they are in the previous version.
    let files = if desired.options.rollback {
        BTreeMap::new()
    } else {
        study_files(desired)?
    };
    Ok(version_of(publication, files))
}

/// A version of a publication with files of the study, ready to send.
pub(super) fn version_of(
    publication: &Publication,
    files: BTreeMap<String, (PathBuf, FileEntry)>,
) -> Prepared {
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
    Prepared {
        folder,
        files,
        publication: document,
        objects,
        current: json::to_json(&current).into_bytes(),
        objects_digest,
    }
}

pub(super) fn entry_of(bytes: &[u8]) -> FileEntry {
    FileEntry {
        digest: digest::sha256_of_bytes(bytes),
        n_bytes: bytes.len() as u64,
    }
}
