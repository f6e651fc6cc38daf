//! The columns that layers depend on: a source of users must have them, or declare them absent.

use crate::base::advice;
use crate::base::error::{Error, Result};
use crate::base::similar::nearest;
use crate::input::{InputFile, Table, names_text};
use crate::scenario::{CONSENT, Consent, FEATURES, LayerMode, Layering, Plan};

/// The kind of a source of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserSource {
    /// One row a user, with the features as columns.
    Table,
    /// One row an event. Recency and frequency are counted, value is added up. The log has neither
    /// acceptance nor consent.
    Events,
}

/// Checks that a source has the features that layers depend on, or declares them absent. `is_joined`
/// names those that a joined table has. Returns warnings about columns whose absence places no user into another layer.
///
/// # Errors
/// Layers depend on the score, and a feature with a weight above 0 is missing. Or the source is an
/// event log, consent is opt-in, and consent is not declared absent.
pub fn check_required(
    table: &Table,
    kind: UserSource,
    layering: &Layering,
    plan: &Plan,
    is_joined: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let source = &table.source;
    let has = |name: &str| match (kind, name) {
        _ if is_joined(name) => true,
        (UserSource::Table, _) => table.has(name),
        (UserSource::Events, "last_use_time" | "use_count") => true,
        (UserSource::Events, "user_value") => table.has("value"),
        (UserSource::Events, _) => false,
    };
    let missing: Vec<&str> = FEATURES
        .into_iter()
        .zip(layering.weights)
        .filter(|(name, weight)| *weight > 0.0 && !has(name) && !source.absent.contains(*name))
        .map(|(name, _)| name)
        .collect();
    // An event log can never have acceptance, so its absence is a warning.
    let (known, mut refused): (Vec<&str>, Vec<&str>) = missing
        .into_iter()
        .partition(|name| !depends_on_score(layering, plan) || is_never(kind, name));
    let lacks_consent =
        layering.consent == Consent::OptIn && !has(CONSENT) && !source.absent.contains(CONSENT);
    if lacks_consent && kind == UserSource::Events {
        refused.push(CONSENT);
    }
    if !refused.is_empty() {
        return Err(missing_error(table, kind, &refused));
    }
    let path = source.name();
    let mut warnings = table.warnings();
    if !known.is_empty() {
        let section = match kind {
            UserSource::Table => "users",
            UserSource::Events => "events",
        };
        let why = match kind {
            UserSource::Events if depends_on_score(layering, plan) => "an event log does not have it",
            _ => "no layer depends on the score",
        };
        warnings.push(format!(
            "{path}: found no {}: unknown for every user ({why}); to declare this: {}",
            list(&known, "`"),
            declare_absent(section, &known)
        ));
    }
    if lacks_consent && kind == UserSource::Table {
        warnings.push(format!(
            "{path}: found no `{CONSENT}`, and consent is opt-in: no user is eligible; {}; or every user \
             may be served: {}",
            advice::rename(CONSENT),
            advice::key("layering.consent = \"opt_out\"").unwrap_or_default()
        ));
    }
    Ok(warnings)
}

/// Whether the score of a user can decide on the user's layer.
fn depends_on_score(layering: &Layering, plan: &Plan) -> bool {
    let n_before_last = plan.layers.len().saturating_sub(1);
    plan.layers
        .iter()
        .take(n_before_last)
        .any(|layer| match layering.mode {
            LayerMode::Threshold => layer.min_score.is_some(),
            LayerMode::Quota => layer.quota.is_some_and(|quota| quota > 0.0),
        })
}

/// Whether a kind of source never has a feature.
fn is_never(kind: UserSource, name: &str) -> bool {
    kind == UserSource::Events && name == "accept_score"
}

fn list(names: &[&str], quote: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{quote}{name}{quote}")).collect();
    quoted.join(", ")
}

fn missing_error(table: &Table, kind: UserSource, missing: &[&str]) -> Error {
    let (section, columns): (_, Vec<&str>) = match kind {
        UserSource::Table => ("users", missing.to_vec()),
        // Features of an event log have another name in the log.
        UserSource::Events => (
            "events",
            missing
                .iter()
                .map(|name| if *name == "user_value" { "value" } else { name })
                .collect(),
        ),
    };
    let mut found: Vec<String> = Vec::new();
    for name in table.files.iter().flat_map(InputFile::names) {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    let near = columns.iter().find_map(|name| {
        let near = nearest(name, found.iter().map(String::as_str))?;
        Some(format!("did you mean `{near}` for `{name}`? "))
    });
    let first = columns[0];
    let mut ways = vec![advice::rename(first)];
    if kind == UserSource::Events && missing.contains(&CONSENT) {
        let way = advice::key("layering.consent = \"opt_out\"").unwrap_or_default();
        let only = format!("consent is no column of an event log; if every user may be served: {way}");
        if missing.len() == 1 {
            ways = vec![only]
        } else {
            ways.push(only)
        }
    }
    Error::in_file(
        &table.source.path,
        format!(
            "expected the columns {}, on which layers or eligibility depend, found {}",
            list(&columns, "`"),
            names_text(&found)
        ),
    )
    .hint(format!(
        "{}{}; not known for any user: {}",
        near.unwrap_or_default(),
        ways.join("; "),
        declare_absent(section, missing)
    ))
}

/// How to declare that no user has some features.
fn declare_absent(section: &str, names: &[&str]) -> String {
    let key = format!("input.{section}.absent = [{}]", list(names, "\""));
    advice::either(&key, &format!("--absent {}", names.join(","))).unwrap_or_default()
}
