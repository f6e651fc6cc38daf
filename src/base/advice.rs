//! Next steps in the words of the command that runs. A setting is a key of a scenario for some
//! commands, an option for others, and neither for a few.

use std::sync::OnceLock;

/// What the command takes that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ways {
    /// Its options, such as `--column`.
    pub(crate) options: Vec<String>,
    /// Whether it reads a scenario.
    pub(crate) has_scenario: bool,
}

/// The ways of the command that runs. Unset in programs that use the library.
static COMMAND: OnceLock<Ways> = OnceLock::new();

/// Notes what the command takes. The first call counts.
pub(crate) fn set(ways: Ways) {
    let _ = COMMAND.set(ways);
}

/// Returns how to change a setting: by a key of the scenario, such as `on_bad_row = "drop"`, or by an
/// option, such as `--on-bad-row drop`. The library names both. `None` if the command that runs has
/// neither.
pub(crate) fn either(key: &str, option: &str) -> Option<String> {
    of_ways(COMMAND.get(), key, Some(option))
}

/// Returns how to change a setting that no option has.
pub(crate) fn key(key: &str) -> Option<String> {
    of_ways(COMMAND.get(), key, None)
}

/// Returns how to name a column that has another name in the files. Empty if the command that runs
/// takes no other names.
pub(crate) fn rename(column: &str) -> String {
    let way = either(
        &format!("columns.{column} = \"...\""),
        &format!("--column {column}=..."),
    );
    way.map_or_else(String::new, |way| {
        format!("if the column has another name, say so: {way}")
    })
}

/// Returns what to do about a row that cannot be used.
pub(crate) fn drop_rows() -> String {
    match either("input.on_bad_row = \"drop\"", "--on-bad-row drop") {
        Some(way) => format!("rows like this can be left out and counted: {way}"),
        None => "correct the file: this command leaves no row out".to_owned(),
    }
}

fn of_ways(ways: Option<&Ways>, key: &str, option: Option<&str>) -> Option<String> {
    let Some(ways) = ways else {
        let option = option.map_or_else(String::new, |option| format!(", or {option}"));
        return Some(format!("{key} in the scenario{option}"));
    };
    let has = |option: &str| {
        let name = option.split([' ', '=']).next().unwrap_or_default();
        ways.options.iter().any(|other| other == name)
    };
    let option = option.filter(|option| has(option));
    match (ways.has_scenario, option) {
        (true, Some(option)) => Some(format!("{key} in the scenario, or {option}")),
        (true, None) => Some(format!("{key} in the scenario")),
        (false, Some(option)) => Some(option.to_owned()),
        (false, None) if has("--scenario") => Some(format!("{key} in a scenario, which --scenario names")),
        (false, None) => None,
    }
}

/// The option that names the output of the command that runs; `path` if it has none.
pub(crate) fn output() -> &'static str {
    output_of(COMMAND.get())
}

fn output_of(ways: Option<&Ways>) -> &'static str {
    let has = |option: &str| ways.is_none_or(|ways| ways.options.iter().any(|other| other == option));
    let names = ["--out", "--dir"];
    names.into_iter().find(|name| has(name)).unwrap_or("path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_one_that_the_command_has() {
        let check =
            |options: &[&str], has_scenario: bool, expected: Option<&str>, expected_key: Option<&str>| {
                let ways = Ways {
                    options: options.iter().map(|&option| option.to_owned()).collect(),
                    has_scenario,
                };
                let found = of_ways(Some(&ways), "columns.x", Some("--column x=..."));
                assert_eq!(found.as_deref(), expected, "{ways:?}");
                assert_eq!(
                    of_ways(Some(&ways), "columns.x", None).as_deref(),
                    expected_key,
                    "{ways:?}"
                );
            };
        let (key, option) = ("columns.x in the scenario", "--column x=...");
        let both = "columns.x in the scenario, or --column x=...";
        let other = "columns.x in a scenario, which --scenario names";
        check(&["--column"], true, Some(both), Some(key));
        check(&[], true, Some(key), Some(key));
        check(&["--column"], false, Some(option), None);
        check(&["--columns"], false, None, None);
        check(&["--column", "--scenario"], false, Some(option), Some(other));
        check(&["--scenario"], false, Some(other), Some(other));
        assert_eq!(of_ways(None, "columns.x", Some(option)).as_deref(), Some(both));
        assert_eq!(of_ways(None, "columns.x", None).as_deref(), Some(key));
    }

    #[test]
    fn outputs_have_the_name_of_the_command() {
        let check = |options: &[&str], expected: &str| {
            let options = options.iter().map(|&option| option.to_owned()).collect();
            let ways = Ways {
                options,
                has_scenario: false,
            };
            assert_eq!(output_of(Some(&ways)), expected);
        };
        check(&["--out", "--to"], "--out");
        check(&["--dir"], "--dir");
        check(&[], "path");
        assert_eq!(output_of(None), "--out");
    }
}
