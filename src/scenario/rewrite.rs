//! Writes another schedule into the text of a scenario.

use toml::{Table, Value};

use crate::base::error::{Error, Result};

/// Keys of one table of a list, by the value of its `id` or `metric`.
pub(crate) type Entry = (String, Vec<(&'static str, Value)>);

/// The changes of a scenario. A key that exists is replaced.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// Keys of `[policy]`.
    pub(crate) policy: Vec<(&'static str, Value)>,
    /// Keys of layers, by `id`.
    pub(crate) layers: Vec<Entry>,
    /// Keys of guardrails, by `metric`. A scenario without guardrails gets these.
    pub(crate) guardrails: Vec<Entry>,
}

/// Writes the scenario with the changes as TOML. Values, paths and the order of lists stay; comments
/// do not. The variants of `[[simulate.plan]]` are left out, so a simulation runs the new plan.
///
/// # Errors
/// The text is not TOML.
pub(crate) fn rewrite(source: &str, changes: &Changes) -> Result<String> {
    let wrong = |why: String| Error::input("scenario", format!("expected TOML, found {why}"));
    let mut table: Table = source
        .parse()
        .map_err(|why: toml::de::Error| wrong(why.to_string()))?;
    if let Value::Table(policy) = table
        .entry("policy")
        .or_insert_with(|| Value::Table(Table::new()))
    {
        for (key, value) in &changes.policy {
            policy.insert((*key).to_owned(), value.clone());
        }
    }
    for (list, id, entries) in [
        ("layer", "id", &changes.layers),
        ("guardrail", "metric", &changes.guardrails),
    ] {
        change_list(&mut table, list, id, entries);
    }
    if let Some(Value::Table(simulate)) = table.get_mut("simulate") {
        simulate.remove("plan");
    }
    let text = toml::to_string(&table).map_err(|why| wrong(why.to_string()))?;
    // Editors find the schema by a comment at the top.
    let directives = source.lines().filter(|line| line.starts_with("#:"));
    let directives: String = directives.map(|line| format!("{line}\n")).collect();
    Ok(format!("{directives}{text}"))
}

fn change_list(table: &mut Table, list: &str, id: &str, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    let Value::Array(items) = table.entry(list).or_insert_with(|| Value::Array(Vec::new())) else {
        return;
    };
    for (name, keys) in entries {
        let is_it = |item: &&mut Value| item.get(id).and_then(Value::as_str) == Some(name);
        let item = match items.iter_mut().find(is_it) {
            Some(item) => item,
            None => {
                items.push(Value::Table(Table::from_iter([(
                    id.to_owned(),
                    name.clone().into(),
                )])));
                let last = items.len() - 1;
                &mut items[last]
            }
        };
        if let Value::Table(item) = item {
            for (key, value) in keys {
                item.insert((*key).to_owned(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_keys_change() {
        let source = "#:schema x.json\nwhy = \"a\" # gone\n[plan]\nid = \"p\"\n[[layer]]\nid = \"a\"\nquota = 0.5\n\
                      ladder = [0.5, 1.0]\n[[layer]]\nid = \"b\"\n[simulate]\nruns = 5\n[[simulate.plan]]\nid = \"x\"\n";
        let changes = Changes {
            policy: vec![("sequential", "group_sequential".into()), ("alpha", 0.1.into())],
            layers: vec![("a".into(), vec![("ladder", vec![0.1, 1.0].into())])],
            guardrails: vec![("m".into(), vec![("margin", 0.01.into())])],
        };
        let text = rewrite(source, &changes).unwrap();
        assert!(text.starts_with("#:schema x.json\n"), "{text}");
        let table: Table = text.parse().unwrap();
        let layers = table["layer"].as_array().unwrap();
        assert_eq!(layers[0]["ladder"], Value::from(vec![0.1, 1.0]));
        assert_eq!(
            (layers[0]["quota"].as_float(), layers[1]["id"].as_str()),
            (Some(0.5), Some("b"))
        );
        assert_eq!(table["policy"]["sequential"].as_str(), Some("group_sequential"));
        assert_eq!(table["guardrail"][0]["metric"].as_str(), Some("m"));
        assert_eq!(table["simulate"].get("plan"), None);
        assert_eq!(table["simulate"]["runs"].as_integer(), Some(5));
        assert!(rewrite("= 1", &changes).is_err());
    }
}
