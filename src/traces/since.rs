//! Which files of an import earlier imports have read, and from where the others are read.
//!
//! A file is known by its content, not by its name: a log that was rotated under another name, or was
//! packed, is the same file.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::io::{BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::base::digest::blake3_of_prefixes;
use crate::base::error::{Error, FileResult, Result};
use crate::base::open;
use crate::base::parallel::map_in_order;
use crate::input::{Format, Packing, fetch};
use crate::scenario::TraceFormat;
use crate::traces::coverage::SinceCoverage;
use crate::traces::files::{Form, TraceFile, open_file, open_text};
use crate::traces::tail;

/// Bytes at the start of a file whose digest is kept, to tell a changed file from another one.
const HEAD: u64 = 4 << 10;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownFile {
    /// Its path when it was read last.
    pub(super) name: String,
    /// What its content was taken for.
    pub(super) kind: String,
    /// Whether it may grow: lines that are not packed.
    pub(super) grows: bool,
    /// Bytes that were read: of lines, up to the end of the last whole one.
    pub(super) n_bytes: u64,
    /// Digest of these bytes.
    pub(super) digest: String,
    /// Digest of the first of them, at most 4,096.
    pub(super) head: String,
}

/// What an import does with the files that it finds.
pub(super) struct Plan {
    /// The files to read.
    pub(super) files: Vec<TraceFile>,
    /// All files that are known after the import.
    pub(super) known: Vec<KnownFile>,
    pub(super) coverage: SinceCoverage,
    stamps: Vec<Stamp>,
}

/// A file as it was when it was looked at.
struct Stamp {
    path: PathBuf,
    identity: (u64, u64),
    n_bytes: u64,
}

/// A file that was found, and the known files that it may be.
struct Found {
    path: PathBuf,
    name: String,
    n_bytes: u64,
    /// How its text is packed. `None` for a table.
    packing: Option<Packing>,
    digest: String,
    head: String,
    /// Numbers of the known files with the same bytes.
    same: Vec<usize>,
    /// Numbers of the known files with which it begins, the longest first.
    begins: Vec<usize>,
    decision: Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// It is not known.
    New,
    /// It is this known file, with nothing new.
    Same(usize),
    /// It has the bytes of a known file that another file is.
    Copy,
    /// It begins with this known file.
    Grown(usize),
}

impl Plan {
    /// Decides what is read of each file.
    ///
    /// # Errors
    /// A file cannot be read or is not of the format, or the bytes of a known file have changed.
    pub(super) fn new(found: Vec<(PathBuf, u64)>, known: &[KnownFile], format: TraceFormat) -> Result<Self> {
        let mut is_taken = vec![false; known.len()];
        let mut files = look_at(found, known)?;
        match_same(&mut files, known, &mut is_taken);
        match_grown(&mut files, known, &mut is_taken);
        match_packed(&mut files, known, &mut is_taken)?;
        let mut plan = Self {
            files: Vec::new(),
            known: known.to_vec(),
            coverage: SinceCoverage::default(),
            stamps: Vec::new(),
        };
        plan.coverage.n_missing_files = is_taken.iter().filter(|is_taken| !**is_taken).count() as u64;
        for file in files {
            plan.add(file, known, &is_taken, format)?;
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        found: Found,
        known: &[KnownFile],
        is_taken: &[bool],
        format: TraceFormat,
    ) -> Result<()> {
        let (from, entry) = match found.decision {
            Decision::Same(idx) => {
                self.coverage.n_known_files += 1;
                self.known[idx].name = found.name;
                return Ok(());
            }
            Decision::Copy => {
                self.coverage.n_known_files += 1;
                return Ok(());
            }
            Decision::Grown(idx) => (known[idx].n_bytes, Some(idx)),
            Decision::New => (0, None),
        };
        if entry.is_none() {
            self.check_changed(&found, known, is_taken)?;
        }
        let is_plain = found.packing == Some(Packing::None);
        let stamp = Stamp::of(&found.path)?;
        let opened = open_file(found.path.clone(), found.n_bytes, format);
        let mut file = match opened {
            Err(_) if is_plain && tail::is_cut(&found.path, 0, found.n_bytes)? => {
                self.wait(found.n_bytes);
                return Ok(());
            }
            opened => opened?,
        };
        let grows = file.form == Form::Lines(Packing::None);
        if grows {
            tail::check_start(&found.path, from, found.n_bytes)?;
            file.until = tail::whole_until(&found.path, from, found.n_bytes)?;
            self.wait(found.n_bytes - file.until);
        } else if file.form == Form::Whole(Packing::None) && tail::is_cut(&found.path, 0, found.n_bytes)? {
            self.wait(found.n_bytes);
            return Ok(());
        }
        file.from = from;
        if grows && file.until == from {
            self.coverage.n_known_files += u64::from(entry.is_some());
            if let Some(idx) = entry {
                self.known[idx].name = found.name;
            }
            return Ok(());
        }
        let next = KnownFile {
            kind: file.kind.name().to_owned(),
            grows,
            n_bytes: file.until,
            digest: match file.until == found.n_bytes {
                true => found.digest,
                false => digest_of(&found.path, file.until)?,
            },
            head: found.head,
            name: found.name,
        };
        self.coverage.n_read_bytes += if grows { file.until - from } else { found.n_bytes };
        match entry {
            Some(idx) => {
                self.coverage.n_grown_files += 1;
                self.known[idx] = next;
            }
            None => {
                self.coverage.n_new_files += 1;
                self.known.push(next);
            }
        }
        self.stamps.push(stamp);
        self.files.push(file);
        Ok(())
    }

    /// Counts bytes that wait for the next import.
    fn wait(&mut self, n_bytes: u64) {
        self.coverage.n_waiting_files += u64::from(n_bytes > 0);
        self.coverage.n_waiting_bytes += n_bytes;
    }

    /// Refuses lines that begin as before and then differ. Another beginning is another file under the
    /// same name, such as after a rotation.
    fn check_changed(&mut self, found: &Found, known: &[KnownFile], is_taken: &[bool]) -> Result<()> {
        let earlier = known.iter().zip(is_taken);
        let mut of_name = earlier
            .filter(|(file, is_taken)| file.name == found.name && !**is_taken)
            .map(|(file, _)| file)
            .peekable();
        if of_name.peek().is_none() {
            return Ok(());
        }
        let begins_alike = |file: &&KnownFile| file.grows && file.n_bytes >= HEAD && file.head == found.head;
        if let Some(earlier) = of_name.find(begins_alike) {
            let message = format!(
                "expected the {} bytes that were read before, and more lines after them, found other bytes",
                earlier.n_bytes
            );
            return Err(Error::in_file(&found.path, message).hint(
                "lines are added at the end of a log, or it gets another name; to read all files anew, name \
                 another folder: --since NEW",
            ));
        }
        self.coverage.n_replaced_files += 1;
        Ok(())
    }

    /// Checks that the files that were read are still those that were looked at.
    ///
    /// # Errors
    /// A file was replaced or cut meanwhile.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        for stamp in &self.stamps {
            let now = Stamp::of(&stamp.path)?;
            if now.identity != stamp.identity || now.n_bytes < stamp.n_bytes {
                return Err(Error::in_file(
                    &stamp.path,
                    "expected the file that was there at the start, found another one",
                )
                .hint("the log was rotated meanwhile: run the command again"));
            }
        }
        Ok(())
    }
}

impl Stamp {
    fn of(path: &Path) -> Result<Self> {
        let found = fs::metadata(path).or_unreadable(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: (found.dev(), found.ino()),
            n_bytes: found.len(),
        })
    }
}

/// The digest of the first bytes of a file.
fn digest_of(path: &Path, n_bytes: u64) -> Result<String> {
    let mut file = open::regular(path).or_unreadable(path)?;
    let mut digests = blake3_of_prefixes(&mut file, &[n_bytes]).or_unreadable(path)?;
    digests.pop().ok_or_else(|| shorter(path))
}

fn shorter(path: &Path) -> Error {
    Error::in_file(
        path,
        "expected the bytes that were there at the start, found fewer",
    )
    .hint("the log was rotated meanwhile: run the command again")
}

/// Known files by what is compared.
struct Index<'k> {
    known: &'k [KnownFile],
    by_digest: HashMap<(u64, &'k str), Vec<usize>>,
    /// Files that may grow, by the digest of their first bytes.
    by_head: HashMap<&'k str, Vec<usize>>,
    /// Files that may grow and are shorter than these first bytes.
    short: Vec<usize>,
}

impl<'k> Index<'k> {
    fn new(known: &'k [KnownFile]) -> Self {
        let mut index = Self {
            known,
            by_digest: HashMap::new(),
            by_head: HashMap::new(),
            short: Vec::new(),
        };
        for (idx, file) in known.iter().enumerate() {
            let same = index.by_digest.entry((file.n_bytes, &file.digest));
            same.or_default().push(idx);
            match file.grows {
                true if file.n_bytes < HEAD => index.short.push(idx),
                true => index.by_head.entry(&file.head).or_default().push(idx),
                false => {}
            }
        }
        index
    }

    /// The known files that may begin a text with this head.
    fn candidates(&self, head: &str) -> Vec<usize> {
        let of_head = self.by_head.get(head).into_iter().flatten();
        of_head.chain(&self.short).copied().collect()
    }

    /// The known files with which a text begins, the longest first, and the digests at `ends`.
    fn begins(&self, text: &mut dyn Read, head: &str, ends: &[u64]) -> std::io::Result<Begins> {
        let candidates = self.candidates(head);
        let lengths = candidates.iter().map(|idx| self.known[*idx].n_bytes);
        let mut lengths: Vec<u64> = lengths.chain(ends.iter().copied()).collect();
        if let Some(end) = ends.last() {
            lengths.retain(|length| length <= end);
        }
        lengths.sort_unstable();
        lengths.dedup();
        let digests = blake3_of_prefixes(text, &lengths)?;
        let digest_at = |length: u64| {
            let at = lengths.binary_search(&length).ok()?;
            digests.get(at).map(String::as_str)
        };
        let is_begin = |idx: &usize| {
            let file = &self.known[*idx];
            digest_at(file.n_bytes) == Some(file.digest.as_str())
        };
        let mut known: Vec<usize> = candidates.into_iter().filter(is_begin).collect();
        known.sort_by_key(|idx| (std::cmp::Reverse(self.known[*idx].n_bytes), *idx));
        Ok(Begins {
            known,
            digests: ends
                .iter()
                .filter_map(|end| digest_at(*end))
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// What a text begins with.
struct Begins {
    known: Vec<usize>,
    digests: Vec<String>,
}

/// Reads the digests of all files and finds what each may be.
fn look_at(found: Vec<(PathBuf, u64)>, known: &[KnownFile]) -> Result<Vec<Found>> {
    let index = Index::new(known);
    let mut files = Vec::with_capacity(found.len());
    let look = |number: usize| {
        let (path, n_bytes) = &found[number];
        let packing = match Format::by_path(path) {
            Some(Format::Ndjson { packing } | Format::Json { packing }) => Some(packing),
            _ => None,
        };
        let head = digest_of(path, HEAD.min(*n_bytes))?;
        let mut file = open::regular(path).or_unreadable(path)?;
        let begins = match packing {
            Some(Packing::None) => index.begins(&mut file, &head, &[*n_bytes]),
            _ => blake3_of_prefixes(&mut file, &[*n_bytes]).map(|digests| Begins {
                known: Vec::new(),
                digests,
            }),
        };
        let mut begins = begins.or_unreadable(path)?;
        let digest = begins.digests.pop().ok_or_else(|| shorter(path))?;
        let same = index.by_digest.get(&(*n_bytes, digest.as_str()));
        let same = same.cloned().unwrap_or_default();
        begins.known.retain(|idx| known[*idx].n_bytes < *n_bytes);
        Ok(Found {
            // A copy of a file of a server has another path in each run.
            name: fetch::below(path)
                .as_deref()
                .unwrap_or(path)
                .display()
                .to_string(),
            path: path.clone(),
            n_bytes: *n_bytes,
            packing,
            digest,
            head,
            same,
            begins: begins.known,
            decision: Decision::New,
        })
    };
    map_in_order(found.len(), look, |_, file| {
        files.push(file);
        Ok(())
    })?;
    Ok(files)
}

/// Gives each file the known file with its bytes: first one of the same name.
fn match_same(files: &mut [Found], known: &[KnownFile], is_taken: &mut [bool]) {
    for needs_name in [true, false] {
        for file in files.iter_mut().filter(|file| file.decision == Decision::New) {
            let is_free = |idx: &usize| !is_taken[*idx] && (!needs_name || known[*idx].name == file.name);
            if let Some(idx) = file.same.iter().copied().find(is_free) {
                is_taken[idx] = true;
                file.decision = Decision::Same(idx);
            }
        }
    }
    for file in files {
        if file.decision == Decision::New && !file.same.is_empty() {
            file.decision = Decision::Copy;
        }
    }
}

/// Gives each longer file the longest known file that it begins with: first one of the same name.
fn match_grown(files: &mut [Found], known: &[KnownFile], is_taken: &mut [bool]) {
    for needs_name in [true, false] {
        for file in files.iter_mut().filter(|file| file.decision == Decision::New) {
            let is_free = |idx: &usize| !is_taken[*idx] && (!needs_name || known[*idx].name == file.name);
            if let Some(idx) = file.begins.iter().copied().find(is_free) {
                is_taken[idx] = true;
                file.decision = Decision::Grown(idx);
            }
        }
    }
}

/// Finds logs that were packed after they were read. Only known files that no other file is can be
/// such logs.
fn match_packed(files: &mut [Found], known: &[KnownFile], is_taken: &mut [bool]) -> Result<()> {
    for file in files.iter_mut().filter(|file| file.decision == Decision::New) {
        let Some(packing @ (Packing::Gzip | Packing::Zstd)) = file.packing else {
            continue;
        };
        let left: Vec<usize> = (0..known.len())
            .filter(|idx| !is_taken[*idx] && known[*idx].grows)
            .collect();
        if left.is_empty() {
            break;
        }
        let left_files: Vec<KnownFile> = left.iter().map(|idx| known[*idx].clone()).collect();
        let index = Index::new(&left_files);
        let mut head = Vec::new();
        let mut text = BufReader::new(open_text(&file.path, packing)?);
        text.by_ref()
            .take(HEAD)
            .read_to_end(&mut head)
            .or_unreadable(&file.path)?;
        let head_digest = blake3_of_prefixes(&mut head.as_slice(), &[head.len() as u64]);
        let head_digest = head_digest.or_unreadable(&file.path)?.pop().unwrap_or_default();
        let mut whole = head.as_slice().chain(text);
        let begins = index
            .begins(&mut whole, &head_digest, &[])
            .or_unreadable(&file.path)?;
        if let Some(idx) = begins.known.first() {
            is_taken[left[*idx]] = true;
            file.decision = Decision::Grown(left[*idx]);
        }
    }
    Ok(())
}
