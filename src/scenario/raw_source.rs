//! The sources of a scenario as they are written: users, events, logs and further tables.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::scenario::input::{CONSENT, FEATURES};
use crate::scenario::raw_column::RawColumn;
use crate::scenario::raw_score::RawScore;
use crate::scenario::traces::TraceFormat;

/// A source of rows: files, and the names of their columns.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSource {
    /// File, folder, glob or URL (`s3://BUCKET/KEY`).
    #[schemars(length(min = 1), example = &"logs/turns/*.parquet")]
    pub(super) path: Option<String>,
    /// Names of columns in the files, by the name that Sluice gives them. A table declares the unit
    /// of the column too: `latency_ms = { column = "duration", unit = "s" }`.
    #[schemars(example = BTreeMap::from([("user_id", "customer_id")]))]
    pub(super) columns: BTreeMap<String, RawColumn>,
    /// Columns that the files lack, with one text for all rows. `{row}` in it is the number of the
    /// row, from 0.
    #[schemars(example = BTreeMap::from([("tenant_id", "shop")]))]
    pub(super) constants: BTreeMap<String, String>,
    /// Columns that are computed from those of the files: a SQL expression of one row, by the name
    /// that Sluice gives to the column.
    #[schemars(example = BTreeMap::from([("latency_ms", "duration_s * 1000")]))]
    pub(super) derive: BTreeMap<String, String>,
    /// Condition of the rows that are read: a SQL expression of one row.
    #[schemars(length(min = 1), example = &"env = 'prod'")]
    pub(super) r#where: Option<String>,
    /// Query over whole tables whose result has the rows, in place of the files: SQL. The files
    /// are the table `log`; `[input.tables]` has others.
    #[schemars(length(min = 1), example = &"select log.*, crm.plan from log left join crm using (user_id)")]
    pub(super) sql: Option<String>,
    /// Character between two values of a text file, one of ASCII.
    #[schemars(
        length(min = 1, max = 1),
        extend("x-default" = "a tab for `.tsv` and `.tab`, else a comma"),
        example = &";"
    )]
    pub(super) delimiter: Option<String>,
    /// Character around values of a text file that contain the delimiter, one of ASCII.
    #[schemars(
        length(min = 1, max = 1),
        extend("x-default" = "a double quote"),
        example = &"'"
    )]
    pub(super) quote: Option<String>,
    /// System that wrote the files, if they are traces of agents: an importer makes one row a turn of
    /// them, and `columns` are paths in the files. `auto` takes each file for what its content shows.
    #[schemars(
        extend("enum" = trace_formats(), "x-default" = "none: the files have one row a turn"),
        example = &"otlp"
    )]
    pub(super) format: Option<String>,
    /// Outcomes from scores, annotations or evaluations of traces, by the name that Sluice gives to
    /// the column: the value of a score (`csat = "csat"`), or a test of it: `{ score = "resolved",
    /// at_least = 0.5 }`, also with `is` and `at_most`. Of several scores of a turn the latest counts;
    /// `combine = "mean"` takes their mean, `"any"` whether one of them passes. As a text:
    /// `"resolved>=0.5"`, `"any(user-feedback=thumbs_down)"`.
    #[schemars(example = BTreeMap::from([("bad", "user-feedback=thumbs_down")]))]
    pub(super) scores: BTreeMap<String, RawScore>,
    /// One turn of traces without a tree of spans: a request, or all requests of a session.
    #[schemars(
        extend("enum" = ["request", "session"], "x-default" = "`request`"),
        example = &"session"
    )]
    pub(super) turns: Option<String>,
    /// Table of prices for requests of traces whose cost the files do not have.
    #[schemars(length(min = 1), example = &"prices.toml")]
    pub(super) prices: Option<String>,
}

/// The words of the formats of traces.
fn trace_formats() -> Value {
    json!(TraceFormat::ALL.map(|(word, _)| word))
}

/// The table of users: files, the names of their columns, and the columns that they lack.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawUsers {
    /// File, folder, glob or URL (`s3://BUCKET/KEY`).
    #[schemars(length(min = 1), example = &"users.parquet")]
    pub(super) path: Option<String>,
    /// Names of columns in the files, by the name that Sluice gives them. A table declares the unit
    /// of the column too: `user_value = { column = "spent", unit = "cent" }`.
    #[schemars(example = BTreeMap::from([("user_id", "customer_id")]))]
    pub(super) columns: BTreeMap<String, RawColumn>,
    /// Columns that the files lack, with one text for all rows. `{row}` in it is the number of the
    /// row, from 0.
    #[schemars(example = BTreeMap::from([("tenant_id", "shop")]))]
    pub(super) constants: BTreeMap<String, String>,
    /// Columns that are computed from those of the files: a SQL expression of one row, by the name
    /// that Sluice gives to the column.
    #[schemars(example = BTreeMap::from([("latency_ms", "duration_s * 1000")]))]
    pub(super) derive: BTreeMap<String, String>,
    /// Condition of the rows that are read: a SQL expression of one row.
    #[schemars(length(min = 1), example = &"env = 'prod'")]
    pub(super) r#where: Option<String>,
    /// Query over whole tables whose result has the rows, in place of the files: SQL. The files
    /// are the table `users`; `[input.tables]` has others.
    #[schemars(length(min = 1), example = &"select users.*, crm.plan from users left join crm using (user_id)")]
    pub(super) sql: Option<String>,
    /// Character between two values of a text file, one of ASCII.
    #[schemars(
        length(min = 1, max = 1),
        extend("x-default" = "a tab for `.tsv` and `.tab`, else a comma"),
        example = &";"
    )]
    pub(super) delimiter: Option<String>,
    /// Character around values of a text file that contain the delimiter, one of ASCII.
    #[schemars(
        length(min = 1, max = 1),
        extend("x-default" = "a double quote"),
        example = &"'"
    )]
    pub(super) quote: Option<String>,
    /// Which day is read if the path has a folder for each day, such as `dt=2026-05-28`: `latest` is
    /// the newest day at or before `as_of`.
    #[schemars(
        extend("enum" = ["latest"], "x-default" = "none: several days are an error"),
        example = &"latest"
    )]
    pub(super) partition: Option<String>,
    /// Features and consent that the files lack, and that count as unknown. Another missing feature
    /// is an error if layers depend on the score.
    #[schemars(
        extend("items" = absentable(), "default" = []),
        example = ["accept_score"]
    )]
    pub(super) absent: Vec<String>,
    /// A further table with columns of the same users, such as consent, joined by `user_id`, and by
    /// `tenant_id` if both have it. With `[input.events]`, it is the only key of `[input.users]`.
    pub(super) join: Option<RawSource>,
}

/// One table, or a list of tables.
#[derive(Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table, or a list of tables")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let one = T::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = seq.next_element()? {
                    many.push(one);
                }
                Ok(OneOrMany(many))
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<T>();
        schemars::json_schema!({"anyOf": [one, {"type": "array", "items": one}]})
    }
}

/// An event log: its files, and how far back features look.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEvents {
    /// File, folder, glob or URL (`s3://BUCKET/KEY`).
    #[schemars(length(min = 1), example = &"events.parquet")]
    pub(super) path: Option<String>,
    /// Names of columns in the files, by the name that Sluice gives them: `user_id`, `event_time`,
    /// `value`, `tenant_id`.
    #[schemars(example = BTreeMap::from([("event_time", "date")]))]
    pub(super) columns: BTreeMap<String, RawColumn>,
    #[schemars(skip)]
    pub(super) constants: BTreeMap<String, String>,
    /// Columns that are computed from those of the files: a SQL expression of one row, by the name
    /// that Sluice gives to the column.
    #[schemars(example = BTreeMap::from([("value", "quantity * price")]))]
    pub(super) derive: BTreeMap<String, String>,
    /// Condition of the rows that are read: a SQL expression of one row.
    #[schemars(length(min = 1), example = &"env = 'prod'")]
    pub(super) r#where: Option<String>,
    /// Query over whole tables whose result has the rows, in place of the files: SQL. The files
    /// are the table `events`; `[input.tables]` has others.
    #[schemars(length(min = 1), example = &"select * from events where amount > 0")]
    pub(super) sql: Option<String>,
    /// Character between two values of a text file, one of ASCII.
    #[schemars(
        length(min = 1, max = 1),
        extend("x-default" = "a tab for `.tsv` and `.tab`, else a comma"),
        example = &";"
    )]
    pub(super) delimiter: Option<String>,
    /// Character around values of a text file that contain the delimiter, one of ASCII.
    #[schemars(
        length(min = 1, max = 1),
        extend("x-default" = "a double quote"),
        example = &"'"
    )]
    pub(super) quote: Option<String>,
    /// Features and consent that the log does not give, and that count as unknown.
    #[schemars(
        extend("items" = absentable(), "default" = []),
        example = ["user_value", "is_allow_gray"]
    )]
    pub(super) absent: Vec<String>,
    /// Days before `as_of` whose events count as uses.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("default" = 30, "x-unit" = "days"),
        example = 90
    )]
    pub(super) use_window_days: Option<f64>,
    /// Days before `as_of` whose values are summed.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("default" = 365, "x-unit" = "days"),
        example = 180
    )]
    pub(super) value_window_days: Option<f64>,
}

/// Returns the schema of a column of users that a source may lack.
fn absentable() -> Value {
    let names: Vec<&str> = FEATURES.into_iter().chain([CONSENT]).collect();
    json!({"type": "string", "enum": names})
}
