//! The text of a proposed scenario.

use crate::base::time;
use crate::init::draft::{Draft, DraftLayer, DraftSource};
use crate::init::fit::How;
use crate::init::guess::{Guess, Role};
use crate::init::toml_text::{comment, comment_lines, number, string};
use crate::metric::Better;

/// Writes a draft as TOML with comments.
pub(crate) fn write(draft: &Draft) -> String {
    let mut text = String::new();
    for line in &draft.header {
        text.push_str(&comment_lines(line));
    }
    text.push_str(&missing(draft));
    text.push('\n');
    push(
        &mut text,
        &format!("as_of = {}", instant(draft.as_of.0)),
        &draft.as_of.1,
    );
    if let Some((zone, why)) = &draft.time_zone {
        push(&mut text, &format!("time_zone = {}", string(zone)), why);
    }
    if !draft.traffic.is_empty() && draft.guardrails.is_empty() {
        push(
            &mut text,
            "guardrail = []",
            "no column of the log is an outcome that a guardrail could watch",
        );
    }
    text.push_str(&plan(draft));
    text.push_str(&input(draft));
    if !draft.layering.is_empty() {
        text.push_str("\n[layering]\n");
        for (key, value, why) in &draft.layering {
            push(&mut text, &format!("{key} = {value}"), why);
        }
    }
    if let Some((bound, why)) = &draft.guard {
        text.push_str("\n[guard]\n");
        push(&mut text, &format!("min_coverage = {}", number(*bound)), why);
    }
    for layer in &draft.layers {
        text.push_str(&self::layer(layer));
    }
    for operation in &draft.operations {
        text.push_str("\n[[operation]]\n");
        push(&mut text, &format!("at = {}", instant(operation.at)), "");
        push(&mut text, &format!("layer = {}", string(operation.layer)), "");
        push(
            &mut text,
            &format!("ratio = {}", number(operation.ratio)),
            &operation.why,
        );
    }
    text.push_str(&metrics(draft));
    text
}

/// The widest line of a key with its comment behind it, characters.
const WIDTH: usize = 100;

/// Appends a line with a comment behind it, or before it if the line would be long.
fn push(text: &mut String, line: &str, why: &str) {
    if why.is_empty() {
        text.push_str(line);
    } else {
        let behind = format!("{line}  # {}", comment(why));
        if console::measure_text_width(&behind) <= WIDTH {
            text.push_str(&behind);
        } else {
            text.push_str(&comment_lines(why));
            text.push_str(line);
        }
    }
    text.push('\n');
}

fn instant(at: time::Micros) -> String {
    string(&time::format(at))
}

fn missing(draft: &Draft) -> String {
    let mut text = String::new();
    if !draft.findings.is_empty() {
        text.push_str("#\n# A rehearsal of this scenario found:\n");
        for finding in &draft.findings {
            text.push_str(&comment_lines(&format!("- {finding}")));
        }
    }
    if !draft.missing.is_empty() {
        text.push_str("#\n# Missing, and what it costs:\n");
        for missing in &draft.missing {
            text.push_str(&comment_lines(&format!("- {}: {}", missing.what, missing.cost)));
        }
    }
    text
}

fn plan(draft: &Draft) -> String {
    let plan = &draft.plan;
    let mut text = String::from("\n[plan]\n");
    push(&mut text, &format!("id = {}", string(&plan.id)), "");
    push(
        &mut text,
        &format!("start = {}", instant(plan.start.0)),
        &plan.start.1,
    );
    for why in &plan.why {
        text.push_str(&comment_lines(why));
    }
    push(&mut text, &format!("baseline = {}", string(&plan.baseline)), "");
    push(&mut text, &format!("candidate = {}", string(&plan.candidate)), "");
    if !draft.traffic.is_empty() {
        let why = "production placed the users; a profile of a flag system lets Sluice check the placement";
        push(&mut text, "profile = \"external\"", why);
    }
    text
}

fn input(draft: &Draft) -> String {
    let mut keys = String::new();
    if draft.users.is_none() {
        push(
            &mut keys,
            "users_from_traffic = true",
            "the users are those of the log, without features",
        );
    }
    if let Some(why) = &draft.drop_bad_rows {
        push(&mut keys, "on_bad_row = \"drop\"", why);
    }
    if let Some(why) = &draft.keep_first_user {
        push(&mut keys, "on_duplicate_user = \"keep_first\"", why);
    }
    let mut text = if keys.is_empty() {
        String::new()
    } else {
        format!("\n[input]\n{keys}")
    };
    for source in draft.users.iter().chain(&draft.traffic) {
        text.push_str(&self::source(draft, source));
    }
    text
}

fn source(draft: &Draft, source: &DraftSource) -> String {
    let table = match source.role {
        Role::Users => "input.users",
        Role::Events => "input.events",
        Role::Traffic => "input.traffic",
    };
    let mut text = match source.role {
        Role::Traffic => format!("\n[[{table}]]\n"),
        _ => format!("\n[{table}]\n"),
    };
    push(&mut text, &format!("path = {}", string(&source.path)), "");
    text.push_str(&traces(source));
    if source.role != Role::Traffic && !draft.absent.is_empty() {
        let names: Vec<String> = draft.absent.iter().map(|name| string(name)).collect();
        push(
            &mut text,
            &format!("absent = [{}]", names.join(", ")),
            "not in the files: unknown for every user",
        );
    }
    // The turns of traces have the names of Sluice already.
    let guesses = source.guesses.used.iter().filter(|_| source.traces.is_none());
    let (derived, columns): (Vec<&Guess>, Vec<&Guess>) =
        guesses.partition(|guess| matches!(guess.how, How::Derive(_)));
    if source.traces.is_none() {
        text.push_str(&format!("[{table}.columns]\n"));
    }
    for guess in columns {
        push(&mut text, &column(guess), &reason(guess));
    }
    for own in source.own_columns.iter().filter(|own| own.sql.is_none()) {
        push(
            &mut text,
            &format!("{} = {}", own.name, string(&own.file_column)),
            OF_OWN_METRIC,
        );
    }
    text.push_str(&comments(draft, source, table));
    if !source.constants.is_empty() {
        text.push_str(&format!("[{table}.constants]\n"));
        for (name, value, why) in &source.constants {
            push(&mut text, &format!("{name} = {}", string(value)), why);
        }
    }
    let own: Vec<(&str, &str)> = source
        .own_columns
        .iter()
        .filter_map(|own| Some((own.name.as_str(), own.sql.as_deref()?)))
        .collect();
    if !derived.is_empty() || !own.is_empty() {
        let (mark, head) = if draft.has_derive {
            ("", "")
        } else {
            ("# ", "# Left out, because they need expressions:\n")
        };
        text.push_str(&format!("{head}{mark}[{table}.derive]\n"));
        for guess in derived {
            push(&mut text, &format!("{mark}{}", column(guess)), &reason(guess));
        }
        for (name, sql) in own {
            push(
                &mut text,
                &format!("{mark}{name} = {}", string(sql)),
                OF_OWN_METRIC,
            );
        }
    }
    text
}

/// The keys of a source of traces.
fn traces(source: &DraftSource) -> String {
    let Some(kinds) = &source.traces else {
        return String::new();
    };
    let mut text = String::new();
    push(
        &mut text,
        "format = \"auto\"",
        &format!("traces: {kinds}; one row a turn"),
    );
    if !source.scores.is_empty() {
        let scores = source.scores.iter().take(10).map(|score| string(score));
        let scores: Vec<String> = scores.collect();
        let what = format!(
            "Scores in the files, for `scores = {{ bad = \"SCORE\" }}`: {}",
            scores.join(", ")
        );
        text.push_str(&comment_lines(&what));
    }
    text
}

/// The comment of a column that a metric of the scenario reads.
const OF_OWN_METRIC: &str = "for the scenario's own metric";

/// The line of a column.
fn column(guess: &Guess) -> String {
    let (name, file_column) = (guess.column, string(&guess.file_column));
    match &guess.how {
        How::Plain => format!("{name} = {file_column}"),
        How::Unit(unit) => format!("{name} = {{ column = {file_column}, unit = \"{unit}\" }}"),
        How::Derive(sql) => format!("{name} = {}", string(sql)),
        How::Currency(currency) => {
            format!("{name} = {{ column = {file_column}, unit = \"{currency}\", rate = USD_IN_ONE_UNIT }}")
        }
    }
}

fn reason(guess: &Guess) -> String {
    let from = match &guess.how {
        How::Derive(_) => format!("from `{}`, ", guess.file_column),
        _ => String::new(),
    };
    if guess.is_certain() {
        format!("{from}{}", guess.why)
    } else {
        format!("guess: {from}{}", guess.why)
    }
}

/// The largest number of unused columns that a comment lists.
const MAX_UNUSED: usize = 30;

/// Alternatives, sensitive and unused columns.
fn comments(draft: &Draft, source: &DraftSource, table: &str) -> String {
    let mut text = String::new();
    if source.traces.is_some() {
        // The columns are those that the importer makes, and not names in the files.
        return text;
    }
    let guesses = &source.guesses;
    for guess in &guesses.alternatives {
        let place = match guess.how {
            How::Derive(_) if draft.has_derive => format!(" (in [{table}.derive])"),
            _ => String::new(),
        };
        text.push_str(&format!(
            "# or: {}\n",
            comment(&format!("{}{place}  # {}", column(guess), guess.why))
        ));
    }
    for (name, word) in &guesses.sensitive {
        text.push_str(&comment_lines(&format!(
            "Not used: {}, a sensitive attribute ({word})",
            string(name)
        )));
    }
    if !guesses.nested.is_empty() {
        text.push_str(&comment_lines(&format!(
            "Not read, lists or objects: {}",
            list(&guesses.nested)
        )));
    }
    let unused: Vec<String> = guesses
        .unused
        .iter()
        .filter(|name| !source.own_columns.iter().any(|own| own.file_column == **name))
        .cloned()
        .collect();
    if !unused.is_empty() {
        text.push_str(&comment_lines(&format!("Not used: {}", list(&unused))));
    }
    text
}

fn list(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(MAX_UNUSED).map(|name| string(name)).collect();
    if names.len() > MAX_UNUSED {
        shown.push(format!("and {} more", names.len() - MAX_UNUSED));
    }
    shown.join(", ")
}

fn layer(layer: &DraftLayer) -> String {
    let mut text = String::from("\n[[layer]]\n");
    for note in &layer.notes {
        text.push_str(&comment_lines(note));
    }
    push(&mut text, &format!("id = {}", string(layer.id)), "");
    if let Some(quota) = layer.quota {
        push(
            &mut text,
            &format!("quota = {}", number(quota)),
            "share of the users, highest scores first",
        );
    }
    if let Some(ladder) = &layer.ladder {
        let steps: Vec<String> = ladder.iter().map(|step| number(*step)).collect();
        push(&mut text, &format!("ladder = [{}]", steps.join(", ")), "");
    }
    text
}

fn metrics(draft: &Draft) -> String {
    let mut text = String::new();
    for metric in &draft.metrics {
        let better = if metric.better == Better::Higher {
            "higher"
        } else {
            "lower"
        };
        let column = &metric.column;
        text.push_str("\n[[metric]]\n");
        let guess = if metric.is_certain { "" } else { "guess: " };
        push(
            &mut text,
            &format!("id = {}", string(&metric.id)),
            &format!("{guess}{}", metric.why),
        );
        push(&mut text, &format!("numerator = \"sum({column})\""), "");
        push(&mut text, &format!("denominator = \"count({column})\""), "");
        push(&mut text, &format!("better = \"{better}\""), "");
        if metric.is_flag {
            text.push_str("unit = \"share\"\nproportion = true\n");
        } else {
            push(
                &mut text,
                "winsorize = 0.999",
                "the largest thousandth counts as its limit",
            );
        }
    }
    if draft.traffic.is_empty() {
        return text;
    }
    for guardrail in &draft.guardrails {
        text.push_str("\n[[guardrail]]\n");
        push(&mut text, &format!("metric = {}", string(&guardrail.metric)), "");
        push(
            &mut text,
            &format!("{} = {}", guardrail.key, guardrail.value),
            &guardrail.why,
        );
    }
    text
}
