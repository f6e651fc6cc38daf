//! Scores one part of a table of users: columns in, columns out.
//!
//! The kernel has two inputs. Parquet columns of supported types come directly from their pages
//! ([`Kernel::score_row_group`]). All other columns, and every row group with an unsupported column
//! or value, come as Arrow arrays from the general reader ([`Kernel::score_batches`]).

use arrow_array::{Array, BooleanArray, Float64Array};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

use crate::base::bitmap;
use crate::base::time;
use crate::base::time::{Micros, SECOND};
use crate::input::{
    DEFAULT_TENANT, FastPart, Mapping, Part, STEP, STEP_WORDS, TagColumn, Unsupported, UserBatch, UserReader,
    low_bits, tenant_at,
};
use crate::layer::score::{MISSING, N_SCORES, acceptance, frequency, monetary, recency, score_many};
use crate::scenario::{Consent, Layering, Plan, TagRule, TagTest, UnknownUsers};

/// The value in [`Scored::placed`] for users without known features that the policy protects. They
/// go to the last layer.
pub const PROTECTED: u8 = 254;
/// Marks a user whose layer depends on the score.
const BY_SCORE: u8 = 255;
/// The largest number of users that are reserved for the claim of a row group.
const MAX_RESERVED: usize = 1 << 20;

/// The settings of the score kernel.
#[derive(Debug, Clone)]
pub struct Kernel<'a> {
    layering: &'a Layering,
    as_of_secs: f64,
    /// Each rule with its layer, in the order of evaluation.
    rules: Vec<(u8, &'a TagRule)>,
}

/// The scores of some consecutive users.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// The score of each user, in ten-thousandths, 0..=10000.
    pub score: Vec<u16>,
    /// Whether each user consented to gray release: 1 or 0.
    pub eligible: Vec<u8>,
    /// Row indices of users whose layer does not depend on the score, in order, with the layer's
    /// index or [`PROTECTED`].
    pub placed: Vec<(u32, u8)>,
    /// The names of the tenants, in order of first appearance.
    pub tenants: Vec<String>,
    /// The tenant of each user, an index into `tenants`. Empty if all users have the first tenant.
    pub tenant: Vec<u32>,
    /// Counts of missing and clamped values, unknown users and rule matches.
    pub counts: KernelCounts,
}

/// Counts of missing and clamped values, unknown users and rule matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCounts {
    /// The number of users with a missing value of each feature: recency, use count, value and
    /// acceptance.
    pub missing: [u64; 4],
    /// The number of users with a clamped part of the score, in the same order.
    pub clamped: [u64; 4],
    /// The number of users without any known feature.
    pub n_unknown: u64,
    /// The number of users whose layer a tag rule assigned.
    pub n_tagged: u64,
}

impl KernelCounts {
    /// Adds the counts of other users.
    pub fn merge(&mut self, other: &Self) {
        for idx in 0..4 {
            self.missing[idx] += other.missing[idx];
            self.clamped[idx] += other.clamped[idx];
        }
        self.n_unknown += other.n_unknown;
        self.n_tagged += other.n_tagged;
    }
}

impl Scored {
    /// The number of users with each of the 10,001 scores.
    pub fn histogram(&self) -> Vec<u32> {
        let mut histogram = vec![0; N_SCORES];
        for score in &self.score {
            histogram[usize::from(*score)] += 1;
        }
        histogram
    }
}

impl<'a> Kernel<'a> {
    /// Creates the kernel of a plan's layers. `as_of` is the instant up to which recency is
    /// measured, in microseconds UTC.
    pub fn new(layering: &'a Layering, plan: &'a Plan, as_of: Micros) -> Self {
        let rules = plan
            .layers
            .iter()
            .enumerate()
            .flat_map(|(idx, layer)| layer.tags.iter().map(move |rule| (idx as u8, rule)));
        Self {
            layering,
            as_of_secs: as_of as f64 / SECOND as f64,
            rules: rules.collect(),
        }
    }

    /// The consent of users with a missing consent: 1 with opt-out, 0 with opt-in.
    fn without_consent(&self) -> f64 {
        f64::from(u8::from(self.layering.consent == Consent::OptOut))
    }

    fn recency(&self, last_use_secs: f64) -> f64 {
        recency(last_use_secs, self.as_of_secs, self.layering.recency_cap_secs)
    }

    /// Scores users from the arrays of the general reader.
    pub fn score_batches(&self, batches: &[UserBatch]) -> Scored {
        let n_users = batches.iter().map(UserBatch::n_users).sum();
        let mut scoring = Scoring::new(self, n_users);
        let mut tenants = Tenants::default();
        let has_tenants = batches.iter().any(|users| users.tenant_id.is_some());
        for users in batches {
            let layering = self.layering;
            let features: [(&Option<Float64Array>, ToPart<'_>); 4] = [
                (&users.last_use_secs, &|secs| self.recency(secs)),
                (&users.use_count, &|count| {
                    frequency(count, layering.use_count_cap)
                }),
                (&users.user_value, &|value| {
                    monetary(value, layering.user_value_cap)
                }),
                (&users.accept_score, &acceptance),
            ];
            for start in (0..users.n_users()).step_by(STEP) {
                let rows = start..(start + STEP).min(users.n_users());
                let step = &mut *scoring.step;
                for (feature, (values, part)) in features.iter().enumerate() {
                    step.n_absent[feature] = fill(
                        values.as_ref(),
                        rows.clone(),
                        part,
                        &mut step.parts[feature],
                        MISSING[feature],
                        &mut step.absent[feature],
                    );
                }
                fill_flags(
                    users.is_allow_gray.as_ref(),
                    rows.clone(),
                    self.without_consent(),
                    &mut step.consent,
                );
                for (rule, column) in users.tags.iter().enumerate() {
                    for (at, row) in rows.clone().enumerate() {
                        step.tags[rule][at] =
                            f64::from(u8::from(matches(&self.rules[rule].1.test, column, row)));
                    }
                }
                scoring.finish_step(rows.len());
            }
            for row in (0..users.n_users()).filter(|_| has_tenants) {
                let code = tenants.code(tenant_at(users.tenant_id.as_ref(), row).as_bytes());
                tenants.push(code);
            }
        }
        let (names, of_user) = tenants.finish(n_users).unwrap_or_default();
        scoring.finish(names, of_user)
    }

    /// Scores a row group directly from its pages.
    ///
    /// # Errors
    /// When the row group has an unusual column type or an illegal value. The general reader must
    /// then read it.
    pub(super) fn score_row_group(&self, reader: &UserReader<'_>, part: Part) -> Result<Scored, Unsupported> {
        let fast_part = FastPart::open(reader.table(), part)?;
        let n_rows = fast_part.n_rows;
        let layering = self.layering;
        let of_seconds = |secs: &[f64], parts: &mut [f64]| {
            map(
                secs,
                parts,
                |secs| time::SECONDS.contains(&secs),
                |secs| self.recency(secs),
            )
        };
        let of_count = |counts: &[f64], parts: &mut [f64]| {
            map(counts, parts, f64::is_finite, |n| {
                frequency(n, layering.use_count_cap)
            })
        };
        let units = &reader.table().source.units;
        // Only the general reader knows whether a number or a timestamp stands for an instant. Rules
        // read their columns as they are.
        let of_rule = |(_, rule): &(u8, &TagRule)| units.contains_key(&rule.column);
        if units.contains_key("last_use_time") || self.rules.iter().any(of_rule) {
            return Err(Unsupported);
        }
        let unit = units.get("user_value");
        let of_value = |values: &[f64], parts: &mut [f64]| match unit {
            None => map(values, parts, f64::is_finite, |v| {
                monetary(v, layering.user_value_cap)
            }),
            Some(unit) => map(
                values,
                parts,
                |v| unit.convert(v).is_finite(),
                |v| monetary(unit.convert(v), layering.user_value_cap),
            ),
        };
        let of_accept = |scores: &[f64], parts: &mut [f64]| map(scores, parts, f64::is_finite, acceptance);
        let mut features = [
            fast_part.column("last_use_time", MISSING[0], Mapping::Seconds(&of_seconds))?,
            fast_part.column("use_count", MISSING[1], Mapping::Number(&of_count))?,
            fast_part.column("user_value", MISSING[2], Mapping::Number(&of_value))?,
            fast_part.column("accept_score", MISSING[3], Mapping::Number(&of_accept))?,
        ];
        let mut consent =
            fast_part.column("is_allow_gray", self.without_consent(), Mapping::Flag([0.0, 1.0]))?;
        let tests: Vec<TagMap<'_>> = self.rules.iter().map(|(_, rule)| tag_map(&rule.test)).collect();
        let mut tags = Vec::with_capacity(tests.len());
        for ((_, rule), test) in self.rules.iter().zip(&tests) {
            let mapping = match test {
                TagMap::Text(test) => Mapping::Text(&**test),
                TagMap::Number(test) => Mapping::Number(&**test),
            };
            tags.push(fast_part.column(&rule.column, 0.0, mapping)?.ok_or(Unsupported)?);
        }
        let mut scoring = Scoring::new(self, n_rows);
        let mut unused = [0; STEP_WORDS];
        for start in (0..n_rows).step_by(STEP) {
            let n = (n_rows - start).min(STEP);
            let step = &mut *scoring.step;
            for (feature, scan) in features.iter_mut().enumerate() {
                step.n_absent[feature] = match scan {
                    Some(scan) => scan.fill(&mut step.parts[feature][..n], &mut step.absent[feature])?,
                    None => step.nothing(feature, n),
                };
            }
            match &mut consent {
                Some(scan) => _ = scan.fill(&mut step.consent[..n], &mut unused)?,
                None => step.consent[..n].fill(self.without_consent()),
            }
            for (scan, tag) in tags.iter_mut().zip(&mut step.tags) {
                scan.fill(&mut tag[..n], &mut unused)?;
            }
            scoring.finish_step(n);
        }
        let (names, of_user) = self.tenants_of(reader, part)?;
        Ok(scoring.finish(names, of_user))
    }

    /// Reads the tenants of a row group: the names in order of first appearance, and each user's
    /// index, as in [`Scored`].
    ///
    /// # Errors
    /// As [`Self::score_row_group`].
    pub(super) fn tenants_of(
        &self,
        reader: &UserReader<'_>,
        part: Part,
    ) -> Result<(Vec<String>, Vec<u32>), Unsupported> {
        let fast_part = FastPart::open(reader.table(), part)?;
        let n_rows = fast_part.n_rows;
        let tenants = RefCell::new(Tenants::default());
        let default_tenant = tenants.borrow_mut().code(DEFAULT_TENANT.as_bytes());
        let of_tenant = |name: &[u8]| {
            let name = if name.is_empty() {
                DEFAULT_TENANT.as_bytes()
            } else {
                name
            };
            f64::from(tenants.borrow_mut().code(name))
        };
        let mapping = Mapping::Text(&of_tenant);
        if let Some(mut scan) = fast_part.column("tenant_id", f64::from(default_tenant), mapping)? {
            let (mut codes, mut unused) = (vec![0.0; STEP], [0; STEP_WORDS]);
            for start in (0..n_rows).step_by(STEP) {
                let codes = &mut codes[..(n_rows - start).min(STEP)];
                scan.fill(codes, &mut unused)?;
                let mut tenants = tenants.borrow_mut();
                codes.iter().for_each(|code| tenants.push(*code as u32));
            }
        }
        tenants.into_inner().finish(n_rows)
    }
}

/// Maps a feature's value to its part of the score.
type ToPart<'a> = &'a dyn Fn(f64) -> f64;
type TextTest<'a> = Box<dyn Fn(&[u8]) -> f64 + 'a>;
type NumberTest<'a> = Box<dyn Fn(&[f64], &mut [f64]) -> bool + 'a>;

/// The test of a tag rule on raw values. It returns 1 for a match, else 0.
enum TagMap<'a> {
    Text(TextTest<'a>),
    Number(NumberTest<'a>),
}

/// Creates the raw-value test of a tag rule.
fn tag_map(test: &TagTest) -> TagMap<'_> {
    match test {
        TagTest::Equals(wanted) => TagMap::Text(Box::new(move |text| {
            f64::from(u8::from(text == wanted.as_bytes()))
        })),
        TagTest::AtLeast(least) => {
            let least = *least;
            TagMap::Number(Box::new(move |values, out| {
                map(values, out, f64::is_finite, |value| {
                    f64::from(u8::from(value >= least))
                })
            }))
        }
    }
}

/// Maps all values. Returns `false` if a value is illegal.
fn map(values: &[f64], out: &mut [f64], legal: impl Fn(f64) -> bool, map: impl Fn(f64) -> f64) -> bool {
    out.iter_mut()
        .zip(values)
        .for_each(|(out, value)| *out = map(*value));
    values.iter().fold(true, |all, value| all & legal(*value))
}

/// Whether a row matches a tag rule. A null never matches.
fn matches(test: &TagTest, column: &TagColumn, row: usize) -> bool {
    match (test, column) {
        (TagTest::Equals(text), TagColumn::Text(values)) => values.is_valid(row) && values.value(row) == text,
        (TagTest::AtLeast(least), TagColumn::Real(values)) => {
            values.is_valid(row) && values.value(row) >= *least
        }
        _ => false,
    }
}

/// Users who are being scored, one step at a time.
struct Scoring<'a> {
    kernel: &'a Kernel<'a>,
    step: Box<ScoringStep>,
    scored: Scored,
}

/// The columns of one step, ready for the kernel. Missing values have been replaced; parts need not
/// be clamped yet.
struct ScoringStep {
    parts: [Vec<f64>; 4],
    absent: [[u64; STEP_WORDS]; 4],
    n_absent: [usize; 4],
    consent: Vec<f64>,
    /// One column per rule: 1 if the rule matches.
    tags: Vec<Vec<f64>>,
    sums: Vec<f64>,
    placed: [u8; STEP],
}

impl ScoringStep {
    /// Marks a feature as missing for all users of the step. Returns the number of users.
    fn nothing(&mut self, feature: usize, n: usize) -> usize {
        self.parts[feature][..n].fill(MISSING[feature]);
        for (idx, word) in self.absent[feature].iter_mut().enumerate() {
            *word = low_bits(n.saturating_sub(idx * 64).min(64));
        }
        n
    }
}

impl<'a> Scoring<'a> {
    fn new(kernel: &'a Kernel<'a>, n_users: usize) -> Self {
        let step = ScoringStep {
            parts: std::array::from_fn(|_| vec![0.0; STEP]),
            absent: [[0; STEP_WORDS]; 4],
            n_absent: [0; 4],
            consent: vec![0.0; STEP],
            tags: vec![vec![0.0; STEP]; kernel.rules.len()],
            sums: vec![0.0; STEP],
            placed: [BY_SCORE; STEP],
        };
        // A footer may claim any number of users, so only those of an ordinary row group are reserved.
        let n_reserved = n_users.min(MAX_RESERVED);
        let scored = Scored {
            score: Vec::with_capacity(n_reserved),
            eligible: Vec::with_capacity(n_reserved),
            ..Scored::default()
        };
        Self {
            kernel,
            step: Box::new(step),
            scored,
        }
    }

    /// Scores the users of the step.
    fn finish_step(&mut self, n: usize) {
        let (step, scored) = (&mut *self.step, &mut self.scored);
        let start = scored.score.len();
        scored.score.resize(start + n, 0);
        let parts = [
            &step.parts[0][..n],
            &step.parts[1][..n],
            &step.parts[2][..n],
            &step.parts[3][..n],
        ];
        let clamped = score_many(
            parts,
            &self.kernel.layering.weights,
            &mut step.sums,
            &mut scored.score[start..],
        );
        scored
            .eligible
            .extend(step.consent[..n].iter().map(|consent| u8::from(*consent > 0.5)));
        for (feature, n_clamped) in clamped.into_iter().enumerate() {
            scored.counts.missing[feature] += step.n_absent[feature] as u64;
            scored.counts.clamped[feature] += n_clamped;
        }
        self.assign(start, n);
    }

    /// Finds the users whose layer does not depend on the score. Tag rules apply first, in their
    /// order, then the policy for users without known features.
    fn assign(&mut self, start: usize, n: usize) {
        let (step, scored) = (&mut *self.step, &mut self.scored);
        let may_be_unknown = step.n_absent.iter().all(|n| *n > 0);
        if step.tags.is_empty() && !may_be_unknown {
            return;
        }
        step.placed[..n].fill(BY_SCORE);
        if may_be_unknown {
            for idx in 0..n.div_ceil(64) {
                let mut word = step.absent.iter().fold(u64::MAX, |all, absent| all & absent[idx]);
                scored.counts.n_unknown += u64::from(word.count_ones());
                while word != 0 && self.kernel.layering.unknown == UnknownUsers::Protect {
                    step.placed[idx * 64 + word.trailing_zeros() as usize] = PROTECTED;
                    word &= word - 1;
                }
            }
        }
        for ((layer, _), matches) in self.kernel.rules.iter().zip(&step.tags).rev() {
            for (placed, is_match) in step.placed[..n].iter_mut().zip(matches) {
                *placed = if *is_match > 0.5 { *layer } else { *placed };
            }
        }
        for (row, placed) in step.placed[..n].iter().enumerate() {
            if *placed != BY_SCORE {
                scored.counts.n_tagged += u64::from(*placed != PROTECTED);
                scored.placed.push(((start + row) as u32, *placed));
            }
        }
    }

    fn finish(mut self, tenants: Vec<String>, of_user: Vec<u32>) -> Scored {
        (self.scored.tenants, self.scored.tenant) = (tenants, of_user);
        self.scored
    }
}

/// The tenants of users, as codes.
#[derive(Default)]
struct Tenants {
    codes: HashMap<Vec<u8>, u32>,
    of_user: Vec<u32>,
}

impl Tenants {
    /// The code of a tenant; a new name gets the next code.
    fn code(&mut self, name: &[u8]) -> u32 {
        let next = self.codes.len() as u32;
        *self.codes.entry_ref(name).or_insert(next)
    }

    fn push(&mut self, code: u32) {
        self.of_user.push(code);
    }

    /// Returns the names in order of first appearance, and each user's index. The indices are empty
    /// if all users have the same tenant.
    fn finish(mut self, n_users: usize) -> Result<(Vec<String>, Vec<u32>), Unsupported> {
        if self.of_user.is_empty() {
            // A table without tenants has the default tenant, unless it has no users.
            let names = if n_users == 0 {
                Vec::new()
            } else {
                vec![DEFAULT_TENANT.to_owned()]
            };
            return Ok((names, Vec::new()));
        }
        let mut names = vec![String::new(); self.codes.len()];
        for (name, code) in self.codes {
            names[code as usize] = String::from_utf8(name).map_err(|_| Unsupported)?;
        }
        // Codes follow the order of dictionary values. They are renumbered in the order of users.
        let mut renamed = vec![u32::MAX; names.len()];
        let mut order = Vec::new();
        for code in &mut self.of_user {
            let new = &mut renamed[*code as usize];
            if *new == u32::MAX {
                *new = order.len() as u32;
                order.push(names[*code as usize].clone());
            }
            *code = *new;
        }
        if order.len() == 1 {
            self.of_user.clear();
        }
        Ok((order, self.of_user))
    }
}

/// Fills one step of a feature column: each value's part, and the bits of missing rows. Returns the
/// number of missing values.
fn fill(
    values: Option<&Float64Array>,
    rows: std::ops::Range<usize>,
    part: ToPart<'_>,
    out: &mut [f64],
    missing: f64,
    absent: &mut [u64; STEP_WORDS],
) -> usize {
    *absent = [0; STEP_WORDS];
    let mut n_absent = 0;
    for (at, row) in rows.enumerate() {
        out[at] = match values.filter(|values| values.is_valid(row)) {
            Some(values) => part(values.value(row)),
            None => {
                bitmap::set(absent, at);
                n_absent += 1;
                missing
            }
        };
    }
    n_absent
}

/// Fills one step of a flag column. A null or missing column takes the value `missing`.
fn fill_flags(values: Option<&BooleanArray>, rows: std::ops::Range<usize>, missing: f64, out: &mut [f64]) {
    for (at, row) in rows.enumerate() {
        out[at] = values
            .filter(|values| values.is_valid(row))
            .map_or(missing, |values| f64::from(u8::from(values.value(row))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Scenario, Source};
    use arrow_array::{
        ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
    };
    use parquet::arrow::ArrowWriter;
    use std::path::Path;
    use std::{fs::File, sync::Arc};

    const SCENARIO: &str = r#"
as_of = "2026-05-25"
plan = { id = "q", start = "2026-05-25", baseline = "a", candidate = "b" }
input = { users = { path = "." } }
layer = [ { id = "x", min_score = 0.5, tags = [ { column = "kind", equals = "a" }, { column = "use_count", at_least = 90 } ] }, { id = "y" } ]
"#;

    fn score(path: &Path, columns: Vec<(&str, ArrayRef)>) -> Result<Scored, Unsupported> {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let scenario = Scenario::parse(SCENARIO, "q", Path::new(""), &Overrides::default()).unwrap();
        let source = Source::at(path);
        let rules = scenario
            .plan
            .layers
            .iter()
            .flat_map(|layer| &layer.tags)
            .collect();
        let reader = UserReader::open(&source, rules, crate::scenario::OnBadRow::Error).unwrap();
        let kernel = Kernel::new(&scenario.layering, &scenario.plan, scenario.as_of);
        let part = reader.table().parts[0];
        let scored = kernel.score_row_group(&reader, part);
        let mut batches = Vec::new();
        let read = reader.read(part, &mut |users, _| {
            batches.push(users);
            Ok(())
        });
        if let (Ok(scored), Ok(())) = (&scored, read) {
            assert_eq!(*scored, kernel.score_batches(&batches));
        }
        scored
    }

    /// Tests that ordinary columns, including tags and tenants, are read directly from their pages,
    /// and that columns of other types and illegal values are not.
    #[test]
    fn ordinary_columns_are_scored_from_their_pages() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.parquet");
        let texts = |of: &dyn Fn(i64) -> Option<String>| -> ArrayRef {
            Arc::new((0..3_000).map(of).collect::<StringArray>())
        };
        let columns = |count: ArrayRef, value: f64| {
            vec![
                ("user_id", texts(&|n| Some(format!("u{n}")))),
                (
                    "tenant_id",
                    texts(&|n| (n % 3 > 0).then(|| ["b", "a"][n as usize % 2].to_owned())),
                ),
                (
                    "last_use_time",
                    Arc::new(
                        (0..3_000)
                            .map(|n| (n % 5 > 0).then_some(1_779_667_200_000_000 - n * 1_000_000_000))
                            .collect::<TimestampMicrosecondArray>(),
                    ),
                ),
                ("use_count", count),
                (
                    "user_value",
                    Arc::new(
                        (0..3_000)
                            .map(|n| Some(if n == 2_999 { value } else { f64::from(n) * 50.0 }))
                            .collect::<Float64Array>(),
                    ),
                ),
                (
                    "accept_score",
                    Arc::new(
                        (0..3_000)
                            .map(|n| (n % 7 > 0).then(|| f64::from(n % 21) / 2.0))
                            .collect::<Float64Array>(),
                    ),
                ),
                (
                    "is_allow_gray",
                    Arc::new(
                        (0..3_000)
                            .map(|n| (n % 11 > 0).then_some(n % 2 == 0))
                            .collect::<BooleanArray>(),
                    ),
                ),
                (
                    "kind",
                    texts(&|n| (n % 13 > 0).then(|| ["a", "b", "c"][n as usize % 3].to_owned())),
                ),
            ]
        };
        let counts = || -> ArrayRef {
            Arc::new(
                (0..3_000)
                    .map(|n| (n % 4 > 0).then_some(n % 120))
                    .collect::<Int64Array>(),
            )
        };
        let scored = score(&path, columns(counts(), 1.0)).unwrap();
        assert_eq!(scored.tenants, ["default", "a", "b"]);
        assert!(scored.counts.n_tagged > 1_000);
        let others: ArrayRef = Arc::new((0..3_000).map(|n| Some(n % 120)).collect::<UInt64Array>());
        assert_eq!(score(&path, columns(others, 1.0)), Err(Unsupported));
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(score(&path, columns(counts(), value)), Err(Unsupported));
        }
    }
}
