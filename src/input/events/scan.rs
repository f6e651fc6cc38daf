//! Reads the parts of an event log into partitions of users: straight from Parquet pages where that
//! is possible, else through the general reader.

use arrow_array::Array;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::base::error::{Error, Result};
use crate::base::interner::NameIndex;
use crate::base::lock::lock;
use crate::base::parallel;
use crate::base::progress::Bar;
use crate::base::time;
use crate::base::time::{DayClock, Micros, Zone};
use crate::input::batch::Batch;
use crate::input::convert;
use crate::input::events::key::{Key, Texts};
use crate::input::events::partition::{Found, N_PARTITIONS, Partition, Rules, Waiting};
use crate::input::fast_scan::{FastPart, Mapping, STEP, STEP_WORDS, Unsupported};
use crate::input::table::Table;
use crate::input::users::{DEFAULT_TENANT, tenant_at};
use crate::metric::{Reading, column_kind, column_min};
use crate::scenario::OnBadRow;

/// The canonical columns of an event log.
pub(super) const COLUMNS: [&str; 4] = ["user_id", "event_time", "value", "tenant_id"];
const VALUE: &str = COLUMNS[2];
/// Bits of a row's number within its part. The part's index is above them.
const ROW_BITS: u32 = 40;

/// A scan of an event log.
pub(super) struct Scan<'a> {
    pub(super) table: &'a Table,
    pub(super) on_bad_row: OnBadRow,
    pub(super) zone: &'a Zone,
    /// The end of the events that count for the sums by day.
    pub(super) observed_until: Micros,
    pub(super) rules: Rules,
    pub(super) bar: &'a Bar,
    partitions: Vec<Mutex<Partition>>,
    /// Names of tenants. A partition has their numbers.
    tenants: Mutex<NameIndex>,
}

/// The numbers of rows by their use.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) n_events: u64,
    pub(super) n_after_as_of: u64,
    pub(super) bad_rows: BTreeMap<String, u64>,
}

/// Returns the index of the part that has a row.
pub(super) fn part_of_row(row: u64) -> usize {
    (row >> ROW_BITS) as usize
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        table: &'a Table,
        on_bad_row: OnBadRow,
        (zone, observed_until): (&'a Zone, Micros),
        rules: Rules,
        bar: &'a Bar,
    ) -> Self {
        let mut tenants = NameIndex::default();
        tenants.number(DEFAULT_TENANT);
        Self {
            table,
            on_bad_row,
            zone,
            observed_until,
            rules,
            bar,
            partitions: (0..N_PARTITIONS).map(|_| Mutex::default()).collect(),
            tenants: Mutex::new(tenants),
        }
    }

    /// Reads all parts on all threads.
    ///
    /// # Errors
    /// The error of the first part that cannot be read, or that has a bad row under the policy
    /// `error`.
    pub(super) fn read(&self) -> Result<Counts> {
        let readers = parallel::fold_parts(
            self.table.parts.len(),
            || Reader::new(self),
            |reader, part| reader.read(part),
        )?;
        let mut counts = Counts::default();
        for mut reader in readers {
            reader.events.add_all();
            counts.merge(reader.events.counts);
        }
        Ok(counts)
    }

    /// Reads all parts in order, and checks the sums after each batch.
    ///
    /// # Errors
    /// As [`Self::read`], or the first row whose value makes a sum overflow.
    pub(super) fn read_checked(&self) -> Result<Counts> {
        let mut reader = Reader::new(self);
        (0..self.table.parts.len()).try_for_each(|part| reader.read_batches(part, 0))?;
        Ok(reader.events.counts)
    }

    /// Whether a partition has a property.
    pub(super) fn has(&self, is_so: impl Fn(&Partition) -> bool) -> bool {
        self.partitions.iter().any(|partition| is_so(&lock(partition)))
    }

    /// Returns the partitions and the names of the tenants.
    pub(super) fn into_parts(self) -> (Vec<Partition>, NameIndex) {
        let partitions = self.partitions.into_iter().map(crate::base::lock::into_inner);
        (partitions.collect(), crate::base::lock::into_inner(self.tenants))
    }
}

impl Counts {
    fn merge(&mut self, other: Self) {
        self.n_events += other.n_events;
        self.n_after_as_of += other.n_after_as_of;
        for (reason, n) in other.bad_rows {
            *self.bad_rows.entry(reason).or_default() += n;
        }
    }
}

/// One thread's reader.
struct Reader<'a> {
    tenants: RefCell<TenantNumbers>,
    events: Events<'a>,
}

/// The events of one thread on their way to the partitions.
struct Events<'a> {
    scan: &'a Scan<'a>,
    waiting: Vec<Waiting>,
    clock: DayClock,
    counts: Counts,
}

/// One thread's numbers of tenants.
#[derive(Default)]
struct TenantNumbers {
    names: NameIndex,
    /// The shared number of each own number.
    numbers: Vec<u32>,
}

impl TenantNumbers {
    /// Returns the shared number of a tenant.
    fn number(&mut self, name: &str, all: &Mutex<NameIndex>) -> u32 {
        let own = self.names.number(name) as usize;
        if own == self.numbers.len() {
            self.numbers.push(lock(all).number(name));
        }
        self.numbers[own]
    }
}

impl<'a> Events<'a> {
    #[inline]
    fn push(&mut self, user: (Key, u32, &Texts), at: Micros, value: i64, row: u64) {
        let rules = &self.scan.rules;
        if at < rules.as_of {
            self.counts.n_events += 1;
        } else {
            self.counts.n_after_as_of += 1;
            if at >= self.scan.observed_until {
                return;
            }
        }
        let day = self.clock.day(at) as i32;
        let found = Found { at, day, value, row };
        if let Some(full) = Waiting::push(&mut self.waiting, user, found, rules.seed) {
            self.add(full);
        }
    }

    fn add(&mut self, partition: usize) {
        let waiting = &mut self.waiting[partition];
        lock(&self.scan.partitions[partition]).add(waiting, &self.scan.rules);
        waiting.clear();
    }

    fn add_all(&mut self) {
        (0..N_PARTITIONS).for_each(|partition| self.add(partition));
    }
}

impl<'a> Reader<'a> {
    fn new(scan: &'a Scan<'a>) -> Self {
        Self {
            tenants: RefCell::default(),
            events: Events {
                scan,
                waiting: (0..N_PARTITIONS).map(|_| Waiting::default()).collect(),
                clock: DayClock::new(scan.zone),
                counts: Counts::default(),
            },
        }
    }

    fn read(&mut self, part: usize) -> Result<()> {
        let mut n_done = 0;
        match self.read_pages(part, &mut n_done) {
            Ok(()) => Ok(()),
            // The steps of the fast scan had no faults. The general reader continues after them.
            Err(Unsupported) => self.read_batches(part, n_done),
        }
    }

    fn read_pages(&mut self, part_idx: usize, n_done: &mut usize) -> Result<(), Unsupported> {
        let Self { tenants, events } = self;
        let scan = events.scan;
        let part = FastPart::open(scan.table, scan.table.parts[part_idx])?;
        let (texts, is_illegal) = (RefCell::new(Texts::default()), Cell::new(false));
        let of_user = |id: &[u8]| {
            let key = Key::new(id, &mut texts.borrow_mut(), scan.rules.seed);
            if !key.is_short_ascii() && std::str::from_utf8(id).is_err() {
                is_illegal.set(true);
            }
            key
        };
        let of_tenant = |name: &[u8]| match std::str::from_utf8(name) {
            Ok("") => 0,
            Ok(name) => tenants.borrow_mut().number(name, &scan.tenants),
            Err(_) => {
                is_illegal.set(true);
                0
            }
        };
        let micros = |values: &[i64], out: &mut [i64]| {
            out.copy_from_slice(values);
            // A conversion that overflowed gives a huge value, which is not an instant.
            values.iter().all(|at| at.unsigned_abs() < 1 << 62)
        };
        let (kind, min) = (column_kind(VALUE), column_min(VALUE));
        let unit = scan.table.source.units.get(VALUE);
        let units = |values: &[f64], out: &mut [i64]| {
            let Some(unit) = unit else {
                return kind.quantize_all(values, min, out);
            };
            let mut converted = [0.0; STEP];
            let converted = &mut converted[..values.len()];
            for (converted, value) in converted.iter_mut().zip(values) {
                *converted = unit.convert(*value);
            }
            kind.quantize_all(converted, min, out)
        };
        let mut user = part
            .column("user_id", Key::EMPTY, Mapping::Id(&of_user))?
            .ok_or(Unsupported)?;
        let mut at = part
            .column("event_time", 0, Mapping::Micros(&micros))?
            .ok_or(Unsupported)?;
        let mut value = part.column(VALUE, 0, Mapping::Number(&units))?;
        let mut tenant = part.column("tenant_id", 0, Mapping::Id(&of_tenant))?;
        let (mut keys, mut instants) = ([Key::EMPTY; STEP], [0; STEP]);
        let (mut values, mut numbers) = ([0; STEP], [0; STEP]);
        let mut absent = [0; STEP_WORDS];
        let mut n_texts = None;
        while *n_done < part.n_rows {
            let n = (part.n_rows - *n_done).min(STEP);
            // Texts of a dictionary are added by the first step, and needed until the last one.
            if let Some(n_texts) = n_texts {
                texts.borrow_mut().truncate(n_texts);
            }
            user.fill(&mut keys[..n], &mut absent)?;
            n_texts.get_or_insert_with(|| texts.borrow().n_bytes());
            let n_absent = at.fill(&mut instants[..n], &mut absent)?;
            if let Some(value) = &mut value {
                value.fill(&mut values[..n], &mut absent)?;
            }
            if let Some(tenant) = &mut tenant {
                tenant.fill(&mut numbers[..n], &mut absent)?;
            }
            if n_absent > 0 || is_illegal.get() || keys[..n].contains(&Key::EMPTY) {
                return Err(Unsupported);
            }
            let texts = texts.borrow();
            let first = (part_idx as u64) << ROW_BITS | *n_done as u64;
            for row in 0..n {
                let user = (keys[row], numbers[row], &*texts);
                events.push(user, instants[row], values[row], first + row as u64);
            }
            *n_done += n;
            scan.bar.advance(n as u64);
        }
        Ok(())
    }

    /// Reads a part without its first `n_done` rows.
    fn read_batches(&mut self, part_idx: usize, n_done: usize) -> Result<()> {
        let scan = self.events.scan;
        let value = Reading {
            column: VALUE.into(),
            test: None,
            limits: None,
        };
        let mut n_before = 0;
        scan.table
            .read(scan.table.parts[part_idx], &COLUMNS, &mut |batch| {
                let mut faults = batch.faults(scan.on_bad_row)?;
                let (Some(ids), Some(times)) = (
                    convert::required_text(&batch, 0, &mut faults)?,
                    convert::instant(&batch, 1, &mut faults)?,
                ) else {
                    return Ok(());
                };
                for row in (0..batch.n_rows).filter(|row| times.is_null(*row)) {
                    let column = scan.table.name_in_file("event_time");
                    faults.record(&batch, column, row, time::EXPECTED, &"none")?;
                }
                let values = convert::units(&batch, 2, &value, &mut faults)?;
                let tenants = convert::text(&batch, 3)?;
                let first = (part_idx as u64) << ROW_BITS | n_before as u64;
                let n_skip = n_done.saturating_sub(n_before).min(batch.n_rows);
                let mut texts = Texts::default();
                for row in (n_skip..batch.n_rows).filter(|row| !faults.is_bad(*row)) {
                    texts.truncate(0);
                    let key = Key::new(ids.value(row).as_bytes(), &mut texts, scan.rules.seed);
                    let tenant = match &tenants {
                        Some(tenants) => {
                            let name = tenant_at(Some(tenants), row);
                            self.tenants.get_mut().number(name, &scan.tenants)
                        }
                        None => 0,
                    };
                    let value = values.as_ref().filter(|values| values.is_valid(row));
                    self.events.push(
                        (key, tenant, &texts),
                        times.value(row),
                        value.map_or(0, |values| values.value(row)),
                        first + row as u64,
                    );
                }
                n_before += batch.n_rows;
                if scan.rules.is_checked {
                    self.events.check(&batch, first)?;
                }
                scan.bar.advance((batch.n_rows - n_skip) as u64);
                for (reason, n) in faults.into_counts() {
                    *self.events.counts.bad_rows.entry(reason).or_default() += n;
                }
                Ok(())
            })
    }
}

impl Events<'_> {
    /// Adds all events, of which those of a batch are the last, and checks that no sum overflowed.
    /// `first` is the number of the batch's first row.
    fn check(&mut self, batch: &Batch<'_>, first: u64) -> Result<()> {
        self.add_all();
        let overflow = self
            .scan
            .partitions
            .iter()
            .filter_map(|partition| lock(partition).overflow);
        match overflow.min() {
            Some(row) => Err(Error::input(
                batch.location(VALUE, (row - first) as usize),
                "expected values whose sum fits, found an overflow",
            )),
            None => Ok(()),
        }
    }
}
