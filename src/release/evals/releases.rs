//! The releases whose results a table has.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::release::evals::row::{AbsentRuns, EvalRow, EvalTable};

/// The results of one release.
#[derive(Debug, Clone)]
pub struct ReleaseRows<'a> {
    /// The name of the release.
    pub name: String,
    /// Its rows.
    pub rows: Vec<&'a EvalRow>,
    /// The runs that its logs announce and do not have.
    pub absent: Vec<&'a AbsentRuns>,
}

/// Divides a table by release: by the release ids of its rows, else by prompt and model, if there are
/// several. `label` names the release of rows that name none. The releases are sorted by name.
pub fn releases<'a>(table: &'a EvalTable, label: &str) -> Vec<ReleaseRows<'a>> {
    let naming = Naming::new(table);
    let name_of = |row: &EvalRow| naming.name_of(row).unwrap_or_else(|| label.to_owned());
    let names: BTreeSet<String> = table.rows.iter().map(name_of).collect();
    let mut found: Vec<ReleaseRows<'a>> = names
        .into_iter()
        .map(|name| ReleaseRows {
            name,
            rows: Vec::new(),
            absent: Vec::new(),
        })
        .collect();
    for row in &table.rows {
        let name = name_of(row);
        if let Ok(place) = found.binary_search_by(|release| release.name.cmp(&name)) {
            found[place].rows.push(row);
        }
    }
    for absent in &table.absent {
        let name = name_of(&absent.like);
        if let Ok(place) = found.binary_search_by(|release| release.name.cmp(&name)) {
            found[place].absent.push(absent);
        }
    }
    found
}

/// What names the release of a row.
enum Naming {
    Release,
    PromptAndModel,
    Prompt,
    Model,
    Nothing,
}

impl Naming {
    fn new(table: &EvalTable) -> Self {
        let n_of = |text: &dyn Fn(&EvalRow) -> Option<&Arc<str>>| {
            table.rows.iter().filter_map(text).collect::<BTreeSet<_>>().len()
        };
        let n_prompts = n_of(&|row| row.prompt.as_ref());
        let n_models = n_of(&|row| row.model.as_ref());
        if table.rows.iter().any(|row| row.release.is_some()) {
            Self::Release
        } else if n_prompts > 1 && n_models > 1 {
            Self::PromptAndModel
        } else if n_prompts > 1 {
            Self::Prompt
        } else if n_models > 1 {
            Self::Model
        } else {
            Self::Nothing
        }
    }

    fn name_of(&self, row: &EvalRow) -> Option<String> {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        match self {
            Self::Release => text(&row.release),
            Self::PromptAndModel => match (&row.prompt, &row.model) {
                (Some(prompt), Some(model)) => Some(format!("{prompt} / {model}")),
                (prompt, model) => text(prompt).or_else(|| text(model)),
            },
            Self::Prompt => text(&row.prompt),
            Self::Model => text(&row.model),
            Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_releases_before_prompts_and_models() {
        // Rows of release, prompt and model, with `-` for nothing.
        let check = |rows: &[[&str; 3]], expected: &[(&str, usize)]| {
            let text = |text: &str| Some(Arc::from(text)).filter(|_| text != "-");
            let rows = rows.iter().map(|[release, prompt, model]| EvalRow {
                release: text(release),
                prompt: text(prompt),
                model: text(model),
                ..EvalRow::default()
            });
            let table = EvalTable {
                rows: rows.collect(),
                absent: Vec::new(),
                sources: Vec::new(),
            };
            let found = releases(&table, "file");
            let found: Vec<(&str, usize)> = found
                .iter()
                .map(|release| (release.name.as_str(), release.rows.len()))
                .collect();
            assert_eq!(found, expected);
        };
        check(&[["-", "-", "-"], ["-", "p", "m"]], &[("file", 2)]);
        check(
            &[["a", "p", "m"], ["b", "q", "m"], ["a", "p", "m"]],
            &[("a", 2), ("b", 1)],
        );
        check(&[["a", "-", "-"], ["-", "-", "-"]], &[("a", 1), ("file", 1)]);
        check(&[["-", "p", "m"], ["-", "q", "m"]], &[("p", 1), ("q", 1)]);
        check(&[["-", "p", "m"], ["-", "p", "n"]], &[("m", 1), ("n", 1)]);
        check(
            &[["-", "p", "m"], ["-", "q", "n"], ["-", "p", "n"]],
            &[("p / m", 1), ("p / n", 1), ("q / n", 1)],
        );
    }
}
