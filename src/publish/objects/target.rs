//! The targets `folder:`, `file:` and `s3:`: they upload the files of a version, switch
//! `current.json`, and remove old versions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result};
use crate::base::manifest::FileEntry;
use crate::base::progress::{Bar, Progress};
use crate::publish::address::Address;
use crate::publish::objects::folder;
#[cfg(feature = "stores")]
use crate::publish::objects::s3;
use crate::publish::objects::store::{CURRENT, Current, OBJECTS, PUBLICATION, Store};
use crate::publish::objects::version::{Prepared, entry_of, prepare, version_of};
use crate::publish::publication::Publication;
use crate::publish::target::{Applied, Desired, Inspection, PlannedChange, Retirement, Target};

/// The bytes a second below which an upload counts as one that does not answer.
const SLOWEST: u64 = 100_000;

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

    /// Reads the pointer and its tag. In a rollback, an unreadable pointer counts as missing.
    fn current(&self, plan: &str, is_rollback: bool) -> Result<(Option<Current>, Option<String>)> {
        let name = format!("{plan}/{CURRENT}");
        let (bytes, tag) = match self.store.read(&name) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok((None, None)),
            Err(_) if is_rollback => return Ok((None, None)),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice(&bytes) {
            Ok(current) => Ok((Some(current), Some(tag))),
            Err(_) if is_rollback => Ok((None, Some(tag))),
            Err(error) => Err(Error::target(
                format!("{}/{name}", self.address),
                format!("expected a pointer of Sluice, found: {error}"),
            )),
        }
    }

    /// Whether a file of the study has its content at the target. Without `--verify`, an equal size
    /// is enough: a version's folder is named after its content.
    fn is_verified(
        &self,
        plan: &str,
        prepared: &Prepared,
        name: &str,
        desired: &Desired<'_>,
    ) -> Result<bool> {
        let Some((_, entry)) = prepared.files.get(name).filter(|_| desired.options.verify) else {
            return Ok(true);
        };
        desired
            .timer
            .allow(Duration::from_secs(1 + entry.n_bytes / SLOWEST));
        self.store
            .has(&format!("{plan}/{}/{name}", prepared.folder), entry)
    }

    /// Writes the publication and the list of files of a version, and the study's files that the
    /// store lacks. Nothing is in force yet.
    fn send(&self, plan: &str, prepared: &Prepared, desired: &Desired<'_>, bar: &Bar) -> Result<()> {
        let at = |name: &str| format!("{plan}/{}/{name}", prepared.folder);
        let began = Instant::now();
        let mut n_written = 0_u32;
        let mut write = |name: &str, entry: &FileEntry, write: &dyn Fn() -> Result<()>| {
            if !self.store.has(&at(name), entry)? {
                write()?;
                n_written += 1;
                if let Some(max_qps) = desired.options.max_qps {
                    let due = Duration::from_secs_f64(f64::from(n_written) / f64::from(max_qps));
                    thread::sleep(due.saturating_sub(began.elapsed()));
                }
            }
            desired.timer.answered();
            Ok(())
        };
        // The publication is written first. Its time dates the version if nothing else arrives.
        let entry = entry_of(&prepared.publication);
        write(PUBLICATION, &entry, &|| {
            let bytes = prepared.publication.clone();
            self.store.write(&at(PUBLICATION), bytes, &entry)
        })?;
        for (name, (path, entry)) in &prepared.files {
            desired
                .timer
                .allow(Duration::from_secs(1 + entry.n_bytes / SLOWEST));
            write(name, entry, &|| self.store.send(&at(name), path, entry))?;
            bar.advance(entry.n_bytes);
        }
        let entry = entry_of(&prepared.objects);
        write(OBJECTS, &entry, &|| {
            self.store.write(&at(OBJECTS), prepared.objects.clone(), &entry)
        })
    }

    /// Sets the pointer of a plan to a version, if it still has the tag of the inspection.
    fn switch(&self, plan: &str, prepared: &Prepared) -> Result<()> {
        let pointer = format!("{plan}/{CURRENT}");
        if self
            .store
            .swap(&pointer, prepared.current.clone(), self.tag.as_deref())?
        {
            return Ok(());
        }
        // If the answer to a request was lost, the request is repeated. The second request then
        // finds the pointer that the first one wrote, which is a success.
        let (current, _) = self.current(plan, false)?;
        if current
            .as_ref()
            .is_some_and(|current| current.folder == prepared.folder)
        {
            return Ok(());
        }
        let found = current.map_or_else(|| "nothing".to_owned(), |current| current.folder);
        Err(Error::target(
            format!("{}/{pointer}", self.address),
            format!("expected the pointer to be unchanged since the inspection, found that it names {found}"),
        )
        .hint("another publication changed the target in the meantime: run it again to see the changes"))
    }

    /// Sets the pointer to a version that closes the candidate, whatever the pointer holds. If the
    /// pointer changed since the inspection, the version also closes what it names now.
    fn switch_back(&self, plan: &str, prepared: Prepared, desired: &Desired<'_>, bar: &Bar) -> Result<()> {
        let pointer = format!("{plan}/{CURRENT}");
        let is_switched = self
            .store
            .swap(&pointer, prepared.current.clone(), self.tag.as_deref());
        if let Ok(true) = is_switched {
            return Ok(());
        }
        let (current, _) = self.current(plan, true)?;
        let current = current.map(|current| current.publication);
        let publication = desired.publication.over(current.as_ref(), desired.options);
        let desired = Desired {
            publication: &publication,
            ..*desired
        };
        let prepared = prepare(&desired)?;
        self.send(plan, &prepared, &desired, bar)?;
        self.store.replace(&pointer, prepared.current)
    }

    /// Retires the plan that the publication replaces. Its pointer switches first, so no reader sees
    /// both plans serve: in between, neither does.
    fn retire(&self, retirement: &Retirement, desired: &Desired<'_>, bar: &Bar) -> Result<()> {
        let plan = plan_folder(&self.address, &retirement.held.plan_id)?;
        let prepared = version_of(&retirement.retired, BTreeMap::new());
        self.send(&plan, &prepared, desired, bar)?;
        let (current, tag) = self.current(&plan, false)?;
        let found = current.map(|current| current.publication);
        retirement.refuse_change(found.as_ref(), &self.address)?;
        let pointer = format!("{plan}/{CURRENT}");
        if self.store.swap(&pointer, prepared.current, tag.as_deref())? {
            return Ok(());
        }
        // A repeated request finds what the first one wrote.
        let (current, _) = self.current(&plan, false)?;
        match current {
            Some(current) if current.publication == retirement.retired => Ok(()),
            other => retirement.refuse_change(other.map(|other| other.publication).as_ref(), &self.address),
        }
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

impl Target for ObjectTarget {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn server(&self) -> String {
        match &self.root {
            Some(root) => {
                std::path::absolute(root).map_or_else(|_| self.address(), |root| root.display().to_string())
            }
            None => self.address(),
        }
    }

    fn takes_layers(&self) -> bool {
        true
    }

    fn held(&mut self, plan_id: &str) -> Result<Option<Publication>> {
        let plan = plan_folder(&self.address, plan_id)?;
        let (current, _) = self.current(&plan, false)?;
        Ok(current.map(|current| current.publication))
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
            .zip(desired.dir)
            .is_some_and(|(root, dir)| real(root).starts_with(real(dir)))
        {
            return Err(Error::target(
                &self.address,
                "expected a folder outside the study's folder, found one inside",
            )
            .hint("name another folder"));
        }
        let prepared = prepare(desired)?;
        let is_rollback = desired.options.rollback;
        let (current, tag) = self.current(&plan, is_rollback)?;
        let current_sizes = match self.store.sizes(&format!("{plan}/{}", prepared.folder)) {
            Err(_) if is_rollback => BTreeMap::new(),
            sizes => sizes?,
        };
        let mut changes = Vec::new();
        let own = [(PUBLICATION, &prepared.publication), (OBJECTS, &prepared.objects)]
            .map(|(name, bytes)| (name, bytes.len() as u64));
        let files = prepared
            .files
            .iter()
            .map(|(name, (_, entry))| (name.as_str(), entry.n_bytes));
        for (name, n_bytes) in files.chain(own) {
            let before = current_sizes.get(name).copied();
            let is_same = before == Some(n_bytes) && self.is_verified(&plan, &prepared, name, desired)?;
            if !is_same {
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
    ) -> Result<Applied> {
        let plan = plan_folder(&self.address, &desired.publication.plan_id)?;
        let prepared = match self.prepared.take() {
            Some(prepared) => prepared,
            None => prepare(desired)?,
        };
        let bar = progress.bar(
            "objects",
            "bytes",
            Some(prepared.files.values().map(|(_, entry)| entry.n_bytes).sum()),
        );
        self.send(&plan, &prepared, desired, &bar)?;
        if desired.options.rollback {
            // Old versions are left to the next publication.
            return self
                .switch_back(&plan, prepared, desired, &bar)
                .map(|()| Applied::default());
        }
        if let Some(retirement) = desired.retires {
            self.retire(retirement, desired, &bar)?;
        }
        self.switch(&plan, &prepared)?;
        self.remove_old(&plan, &prepared.folder, desired.options.now)?;
        Ok(Applied::default())
    }
}
