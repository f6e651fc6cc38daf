//! Reads turns step by step. Parquet columns of supported types are decoded straight from their
//! pages. All other columns, and the rest of a row group with unsupported content, are read by
//! [`TrafficReader::read`]. Both ways give the same turns.

use std::collections::BTreeMap;

use crate::base::error::{Error, Result};
use crate::base::hash;
use crate::input::derived_steps::DerivedSteps;
use crate::input::fast_scan::{ColumnScan, FastPart, Mapping, STEP, STEP_WORDS, Unsupported};
use crate::input::table::Part;
use crate::input::traffic;
use crate::input::traffic::TrafficReader;
use crate::input::turns::{Column, NameCodes, OnTurns, Spellings, Turns};
use crate::input::users::DEFAULT_TENANT;
use crate::metric::{ColumnKind, Reading, column_kind, column_min};
use crate::scenario::Unit;

impl TrafficReader {
    /// Reads one part step by step. Returns the numbers of rows left out, by reason.
    ///
    /// # Errors
    /// The same as for [`Self::read`].
    pub(crate) fn turns(
        &self,
        part: Part,
        names: &NameCodes<'_>,
        on_turns: &mut OnTurns<'_>,
    ) -> Result<BTreeMap<String, u64>> {
        let mut turns = Turns::new(self.measured().len(), self.breakdowns().len());
        let mut n_done = 0;
        match self.page_turns(part, names, &mut turns, &mut n_done, on_turns) {
            Ok(()) => return Ok(BTreeMap::new()),
            Err(Stopped::Failed(error)) => return Err(error),
            Err(Stopped::Unsupported) => {}
        }
        // The steps of the fast scan had no faults. The general reader continues after them.
        let mut n_skip = n_done;
        self.read(part, &mut |batch| {
            for start in (0..batch.raw.n_rows).step_by(STEP) {
                let n = (batch.raw.n_rows - start).min(STEP);
                if n_skip >= n {
                    n_skip -= n;
                    continue;
                }
                let skip = std::mem::take(&mut n_skip);
                turns.fill(
                    batch,
                    start + skip,
                    n - skip,
                    names,
                    self.table().name_in_file("release_id"),
                )?;
                on_turns(&mut turns)?;
            }
            Ok(())
        })
    }

    /// Reads turns from the pages of a part. `n_done` counts the rows of the steps that were passed on.
    ///
    /// # Errors
    /// [`Stopped::Unsupported`] if the general reader must continue after these rows, or the error of
    /// `on_turns`.
    fn page_turns(
        &self,
        part: Part,
        names: &NameCodes<'_>,
        turns: &mut Turns,
        n_done: &mut usize,
        on_turns: &mut OnTurns<'_>,
    ) -> Result<(), Stopped> {
        let fast_part = FastPart::open_pages(self.table(), part)?;
        let measured = self.measured().iter().map(|reading| reading.column.as_str());
        let breakdown_names = self.breakdowns().iter().map(String::as_str);
        let wanted: Vec<&str> = traffic::COLUMNS
            .into_iter()
            .chain(measured)
            .chain(breakdown_names)
            .collect();
        let mut derived = DerivedSteps::open(self.table(), part, &wanted)?;
        let has_filter = self.table().source.filter.is_some();
        if has_filter && !self.breakdowns().is_empty() {
            // Texts of rows that are left out must not be reported.
            return Err(Stopped::Unsupported);
        }
        let feeds = Feeds {
            part: &fast_part,
            derived: derived.as_ref(),
        };
        let micros = |values: &[i64], out: &mut [i64]| {
            out.copy_from_slice(values);
            // A conversion that overflowed gives a huge value, which is not an instant.
            values.iter().all(|at| at.unsigned_abs() < 1 << 62)
        };
        let propensities =
            |values: &[f64], out: &mut [i64]| ColumnKind::Real.quantize_all(values, f64::NEG_INFINITY, out);
        let of_id = |id: &[u8]| hash::hash_id(id) as i64;
        let of_user = |id: &[u8]| hash::hash_user_id(id, names.seed) as i64;
        let of_bucket = names
            .buckets
            .as_ref()
            .map(|buckets| |id: &[u8]| i64::from(buckets.bucket(id)));
        let of_tenant = |id: &[u8]| {
            hash::hash_id(if id.is_empty() {
                DEFAULT_TENANT.as_bytes()
            } else {
                id
            }) as i64
        };
        let of_release = |id: &[u8]| names.release(id);
        let of_layer = |id: &[u8]| names.layer(id);
        let flags = |values: &[f64], out: &mut [i64]| ColumnKind::Flag.quantize_all(values, 0.0, out);
        let units = &self.table().source.units;
        let readings: Vec<ReadingMap<'_>> = self
            .measured()
            .iter()
            .map(|reading| ReadingMap::new(reading, units.get(&reading.column)))
            .collect();

        let spellings: Vec<Spellings> = self.breakdowns().iter().map(|_| Spellings::default()).collect();
        let spell: Vec<_> = spellings
            .iter()
            .map(|spellings| |text: &[u8]| spellings.hash(text))
            .collect();
        let mut breakdowns = Vec::with_capacity(spell.len());
        for (column, spell) in self.breakdowns().iter().zip(&spell) {
            breakdowns.push(feeds.open(column, 0, Mapping::Id(spell))?);
        }
        let [needs_time, needs_user, needs_release] =
            ["event_time", "user_id", "release_id"].map(|column| self.requires(column));
        let mut at = feeds.open("event_time", 0, Mapping::Micros(&micros))?;
        let mut user = feeds.open("user_id", 0, Mapping::Id(&of_user))?;
        let mut bucket = match &of_bucket {
            Some(of_bucket) => feeds.open("user_id", 0, Mapping::Id(of_bucket))?,
            None => None,
        };
        let mut release = feeds.open("release_id", turns.release.missing, Mapping::Id(&of_release))?;
        if needs_time && at.is_none() || needs_user && user.is_none() || needs_release && release.is_none() {
            return Err(Stopped::Unsupported);
        }
        let flag = |name: &str| {
            let mapping = if feeds.is_flag(name)? {
                Mapping::Flag([0, 1])
            } else {
                Mapping::Number(&flags)
            };
            feeds.open(name, 0, mapping)
        };
        let mut tenant = feeds.open("tenant_id", turns.tenant.missing, Mapping::Id(&of_tenant))?;
        let mut layer = feeds.open("layer", turns.layer.missing, Mapping::Id(&of_layer))?;
        let (mut is_shadow, mut is_eval) = (flag("is_shadow")?, flag("is_eval")?);
        let mut trace = if names.wants_traces {
            feeds.open("trace_id", 0, Mapping::Id(&of_id))?
        } else {
            None
        };
        let mut session = if names.wants_sessions {
            feeds.open("session_id", 0, Mapping::Id(&of_id))?
        } else {
            None
        };
        let mut propensity = feeds.open("propensity", 0, Mapping::Number(&propensities))?;
        let mut measured = Vec::with_capacity(readings.len());
        for map in &readings {
            measured.push(feeds.open(
                &map.reading.column,
                0,
                map.mapping(feeds.is_flag(&map.reading.column)?),
            )?);
        }
        let mut n_read = 0;
        while n_read < fast_part.n_rows {
            let n = (fast_part.n_rows - n_read).min(STEP);
            if let Some(derived) = &mut derived {
                derived.next(n)?;
            }
            let derived = derived.as_ref();
            turns.n = n;
            turns.bad = [0; STEP_WORDS];
            // The fast scan leaves values below the resolution to the general reader.
            turns.below_resolution.clear();
            fill(at.as_mut(), derived, &mut turns.at, n)?;
            fill(user.as_mut(), derived, &mut turns.user, n)?;
            fill(release.as_mut(), derived, &mut turns.release, n)?;
            fill(bucket.as_mut(), derived, &mut turns.bucket, n)?;
            fill(tenant.as_mut(), derived, &mut turns.tenant, n)?;
            fill(layer.as_mut(), derived, &mut turns.layer, n)?;
            fill(is_shadow.as_mut(), derived, &mut turns.is_shadow, n)?;
            fill(is_eval.as_mut(), derived, &mut turns.is_eval, n)?;
            fill(trace.as_mut(), derived, &mut turns.trace, n)?;
            fill(session.as_mut(), derived, &mut turns.session, n)?;
            fill(propensity.as_mut(), derived, &mut turns.propensity, n)?;
            for (scan, column) in measured.iter_mut().zip(&mut turns.measured) {
                fill(scan.as_mut(), derived, column, n)?;
            }
            for (scan, column) in breakdowns.iter_mut().zip(&mut turns.breakdowns) {
                fill(scan.as_mut(), derived, column, n)?;
            }
            turns
                .names
                .iter_mut()
                .zip(&spellings)
                .for_each(|(names, spellings)| spellings.take(names));
            if let Some(kept) = derived.and_then(DerivedSteps::kept) {
                turns.retain(kept);
            }
            n_read += n;
            if turns.n == 0 {
                continue;
            }
            let n = turns.n;
            let is_unsupported = needs_time && turns.at.n_absent > 0
                || needs_user && turns.user.values[..n].contains(&(hash::EMPTY as i64))
                || names.find_refused(turns).is_some();
            if is_unsupported {
                return Err(Stopped::Unsupported);
            }
            on_turns(turns).map_err(Stopped::Failed)?;
            *n_done += n;
        }
        Ok(())
    }
}

/// The reason why a scan of pages ended early.
enum Stopped {
    Unsupported,
    Failed(Error),
}

impl From<Unsupported> for Stopped {
    fn from(_: Unsupported) -> Self {
        Self::Unsupported
    }
}

/// Where the values of a column come from: its pages, or an expression.
enum Feed<'m> {
    Pages(Box<ColumnScan<'m, i64>>),
    /// Index of the derived column, the value for a missing value, and the map of its values.
    Derived(usize, i64, Mapping<'m, i64>),
}

/// The columns of a row group.
struct Feeds<'a> {
    part: &'a FastPart<'a>,
    derived: Option<&'a DerivedSteps<'a>>,
}

impl Feeds<'_> {
    /// Opens a canonical column. `None` if the source does not have it.
    fn open<'m>(
        &self,
        canonical: &str,
        missing: i64,
        mapping: Mapping<'m, i64>,
    ) -> Result<Option<Feed<'m>>, Unsupported> {
        match self.derived.and_then(|derived| derived.find(canonical)) {
            Some(idx) => Ok(Some(Feed::Derived(idx, missing, mapping))),
            None => {
                let scan = self.part.column(canonical, missing, mapping)?;
                Ok(scan.map(|scan| Feed::Pages(Box::new(scan))))
            }
        }
    }

    /// Whether a canonical column has flags.
    fn is_flag(&self, canonical: &str) -> Result<bool, Unsupported> {
        match self.derived {
            Some(derived) => match derived.find(canonical) {
                Some(idx) => Ok(derived.is_flag(idx)),
                None => self.part.is_flag(canonical),
            },
            None => self.part.is_flag(canonical),
        }
    }
}

fn fill(
    feed: Option<&mut Feed<'_>>,
    derived: Option<&DerivedSteps<'_>>,
    column: &mut Column,
    n: usize,
) -> Result<(), Unsupported> {
    let (values, absent) = (&mut column.values[..n], &mut column.absent);
    match feed {
        Some(Feed::Pages(scan)) => column.n_absent = scan.fill(values, absent)?,
        Some(Feed::Derived(idx, missing, mapping)) => {
            let derived = derived.ok_or(Unsupported)?;
            column.n_absent = derived.fill(*idx, *mapping, *missing, values, absent)?;
        }
        None => column.fill_absent(n),
    }
    Ok(())
}

/// The conversion of a measured column from stored values to units.
struct ReadingMap<'a> {
    reading: &'a Reading,
    numbers: NumberMap<'a>,
    texts: TextMap<'a>,
}

type NumberMap<'a> = Box<dyn Fn(&[f64], &mut [i64]) -> bool + 'a>;
type TextMap<'a> = Box<dyn Fn(&[u8]) -> i64 + 'a>;

impl<'a> ReadingMap<'a> {
    /// `unit` is the declared unit of the column.
    fn new(reading: &'a Reading, unit: Option<&'a Unit>) -> Self {
        let (kind, min) = (column_kind(&reading.column), column_min(&reading.column));
        let plain: NumberMap<'a> = match &reading.test {
            None => Box::new(move |values, out| kind.quantize_all(values, min, out)),
            Some(test) => Box::new(move |values, out| {
                out.iter_mut()
                    .zip(values)
                    .for_each(|(out, value)| *out = i64::from(test.passes_number(*value)));
                let is_flag = kind == ColumnKind::Flag;
                values.iter().all(|value| {
                    value.is_finite() && *value >= min && (!is_flag || *value == 0.0 || *value == 1.0)
                })
            }),
        };
        let numbers: NumberMap<'a> = match unit {
            None => plain,
            Some(unit) => Box::new(move |values, out| {
                let mut converted = [0.0; STEP];
                let converted = &mut converted[..values.len()];
                converted
                    .iter_mut()
                    .zip(values)
                    .for_each(|(converted, value)| *converted = unit.convert(*value));
                plain(converted, out)
            }),
        };
        Self {
            reading,
            numbers,
            texts: Box::new(move |text| {
                i64::from(reading.test.as_ref().is_some_and(|test| test.passes_text(text)))
            }),
        }
    }

    fn mapping(&self, is_flag: bool) -> Mapping<'_, i64> {
        if self.reading.tests_text() {
            return Mapping::Id(&*self.texts);
        }
        let kind = column_kind(&self.reading.column);
        if !is_flag || kind == ColumnKind::Count {
            return Mapping::Number(&*self.numbers);
        }
        let of = |value: f64| match &self.reading.test {
            Some(test) => i64::from(test.passes_number(value)),
            None => (value * kind.units()) as i64,
        };
        Mapping::Flag([of(0.0), of(1.0)])
    }
}
