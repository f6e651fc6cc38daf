//! The answer and the tables of a ramp's nights as texts, for the page and for Markdown.

use crate::base::number::count;
use crate::base::time::{DAY, Micros};
use crate::ramp::{OperationRow, RampStatus, Verdict};
use crate::report::nights::model::{HarmSoFar, Night, NightDecision, NightsLayer, RampNights};
use crate::words::nights as say;
use crate::words::{Count, Days, Few, Lang, Measured, MetricName, Number, Say, Text, When};

/// The largest number of layers that have a column of their own in the table of nights.
pub(super) const MAX_COLUMNS: usize = 8;
/// The largest number of rows of a table of decisions or changes: the newest are shown.
const MAX_ROWS: usize = 200;

/// A ramp in a language.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) ramp: &'a RampNights,
    pub(super) lang: Lang,
}

/// A table of texts.
pub(super) struct TextTable {
    pub(super) caption: String,
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
pub(super) enum Cell {
    Text(String),
    Number(String),
    /// A status word, and what stands behind it.
    Badge(&'static str, String),
}

impl View<'_> {
    pub(super) fn text(self, text: &Text) -> String {
        text.of(self.lang).to_owned()
    }

    pub(super) fn when(self, at: Micros) -> String {
        When(at, &self.ramp.time_zone).say(self.lang)
    }

    /// The name of a layer, with its tenant if there are several.
    pub(super) fn layer_name(self, tenant: &str, layer: &str) -> String {
        let of = |other: &&NightsLayer| other.tenant == tenant && other.layer == layer;
        let found = self.ramp.layers.iter().find(of);
        let name = found.map_or(layer, |layer| layer.display_name(self.lang));
        if self.ramp.has_tenants() && !tenant.is_empty() {
            format!("{tenant} / {name}")
        } else {
            name.to_owned()
        }
    }

    /// Whether the ramp goes on, as one sentence.
    pub(super) fn answer(self) -> Text {
        let as_of = When(self.ramp.as_of, &self.ramp.time_zone);
        let decisions = || self.ramp.last().into_iter().flat_map(|night| &night.decisions);
        let n_layers = decisions().count() as u64;
        match self.ramp.status {
            RampStatus::RolledBack => {
                let back: Vec<String> = self
                    .ramp
                    .layers
                    .iter()
                    .filter(|layer| layer.is_rolled_back)
                    .map(|layer| self.layer_name(&layer.tenant, &layer.layer))
                    .collect();
                say::rolled_back(Few(&back, MAX_COLUMNS), as_of)
            }
            RampStatus::Completed => say::completed(Count(n_layers), as_of),
            RampStatus::Running | RampStatus::Retired => {
                let full = decisions().filter(|of| of.next_ratio == crate::bucket::Ratio::FULL);
                say::running(Count(full.count() as u64), Count(n_layers), as_of)
            }
        }
    }

    /// What the answer rests on: exposure, harm, and what needs a person.
    pub(super) fn facts(self) -> Vec<Text> {
        let n_eligible: u64 = self.ramp.layers.iter().map(|layer| layer.n_eligible).sum();
        let mut facts = vec![
            say::exposed(Count(self.ramp.n_exposed()), Count(n_eligible)),
            self.worst(),
        ];
        let Some(last) = self.ramp.last() else {
            return facts;
        };
        let with = |verdict: Verdict| -> Vec<String> {
            let decisions = last.decisions.iter().filter(|of| of.verdict == verdict);
            decisions
                .map(|of| self.layer_name(&of.tenant, &of.layer))
                .collect()
        };
        let (invalid, unclear) = (with(Verdict::Invalid), with(Verdict::Inconclusive));
        if !invalid.is_empty() {
            facts.push(say::untrusted(Few(&invalid, MAX_COLUMNS)));
        }
        if !unclear.is_empty() {
            facts.push(say::undecided(Few(&unclear, MAX_COLUMNS)));
        }
        if last.first_failure.is_some() {
            facts.push(last.failure());
        }
        if !last.failed_targets.is_empty() {
            facts.push(say::not_in_force(last.failed_targets.clone()));
        }
        if last.n_unsent > 0 {
            facts.push(say::unsent(Count(last.n_unsent)));
        }
        facts
    }

    /// The worst harm that is shown so far, in units of its interval.
    fn worst(self) -> Text {
        let all = || {
            let layers = self.ramp.layers.iter();
            layers.flat_map(|layer| layer.harms.iter().map(move |harm| (layer, harm)))
        };
        if all().next().is_none() {
            return say::no_comparison();
        }
        let certainty =
            |harm: &HarmSoFar| harm.extra / (harm.extra - harm.interval.ci_lower).max(f64::MIN_POSITIVE);
        let shown = all().filter(|(_, harm)| harm.is_shown());
        let Some((layer, harm)) = shown.max_by(|(_, a), (_, b)| certainty(a).total_cmp(&certainty(b))) else {
            return say::no_harm();
        };
        let [extra, low, high] = [harm.extra, harm.interval.ci_lower, harm.interval.ci_upper];
        let (metric, layer) = (
            MetricName(&harm.metric),
            self.layer_name(&layer.tenant, &layer.layer),
        );
        if harm.unit == "USD" {
            let usd = |value| Measured { value, unit: "USD" };
            say::worst_usd(metric, layer, usd(extra), usd(low), usd(high))
        } else {
            say::worst_events(metric, layer, Number(extra), Number(low), Number(high))
        }
    }

    /// The status of the ramp.
    pub(super) fn status(self) -> String {
        self.text(&match self.ramp.status {
            RampStatus::Running => say::status_running(),
            RampStatus::Completed => say::status_completed(),
            RampStatus::RolledBack => say::status_rolled_back(),
            RampStatus::Retired => say::status_retired(),
        })
    }

    /// Where each layer stands.
    pub(super) fn layers(self) -> TextTable {
        let words = self.lang.words();
        let last = |layer: &NightsLayer| {
            let decisions = self.ramp.last().into_iter().flat_map(|night| &night.decisions);
            let mut of = decisions.filter(|of| of.tenant == layer.tenant && of.layer == layer.layer);
            of.next()
        };
        let change = |layer: &NightsLayer| {
            let changes = self.ramp.changes.iter();
            changes.rev().find(|row| row.is_of(&layer.tenant, &layer.layer))
        };
        let row = |layer: &NightsLayer| {
            let decision = last(layer);
            vec![
                Cell::Text(self.layer_name(&layer.tenant, &layer.layer)),
                decision.map_or(Cell::Text("-".into()), |of| {
                    Cell::Badge(of.verdict.name(), String::new())
                }),
                Cell::Number(decision.map_or_else(|| "-".into(), |of| of.next_ratio.to_string())),
                Cell::Text(change(layer).map_or_else(|| "-".into(), |row| self.when(row.operate_time))),
                Cell::Number(format!(
                    "{} / {}",
                    count(layer.n_exposed),
                    count(layer.n_eligible)
                )),
                Cell::Text(approver(change(layer))),
                Cell::Text(decision.map_or_else(|| "-".into(), |of| self.text(&of.why()))),
            ]
        };
        TextTable {
            caption: self.text(&say::layers()),
            header: vec![
                words.layer.to_owned(),
                words.verdict.to_owned(),
                self.text(&say::ratio_now()),
                self.text(&say::since()),
                self.text(&say::exposed_so_far()),
                self.text(&say::approved_by()),
                words.why.to_owned(),
            ],
            rows: self.ramp.layers.iter().map(row).collect(),
        }
    }

    /// The nights, the newest first: with a column a layer if there are few layers.
    pub(super) fn nights(self) -> TextTable {
        let words = self.lang.words();
        let columns: &[NightsLayer] = if self.ramp.layers.len() <= MAX_COLUMNS {
            &self.ramp.layers
        } else {
            &[]
        };
        let mut header = vec![self.text(&say::night()), words.gate.to_owned()];
        header.extend(
            columns
                .iter()
                .map(|layer| self.layer_name(&layer.tenant, &layer.layer)),
        );
        header.extend([
            self.text(&say::exposed_so_far()),
            self.text(&say::targets()),
            self.text(&say::notes()),
        ]);
        let row = |night: &Night| {
            let mut row = vec![
                Cell::Text(self.when(night.as_of)),
                Cell::Badge(night.gate.name(), String::new()),
            ];
            row.extend(columns.iter().map(|layer| {
                let mut of = night.decisions.iter();
                of.find(|of| of.tenant == layer.tenant && of.layer == layer.layer)
                    .map_or(Cell::Text("-".into()), |of| {
                        Cell::Badge(of.verdict.name(), of.next_ratio.to_string())
                    })
            }));
            row.extend([
                Cell::Number(count(night.n_exposed)),
                Cell::Text(self.targets(night)),
                Cell::Text(self.notes(night)),
            ]);
            row
        };
        TextTable {
            caption: self.text(&say::nights()),
            header,
            rows: self.ramp.nights.iter().rev().map(row).collect(),
        }
    }

    fn targets(self, night: &Night) -> String {
        let n_failed = night.failed_targets.len() as u64;
        self.text(&match (night.n_targets, n_failed) {
            (0, 0) => say::no_target(),
            (n, 0) => say::taken(Count(n)),
            (n, n_failed) => say::not_taken(Count(n_failed), Count(n + n_failed)),
        })
    }

    fn notes(self, night: &Night) -> String {
        let mut notes = Vec::new();
        if !night.accepted.is_empty() {
            notes.push(say::accepted(night.accepted.clone()));
        }
        if night.n_unsent > 0 {
            notes.push(say::messages_unsent(Count(night.n_unsent)));
        }
        if night.is_unfinished {
            notes.push(say::unfinished());
        }
        if night.first_failure.is_some() {
            notes.push(night.failure());
        }
        let notes: Vec<String> = notes.iter().map(|note| self.text(note)).collect();
        notes.join(if self.lang == Lang::En { "; " } else { "；" })
    }

    /// The decisions that changed a ratio, the newest first. `None` if there are none.
    pub(super) fn decisions(self) -> Option<TextTable> {
        let words = self.lang.words();
        let changes = |night: &'_ Night| -> Vec<Vec<Cell>> {
            let of = |decision: &NightDecision| {
                vec![
                    Cell::Text(self.when(night.as_of)),
                    Cell::Text(self.layer_name(&decision.tenant, &decision.layer)),
                    Cell::Badge(decision.verdict.name(), String::new()),
                    Cell::Number(format!("{} → {}", decision.ratio, decision.next_ratio)),
                    Cell::Text(self.text(&decision.why())),
                ]
            };
            let changed = night.decisions.iter().filter(|of| of.ratio != of.next_ratio);
            changed.map(of).collect()
        };
        let mut rows: Vec<Vec<Cell>> = self.ramp.nights.iter().rev().flat_map(changes).collect();
        rows.truncate(MAX_ROWS);
        (!rows.is_empty()).then(|| TextTable {
            caption: self.text(&say::decisions()),
            header: vec![
                self.text(&say::night()),
                words.layer.to_owned(),
                words.verdict.to_owned(),
                words.ratio.to_owned(),
                words.why.to_owned(),
            ],
            rows,
        })
    }

    /// The harm so far by layer and guardrail. `None` if nothing can be compared.
    pub(super) fn harm(self) -> Option<TextTable> {
        let words = self.lang.words();
        let amount = |harm: &HarmSoFar, value: f64| match harm.unit.as_str() {
            "USD" => Measured { value, unit: "USD" }.say(self.lang),
            _ => Number(value).say(self.lang),
        };
        let mut rows: Vec<(&HarmSoFar, Vec<Cell>)> = Vec::new();
        for layer in &self.ramp.layers {
            for harm in &layer.harms {
                let ends = [harm.interval.ci_lower, harm.interval.ci_upper].map(|end| amount(harm, end));
                let row = vec![
                    Cell::Text(self.layer_name(&layer.tenant, &layer.layer)),
                    Cell::Text(MetricName(&harm.metric).say(self.lang)),
                    Cell::Number(amount(harm, harm.extra)),
                    Cell::Number(format!("[{}, {}]", ends[0], ends[1])),
                    Cell::Number(count(harm.n_counted as u64)),
                    Cell::Number(count(harm.n_not_compared as u64)),
                ];
                rows.push((harm, row));
            }
        }
        // Harm that is shown comes first. The sort keeps the order of equal ones.
        rows.sort_by_key(|(harm, _)| !harm.is_shown());
        (!rows.is_empty()).then(|| TextTable {
            caption: self.text(&say::harm()),
            header: vec![
                words.layer.to_owned(),
                words.metric.to_owned(),
                self.text(&say::extra()),
                words.interval.to_owned(),
                self.text(&say::rows_compared()),
                self.text(&say::rows_not_compared()),
            ],
            rows: rows.into_iter().map(|(_, row)| row).collect(),
        })
    }

    /// All changes of ratios, the newest first. `None` if there are none.
    pub(super) fn changes(self) -> Option<TextTable> {
        let words = self.lang.words();
        let row = |row: &OperationRow| {
            let in_force = row.in_force();
            vec![
                Cell::Text(self.when(row.operate_time)),
                Cell::Text(in_force.map_or_else(|| words.not_in_force.to_owned(), |at| self.when(at))),
                Cell::Text(self.layer_name(&row.tenant, &row.layer)),
                Cell::Number(format!("{} → {}", row.old_value, row.new_value)),
                Cell::Text(row.operation_type.clone()),
                Cell::Text(row.operator.clone()),
                Cell::Text(approver(Some(row))),
            ]
        };
        let rows: Vec<Vec<Cell>> = self.ramp.changes.iter().rev().take(MAX_ROWS).map(row).collect();
        (!rows.is_empty()).then(|| TextTable {
            caption: self.text(&say::changes()),
            header: vec![
                words.decided_at.to_owned(),
                words.in_force_at.to_owned(),
                words.layer.to_owned(),
                words.change.to_owned(),
                words.kind.to_owned(),
                words.by.to_owned(),
                self.text(&say::approved_by()),
            ],
            rows,
        })
    }

    /// The row of this ramp in the history of several ramps.
    pub(super) fn history_row(self) -> Vec<Cell> {
        let highest = self.ramp.changes.iter().map(|row| row.new_value).max();
        let days = (self.ramp.as_of - self.ramp.start).max(0) as f64 / DAY as f64;
        let mut people: Vec<&str> = self
            .ramp
            .changes
            .iter()
            .filter_map(|row| row.approved_by.as_deref())
            .collect();
        people.sort_unstable();
        people.dedup();
        let people = if people.is_empty() {
            "-".to_owned()
        } else {
            people.join(", ")
        };
        vec![
            Cell::Text(self.ramp.candidate.clone()),
            Cell::Text(self.ramp.baseline.clone()),
            Cell::Text(self.status()),
            Cell::Text(self.when(self.ramp.start)),
            Cell::Number(Days(days).say(self.lang)),
            Cell::Number(highest.map_or_else(|| "-".into(), |ratio| ratio.to_string())),
            Cell::Number(count(self.ramp.changes.len() as u64)),
            Cell::Number(count(self.ramp.n_exposed())),
            Cell::Text(self.text(&self.worst())),
            Cell::Text(people),
        ]
    }
}

/// The header of [`View::history_row`].
pub(super) fn history_header(lang: Lang) -> Vec<String> {
    [
        say::candidate(),
        say::baseline(),
        say::status(),
        say::started(),
        say::days(),
        say::highest(),
        say::n_changes(),
        say::exposed_so_far(),
        say::harm(),
        say::approved_by(),
    ]
    .map(|text| text.of(lang).to_owned())
    .to_vec()
}

fn approver(row: Option<&OperationRow>) -> String {
    let by = row.and_then(|row| row.approved_by.clone());
    by.unwrap_or_else(|| "-".into())
}

impl Night {
    /// The first failure of the gate in every language. Empty without one.
    fn failure(&self) -> Text {
        Text {
            en: self.first_failure.clone().unwrap_or_default(),
            zh: self.first_failure_zh.clone(),
        }
    }
}
