//! Checks of sources whose files are traces.

use std::collections::BTreeMap;
use std::path::Path;

use crate::scenario::check_input::placed;
use crate::scenario::checker::Checker;
use crate::scenario::raw_score::RawScore;
use crate::scenario::raw_source::RawSource;
use crate::scenario::traces::{TraceFormat, TraceSource, TurnUnit};

impl Checker {
    /// How the files of a source are read as traces. `None` for files with a row a turn.
    pub(super) fn traces(
        &mut self,
        location: &str,
        raw: &mut RawSource,
        folder: &Path,
    ) -> Option<TraceSource> {
        let at = |key: &str| format!("{location}.{key}");
        let (scores, turns, prices) = (
            std::mem::take(&mut raw.scores),
            raw.turns.take(),
            raw.prices.take(),
        );
        let Some(format) = raw.format.take() else {
            let given = [
                ("scores", !scores.is_empty()),
                ("turns", turns.is_some()),
                ("prices", prices.is_some()),
            ];
            for (key, _) in given.iter().filter(|(_, is_given)| *is_given) {
                let message = "expected `format` beside it, because it is for traces, found none";
                self.problem(at(key), message);
            }
            return None;
        };
        for (key, is_given) in [
            ("delimiter", raw.delimiter.is_some()),
            ("quote", raw.quote.is_some()),
        ] {
            if is_given {
                self.problem(at(key), "expected no signs of text files for traces, found one");
            }
        }
        let columns: BTreeMap<String, String> = raw
            .columns
            .iter()
            .map(|(name, column)| (name.clone(), column.name.clone()))
            .collect();
        for column in columns.keys() {
            if let Err(message) = TraceSource::check_column(column) {
                self.problem(at(&format!("columns.{column}")), message);
            }
        }
        let mut rules = BTreeMap::new();
        for (column, RawScore(rule)) in scores {
            let key = at(&format!("scores.{column}"));
            self.refuse_sensitive(&key, &column);
            match TraceSource::check_score(&column, &columns) {
                Ok(()) => _ = rules.insert(column, rule),
                Err(message) => self.problem(key, message),
            }
        }
        let prices = prices.map(|path| self.text(&at("prices"), Some(path), "a table of prices"));
        Some(TraceSource {
            format: self.choice(&at("format"), Some(&format), &TraceFormat::ALL),
            scores: rules,
            turns: self.choice(&at("turns"), turns.as_deref(), &TurnUnit::ALL),
            prices: prices.map(|path| placed(path, folder)),
            key: location.to_owned(),
        })
    }
}
