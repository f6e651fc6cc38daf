//! The users who get the candidate at a step of a plan, and the users who switch between two steps.

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::{digest, parallel};
use crate::bucket::{Profile, Ratio};
use crate::layer::{LayerFileReader, LayerRows, check_pinned};
use crate::ramp::step::PlanStep;
use crate::scenario::Plan;

/// A query for the users of a step.
#[derive(Debug, Clone)]
pub struct WhoQuestion<'a> {
    /// The plan, with layers and assignment.
    pub plan: &'a Plan,
    /// The step of the plan at which users are counted.
    pub at: PlanStep,
    /// An earlier step, to find the users who switch. `None` for no comparison.
    pub from: Option<PlanStep>,
    /// Another assignment profile, to count the users whose release differs under it. `None` for no
    /// comparison.
    pub against: Option<Profile>,
}

/// The numbers of users of a tenant's layer at a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhoRow {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The ratio of the layer at the step.
    pub ratio: Ratio,
    /// Number of users in the layer.
    pub n_users: u64,
    /// Number of users who consented to gray release.
    pub n_eligible: u64,
    /// Number of users who get the candidate.
    pub n_candidate: u64,
    /// Number of users who switch from the baseline to the candidate. `None` without an earlier
    /// step.
    pub n_to_candidate: Option<u64>,
    /// Number of users who switch from the candidate to the baseline. `None` without an earlier
    /// step.
    pub n_to_baseline: Option<u64>,
    /// Number of users who get another release under the other assignment. `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_disagree: Option<u64>,
}

/// A receiver of lists of users, in the order of the layer table.
pub type OnList<'a> = dyn FnMut(&RecordBatch) -> Result<()> + 'a;

/// Returns the columns of the list: `user_id`, `layer`, `bucket`, `arm`, `tenant_id`.
pub fn list_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        text("user_id"),
        text("layer"),
        Field::new("bucket", DataType::Int32, false),
        text("arm"),
        text("tenant_id"),
    ]))
}

/// Counts users by tenant and layer. With `on_list`, it also lists the users who get the candidate
/// or, with an earlier step, those who switch.
///
/// # Errors
/// The plan's assignment cannot be recomputed, the file is not the plan's layer table, or `on_list`
/// fails.
pub fn who(
    question: &WhoQuestion<'_>,
    layers: &Path,
    progress: &Progress,
    on_list: Option<&mut OnList<'_>>,
) -> Result<Vec<WhoRow>> {
    let plan = question.plan;
    if !plan.profile.is_recomputable() {
        return Err(Error::usage(format!(
            "expected an assignment that can be recomputed, found profile \"{}\"",
            plan.profile.name()
        ))
        .hint("only the system that placed the users knows who gets what"));
    }
    if plan.layers_digest.is_some() {
        check_pinned(plan, &digest::blake3_of_file(layers)?, layers)?;
    }
    let file = LayerFileReader::open(layers)?;
    let bar = progress.rows("who", Some(file.n_rows()));
    let wants_list = on_list.is_some();
    let mut on_list = on_list;
    let mut cells: BTreeMap<String, Vec<WhoCell>> = BTreeMap::new();
    parallel::map_in_order(
        file.n_parts(),
        |idx| {
            let mut part = Counted::default();
            file.read(idx, |rows| {
                bar.advance(rows.len() as u64);
                part.add(question, rows, layers, wants_list)
            })?;
            Ok(part)
        },
        |_, part: Counted| {
            for (tenant, more) in part.cells {
                match cells.entry(tenant) {
                    Entry::Vacant(slot) => _ = slot.insert(more),
                    Entry::Occupied(mut slot) => slot
                        .get_mut()
                        .iter_mut()
                        .zip(&more)
                        .for_each(|(cell, more)| cell.add(&more.counts)),
                }
            }
            on_list
                .as_mut()
                .map_or(Ok(()), |on_list| part.lists.iter().try_for_each(on_list))
        },
    )?;
    let row = |tenant: &str, layer: usize, cell: &WhoCell| {
        let [
            n_users,
            n_eligible,
            n_candidate,
            n_to_candidate,
            n_to_baseline,
            n_disagree,
        ] = cell.counts;
        let switches = question.from.is_some();
        WhoRow {
            tenant: tenant.to_owned(),
            layer: plan.layers[layer].id.clone(),
            ratio: cell.now,
            n_users,
            n_eligible,
            n_candidate,
            n_to_candidate: switches.then_some(n_to_candidate),
            n_to_baseline: switches.then_some(n_to_baseline),
            n_disagree: question.against.is_some().then_some(n_disagree),
        }
    };
    Ok(cells
        .iter()
        .flat_map(|(tenant, cells)| {
            cells
                .iter()
                .enumerate()
                .map(|(layer, cell)| row(tenant, layer, cell))
        })
        .collect())
}

/// The counts of a tenant's layer.
struct WhoCell {
    now: Ratio,
    before: Ratio,
    /// Numbers of users: all, eligible, with the candidate, switched to the candidate, switched to
    /// the baseline, and with another release under the other assignment.
    counts: [u64; 6],
}

impl WhoCell {
    fn add(&mut self, more: &[u64; 6]) {
        self.counts.iter_mut().zip(more).for_each(|(n, more)| *n += more);
    }
}

/// The result of one row group: the counts of its users, and the users to list.
#[derive(Default)]
struct Counted {
    /// Counts by tenant, one entry per layer.
    cells: BTreeMap<String, Vec<WhoCell>>,
    lists: Vec<RecordBatch>,
}

impl Counted {
    fn add(
        &mut self,
        question: &WhoQuestion<'_>,
        rows: &LayerRows,
        path: &Path,
        wants_list: bool,
    ) -> Result<()> {
        let plan = question.plan;
        let (mut ids, mut layers, mut buckets, mut arms, mut tenants) =
            (vec![], vec![], vec![], vec![], vec![]);
        let (own, other) = (
            plan.profile.hasher(),
            question.against.as_ref().map(Profile::hasher),
        );
        let mut last = 0;
        for row in 0..rows.len() {
            let (tenant, id) = (rows.tenant(row), rows.layers.value(row));
            // Adjacent rows are often in the same layer.
            let layer = match plan.layers[last].id == id {
                true => last,
                false => plan.layer_idx(id).ok_or_else(|| {
                    Error::in_file(
                        path,
                        format!("expected a layer of plan {}, found \"{id}\"", plan.id),
                    )
                })?,
            };
            last = layer;
            if !self.cells.contains_key(tenant) {
                let cell = |layer: usize| WhoCell {
                    now: question.at.ratio(plan, tenant, layer),
                    before: question
                        .from
                        .as_ref()
                        .map_or(Ratio::ZERO, |from| from.ratio(plan, tenant, layer)),
                    counts: [0; 6],
                };
                self.cells
                    .insert(tenant.to_owned(), (0..plan.layers.len()).map(cell).collect());
            }
            let Some(cell) = self.cells.get_mut(tenant).map(|cells| &mut cells[layer]) else {
                continue;
            };
            cell.counts[0] += 1;
            if !rows.eligible.value(row) {
                continue;
            }
            let bucket = own.bucket(rows.ids.value(row).as_bytes());
            let (now, before) = (cell.now.reaches(bucket), cell.before.reaches(bucket));
            cell.counts[1] += 1;
            cell.counts[2] += u64::from(now);
            cell.counts[3] += u64::from(now && !before);
            cell.counts[4] += u64::from(before && !now);
            if let Some(other) = &other {
                cell.counts[5] +=
                    u64::from(cell.now.reaches(other.bucket(rows.ids.value(row).as_bytes())) != now);
            }
            let is_listed = if question.from.is_some() {
                now != before
            } else {
                now
            };
            if wants_list && is_listed {
                ids.push(rows.ids.value(row));
                layers.push(id);
                buckets.push(i32::from(bucket));
                arms.push(if now { "candidate" } else { "baseline" });
                tenants.push(tenant);
            }
        }
        if !ids.is_empty() {
            let texts = |texts: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
            let columns = vec![
                texts(ids),
                texts(layers),
                Arc::new(Int32Array::from(buckets)) as ArrayRef,
                texts(arms),
                texts(tenants),
            ];
            self.lists
                .push(crate::base::parquet_io::batch(&list_schema(), columns));
        }
        Ok(())
    }
}
