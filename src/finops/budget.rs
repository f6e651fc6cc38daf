//! Budgets, and the days on which they were exceeded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Problem, Result};
use crate::base::limits::{Limit, read_limited};
use crate::base::schema::document_schema;
use crate::base::time;
use crate::base::time::Zone;
use crate::finops::key::By;
use crate::finops::money::overflow;
use crate::metric::{ColumnKind, MAX_UNITS};
use crate::prices::model_name;
use crate::release::UNKNOWN;
use crate::stats::{Known, Reason};

/// Period of a budget. Each period starts at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// A day in the zone of `time_zone`.
    Day,
    /// A calendar month in the zone of `time_zone`.
    Month,
    /// The whole log.
    Total,
}

/// The rows that a budget pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Rows that a user saw.
    #[default]
    UserFacing,
    /// All rows, those of shadow answers and evaluations, too.
    All,
}

/// A budget: a limit on the cost of the rows that match its filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Display name. By default it is made from the filters.
    pub name: String,
    /// Name of the tenant whose rows count. `None` for all tenants.
    pub tenant: Option<String>,
    /// Name of the feature whose rows count. `None` for all features.
    pub feature: Option<String>,
    /// Id of the release whose rows count. `None` for all releases.
    pub release: Option<String>,
    /// Model whose rows count, by its reference or its name. `None` for all models.
    pub model: Option<String>,
    /// Limit per period, nano-USD.
    pub limit_nano_usd: i64,
    /// Period of the limit: a day, a month, or the whole log.
    pub per: Per,
    /// Rows that the budget covers: those that a user saw, or all rows.
    pub rows: Scope,
    /// Zone of the budget's days and months. UTC by default.
    #[serde(skip_serializing_if = "Zone::is_utc")]
    pub time_zone: Zone,
}

/// The properties of a row that budgets filter by. `None` for one that the log does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spender<'a> {
    pub(super) tenant: &'a str,
    pub(super) feature: Option<&'a str>,
    pub(super) release: Option<&'a str>,
    pub(super) model: Option<&'a str>,
}

/// Whether a budget covers rows, from yes to no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It covers them.
    Pays,
    /// It may cover them: the log does not say a key that it filters by.
    Unknown,
    /// It does not cover them.
    Other,
}

/// The sums of a budget.
#[derive(Debug, Clone, Default)]
pub(super) struct BudgetSums {
    /// Costs by day, in days since 1970-01-01.
    pub(super) days: BTreeMap<i64, Day>,
    /// Number of rows that the budget may cover.
    pub(super) n_key_unknown: u64,
}

/// Budgets of `sluice finops`, as one TOML file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["budget"]))]
struct RawBudgets {
    /// Time zone of days and months, and of `--from` and `--until` without an offset: a name of the
    /// IANA database.
    #[schemars(extend("default" = "UTC"), example = &"Asia/Shanghai")]
    time_zone: Option<String>,
    /// Budgets. A row counts in all of those that it fits.
    #[schemars(length(min = 1))]
    budget: Vec<RawBudget>,
}

/// A budget, and the rows that it pays for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["usd", "per"]))]
struct RawBudget {
    /// Name that reports show.
    #[schemars(extend("x-default" = "what the budget is for"), example = &"Agents in May")]
    name: Option<String>,
    /// Tenant whose rows it pays for.
    #[schemars(extend("x-default" = "all tenants"), example = &"shop")]
    tenant: Option<String>,
    /// Feature whose rows it pays for.
    #[schemars(extend("x-default" = "all features"), example = &"refunds")]
    feature: Option<String>,
    /// Release whose rows it pays for.
    #[schemars(extend("x-default" = "all releases"), example = &"cs-agent-2026.05")]
    release: Option<String>,
    /// Model whose rows it pays for: its reference or its name.
    #[schemars(extend("x-default" = "all models"), example = &"gpt-4o-mini")]
    model: Option<String>,
    /// Limit of the period's cost.
    #[schemars(range(min = 0, max = MAX_USD), extend("x-unit" = "USD"), example = 1_000)]
    usd: Option<f64>,
    /// Period of the budget. Each period starts at 0.
    #[schemars(example = &"month")]
    per: Option<Per>,
    /// Rows that it pays for.
    #[schemars(example = &"all")]
    rows: Scope,
}

/// Largest limit, USD, that is exact in nano-USD.
const MAX_USD: f64 = MAX_UNITS / 1e9;

impl Budget {
    /// The JSON Schema of a file of budgets: every key with its meaning, type, range, words, unit
    /// and default.
    pub fn schema() -> Value {
        document_schema::<RawBudgets>("urn:sluice:budgets:1", "Budgets")
    }

    /// Reads `[[budget]]` from a TOML file.
    ///
    /// # Errors
    /// The file cannot be read, there is no budget in it, or a budget is wrong. All wrong budgets
    /// are reported, with their locations.
    pub fn read_all(path: &Path) -> Result<Vec<Self>> {
        let bytes = read_limited(path, Limit::Toml)?;
        Self::parse_all(&path.display().to_string(), &bytes)
    }

    /// Parses budgets from the bytes of a TOML file. `location` names the file in errors.
    ///
    /// # Errors
    /// The same as for [`Self::read_all`], except for reading.
    pub fn parse_all(location: &str, bytes: &[u8]) -> Result<Vec<Self>> {
        let (mut budgets, mut problems) = (Vec::new(), Vec::new());
        let raw: RawBudgets = crate::base::toml_file::parse_toml(location, bytes, &mut problems);
        if raw.budget.is_empty() && problems.is_empty() {
            problems.push(Problem::new(
                location,
                "expected at least one [[budget]], found none",
            ));
        }
        let zone = Zone::read(
            format!("{location}: time_zone"),
            raw.time_zone.as_deref(),
            &mut problems,
        );
        for (idx, budget) in raw.budget.into_iter().enumerate() {
            let at = |key: &str| format!("{location}: budget[{}].{key}", idx + 1);
            let limit = match budget.usd.map(|usd| (usd, ColumnKind::Usd.quantize(usd, 0.0))) {
                None => Err("expected USD, found nothing".to_owned()),
                Some((usd, Err(expected))) => Err(format!("expected USD, {expected}, found {usd}")),
                Some((_, Ok(nano))) => Ok(nano),
            };
            let limit_nano_usd = limit.unwrap_or_else(|message| {
                problems.push(Problem::new(at("usd"), message));
                0
            });
            let per = budget.per.unwrap_or_else(|| {
                problems.push(Problem::new(
                    at("per"),
                    "expected day, month or total, found nothing",
                ));
                Per::Total
            });
            let filters = [
                ("tenant", &budget.tenant),
                ("feature", &budget.feature),
                ("release", &budget.release),
                ("model", &budget.model),
            ];
            let named: Vec<String> = filters
                .iter()
                .filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)))
                .collect();
            let what = if named.is_empty() {
                "everything".to_owned()
            } else {
                named.join(", ")
            };
            budgets.push(Self {
                name: budget.name.unwrap_or(what),
                tenant: budget.tenant,
                feature: budget.feature,
                release: budget.release,
                model: budget.model,
                limit_nano_usd,
                per,
                rows: budget.rows,
                time_zone: zone.clone(),
            });
        }
        crate::base::toml_file::ok_or_problems(budgets, problems)
    }

    /// Whether the budget covers rows of this spender.
    pub(super) fn fit(&self, spender: Spender<'_>) -> Fit {
        let filters = [
            (&self.tenant, Some(spender.tenant)),
            (&self.feature, spender.feature),
            (&self.release, spender.release),
        ];
        let fits = filters.map(|(wanted, found)| fit(wanted.as_deref(), &[found]));
        let names = [spender.model, spender.model.map(model_name)];
        let of_model = fit(self.model.as_deref(), &names);
        fits.into_iter().fold(of_model, Fit::max)
    }

    /// The keys that the budget filters by. A filter with the word of rows without the key
    /// (`default` for tenants, `unknown` for others) needs no value in the log and is left out.
    pub fn keys(&self) -> impl Iterator<Item = By> {
        let filters = [
            (By::Tenant, &self.tenant),
            (By::Feature, &self.feature),
            (By::Release, &self.release),
            (By::Model, &self.model),
        ];
        let keys = filters.map(|(by, wanted)| {
            let is_filter = wanted.as_ref().is_some_and(|wanted| wanted != by.without_value());
            is_filter.then_some(by)
        });
        keys.into_iter().flatten()
    }
}

/// Whether a filter fits one of the names of a row. Names that the log does not say are `None`.
fn fit(wanted: Option<&str>, names: &[Option<&str>]) -> Fit {
    let Some(wanted) = wanted else {
        return Fit::Pays;
    };
    let is = |name: &Option<&str>| name.unwrap_or(UNKNOWN) == wanted;
    if names.iter().any(is) {
        Fit::Pays
    } else if names.contains(&None) {
        Fit::Unknown
    } else {
        Fit::Other
    }
}

/// The cost of a day, and the number of rows whose cost is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) nano_usd: i64,
    pub(super) n_unknown: u64,
}

impl Day {
    pub(super) fn add(&mut self, cost: Option<i64>) -> Result<()> {
        match cost {
            Some(cost) => {
                self.nano_usd = self
                    .nano_usd
                    .checked_add(cost)
                    .ok_or_else(|| overflow("a day's cost"))?
            }
            None => self.n_unknown += 1,
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        self.n_unknown += other.n_unknown;
        self.add(Some(other.nano_usd))
    }
}

/// A period in which a budget was exceeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The day (`2026-05-28`), the month (`2026-05`), or `total`.
    pub period: String,
    /// The first day at whose end the period's cost was above the limit.
    pub first_day: String,
    /// Cost of the whole period, nano-USD.
    pub spent_nano_usd: i64,
    /// Cost above the limit, nano-USD.
    pub over_nano_usd: i64,
    /// Number of rows of the period whose cost is not known. They are not part of the cost.
    pub n_cost_unknown: u64,
}

/// A budget with its spending and its breaches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetUse {
    /// The budget, as its file defines it.
    #[serde(flatten)]
    pub budget: Budget,
    /// Cost of all rows that the budget covers, nano-USD. Not known if no row of the log has a
    /// value of a key that the budget filters by.
    pub spent_nano_usd: Known<i64>,
    /// Number of rows that the budget covers and whose cost is not known.
    pub n_cost_unknown: u64,
    /// Number of rows that the budget may cover: they lack a value of a key that it filters by.
    pub n_key_unknown: u64,
    /// Periods in which the budget was exceeded, in time order.
    pub breaches: Vec<Breach>,
}

/// Computes the use of a budget from its sums. `unknown` is the reason why the log does not say
/// which rows the budget covers.
pub(super) fn judge(budget: &Budget, sums: &BudgetSums, unknown: Option<Reason>) -> Result<BudgetUse> {
    let mut total = Day::default();
    // Each period: its name, its cost so far, and the first day above the limit.
    let mut periods: Vec<(String, Day, Option<String>)> = Vec::new();
    for (day, cost) in &sums.days {
        total.merge(*cost)?;
        let date = time::format_day(*day);
        let period = match budget.per {
            Per::Day => date.clone(),
            Per::Month => date
                .rsplit_once('-')
                .map_or_else(|| date.clone(), |(month, _)| month.to_owned()),
            Per::Total => "total".to_owned(),
        };
        if periods.last().is_none_or(|(open, ..)| *open != period) {
            periods.push((period, Day::default(), None));
        }
        if let Some((_, spent, first)) = periods.last_mut() {
            spent.merge(*cost)?;
            if spent.nano_usd > budget.limit_nano_usd && first.is_none() {
                *first = Some(date);
            }
        }
    }
    let breach = |(period, spent, first): (String, Day, Option<String>)| {
        Some(Breach {
            period,
            first_day: first?,
            spent_nano_usd: spent.nano_usd,
            over_nano_usd: spent.nano_usd - budget.limit_nano_usd,
            n_cost_unknown: spent.n_unknown,
        })
    };
    Ok(BudgetUse {
        budget: budget.clone(),
        spent_nano_usd: unknown.map_or(Ok(total.nano_usd), Err).into(),
        n_cost_unknown: total.n_unknown,
        n_key_unknown: sums.n_key_unknown,
        breaches: periods.into_iter().filter_map(breach).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(costs: &[(&str, i64)]) -> BudgetSums {
        let days = costs
            .iter()
            .map(|(date, nano_usd)| {
                (
                    Zone::UTC.day(time::parse(date).unwrap()),
                    Day {
                        nano_usd: *nano_usd,
                        n_unknown: 1,
                    },
                )
            })
            .collect();
        BudgetSums {
            days,
            n_key_unknown: 0,
        }
    }

    #[test]
    fn a_breach_has_its_first_day_and_a_month_begins_anew() {
        let costs = sums(&[
            ("2026-05-30", 60),
            ("2026-05-31", 50),
            ("2026-06-01", 100),
            ("2026-06-02", 1),
            ("2026-06-03", 5),
        ]);
        let check = |per, limit: i64, expected: &[(&str, &str, i64)]| {
            let toml = "[[budget]]\nusd = 1\nper = 'day'";
            let budget = Budget {
                per,
                limit_nano_usd: limit,
                ..Budget::parse_all("b", toml.as_bytes()).unwrap().remove(0)
            };
            let found = judge(&budget, &costs, None).unwrap();
            assert_eq!(found.spent_nano_usd, Known::Value(216));
            let found: Vec<_> = found
                .breaches
                .iter()
                .map(|b| (b.period.as_str(), b.first_day.as_str(), b.over_nano_usd))
                .collect();
            assert_eq!(found, expected, "{per:?} {limit}");
        };
        check(Per::Day, 60, &[("2026-06-01", "2026-06-01", 40)]);
        check(
            Per::Month,
            100,
            &[("2026-05", "2026-05-31", 10), ("2026-06", "2026-06-02", 6)],
        );
        // A cost equal to the limit does not exceed it.
        check(Per::Month, 110, &[]);
        check(Per::Total, 100, &[("total", "2026-05-31", 116)]);
    }

    #[test]
    fn budgets_that_are_none_are_refused_together() {
        let toml = "[[budget]]\nusd = -1\nper = 'day'\n[[budget]]\nusd = nan\n[[budget]]\ntenant = 'a'\nper = 'total'";
        let error = Budget::parse_all("b", toml.as_bytes()).unwrap_err().to_string();
        for part in ["budget[1].usd", "budget[2].usd", "budget[2].per", "budget[3].usd"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        for wrong in [
            "",
            "[[budget]]\nusd = 1\nper = 'week'",
            "[[budget]]\nusd = 1\nper = 'day'\ntenent = 'a'",
            "\u{0}",
        ] {
            assert!(Budget::parse_all("b", wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_model_is_named_by_reference_or_name() {
        let budget = &Budget::parse_all(
            "b",
            b"[[budget]]\nusd = 1\nper = 'day'\nmodel = 'gpt-4o'\ntenant = 'a'",
        )
        .unwrap()[0];
        let check = |tenant, model, expected| {
            let spender = Spender {
                tenant,
                feature: None,
                release: None,
                model,
            };
            assert_eq!(budget.fit(spender), expected, "{spender:?}");
        };
        check("a", Some("litellm:smart=gpt-4o"), Fit::Pays);
        check("a", Some("gpt-4o"), Fit::Pays);
        check("b", Some("gpt-4o"), Fit::Other);
        check("a", Some("gpt-4o-mini"), Fit::Other);
        // A row without a model may be one of this model, but only of the tenant.
        check("a", None, Fit::Unknown);
        check("b", None, Fit::Other);
        assert_eq!(budget.keys().collect::<Vec<_>>(), [By::Tenant, By::Model]);
    }

    #[test]
    fn the_word_unknown_pays_for_rows_without_the_key() {
        let toml = b"[[budget]]\nusd = 1\nper = 'day'\nrelease = 'unknown'";
        let budget = &Budget::parse_all("b", toml).unwrap()[0];
        let fit = |release| {
            budget.fit(Spender {
                tenant: "a",
                feature: None,
                release,
                model: None,
            })
        };
        assert_eq!((fit(None), fit(Some("r1"))), (Fit::Pays, Fit::Other));
        assert_eq!(budget.keys().count(), 0);
    }
}
