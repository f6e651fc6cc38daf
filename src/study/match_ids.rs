//! Ids of users that are written in another way in the log than in the table of users.

use std::collections::HashSet;

use crate::base::error::Result;
use crate::base::hash::hash_id;
use crate::init::{How, Role, sql_name};
use crate::input::{Table, convert};
use crate::study::proposal::Source;

/// The most ids of a log that are looked up.
const MAX_IDS: usize = 20_000;
/// Share of known users below which other ways of writing are tried.
const FEW: f64 = 0.5;
/// How much more users another way of writing must find.
const GAIN: f64 = 0.3;

/// A way of writing that makes ids alike: its words, its expression, and its effect on an id.
struct Form {
    why: &'static str,
    sql: fn(&str) -> String,
    apply: fn(&str) -> String,
}

const FORMS: [Form; 3] = [
    Form {
        why: "in lower case without blanks",
        sql: |name| format!("lower(trim({name}))"),
        apply: |id| id.trim().to_lowercase(),
    },
    Form {
        why: "without .0 at the end",
        sql: |name| format!("regexp_replace({name}, '[.]0+$', '')"),
        apply: without_zeros,
    },
    Form {
        why: "without zeros in front",
        sql: |name| format!("ltrim({name}, '0')"),
        apply: |id| id.trim_start_matches('0').to_owned(),
    },
];

fn without_zeros(id: &str) -> String {
    match id.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole.to_owned(),
        _ => id.to_owned(),
    }
}

/// Makes the ids of users alike in all sources, where an expression finds many more users.
///
/// # Errors
/// A source cannot be read.
pub(super) fn match_ids(sources: &mut [Source]) -> Result<()> {
    let is_users = |source: &&Source| source.draft.role != Role::Traffic;
    let Some((users, column)) = sources
        .iter()
        .find(is_users)
        .and_then(|source| Some((source, plain(source)?)))
    else {
        return Ok(());
    };
    let known = ids(&users.table, &column, usize::MAX)?;
    let mut logged = Vec::new();
    for source in sources.iter().filter(|source| source.draft.role == Role::Traffic) {
        let Some(column) = plain(source) else {
            return Ok(());
        };
        logged.extend(ids(&source.table, &column, MAX_IDS)?);
    }
    if logged.is_empty() {
        return Ok(());
    }
    let share = |apply: fn(&str) -> String| {
        let known: HashSet<u64> = known.iter().map(|id| hash_id(apply(id).as_bytes())).collect();
        let n = logged
            .iter()
            .filter(|id| known.contains(&hash_id(apply(id).as_bytes())))
            .count();
        n as f64 / logged.len() as f64
    };
    let as_they_are = share(str::to_owned);
    if as_they_are >= FEW {
        return Ok(());
    }
    let found = FORMS.iter().map(|form| (share(form.apply), form));
    let best = found.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let Some((share, form)) = best.filter(|(share, _)| *share >= as_they_are + GAIN) else {
        return Ok(());
    };
    for source in sources.iter_mut() {
        let guesses = &mut source.draft.guesses.used;
        for guess in guesses.iter_mut().filter(|guess| guess.column == "user_id") {
            guess.how = How::Derive((form.sql)(&sql_name(&guess.file_column)));
            guess.why = format!(
                "{}; {:.0}% of the rows of the log name a known user {}, {:.0}% as the ids are",
                guess.why,
                100.0 * share,
                form.why,
                100.0 * as_they_are
            );
        }
    }
    Ok(())
}

/// The column of ids of a source that is read as it is.
fn plain(source: &Source) -> Option<String> {
    let guess = source.draft.guesses.get("user_id")?;
    matches!(guess.how, How::Plain).then(|| guess.file_column.clone())
}

/// The ids of a column, at most `most` of them.
fn ids(table: &Table, column: &str, most: usize) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for part in &table.parts {
        if ids.len() >= most {
            break;
        }
        table.read(*part, &[column], &mut |batch| {
            if let Some(texts) = convert::text(&batch, 0)? {
                let left = most - ids.len().min(most);
                ids.extend(texts.iter().flatten().take(left).map(str::to_owned));
            }
            Ok(())
        })?;
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_make_ids_alike() {
        let check =
            |idx: usize, a: &str, b: &str| assert_eq!((FORMS[idx].apply)(a), (FORMS[idx].apply)(b), "{a}");
        check(0, " Ann@Shop.example", "ann@shop.EXAMPLE ");
        check(1, "792.0", "792");
        check(1, "7.5", "7.5");
        check(2, "00792", "792");
    }
}
