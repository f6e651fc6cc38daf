use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

use crate::frames::query::{MemoryTable, run};

fn table(name: &str, columns: Vec<(&str, ArrayRef)>) -> MemoryTable {
    let fields = columns.iter();
    let fields = fields.map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    MemoryTable::new(name, schema, vec![batch])
}

/// Users with their layer, value and last use, and the names of layers.
fn tables() -> Vec<MemoryTable> {
    let instants =
        TimestampMicrosecondArray::from(vec![Some(0), Some(86_400_000_000), None, Some(1), Some(2)]);
    vec![
        table(
            "users",
            vec![
                (
                    "user_id",
                    Arc::new(StringArray::from(vec!["e", "d", "c", "b", "a"])),
                ),
                (
                    "layer",
                    Arc::new(StringArray::from(vec![
                        Some("x"),
                        Some("y"),
                        None,
                        Some("x"),
                        Some("y"),
                    ])),
                ),
                (
                    "n",
                    Arc::new(Int32Array::from(vec![Some(5), Some(4), Some(3), None, Some(1)])),
                ),
                (
                    "value",
                    Arc::new(Float64Array::from(vec![0.5, f64::NAN, 2.0, 1.5, f64::INFINITY])),
                ),
                ("seen", Arc::new(instants)),
            ],
        ),
        table(
            "names",
            vec![
                ("layer", Arc::new(StringArray::from(vec!["y", "x", "z"]))),
                ("name", Arc::new(StringArray::from(vec!["Y", "X", "Z"]))),
            ],
        ),
    ]
}

/// A result as text: values with blanks between them, rows with `;`.
fn shown(rows: &RecordBatch) -> String {
    let row = |row: usize| {
        let values = rows.columns().iter().map(|column| match column.is_null(row) {
            true => "null".to_owned(),
            false => array_value_to_string(column, row).unwrap(),
        });
        values.collect::<Vec<_>>().join(" ")
    };
    (0..rows.num_rows()).map(row).collect::<Vec<_>>().join("; ")
}

#[test]
fn queries_give_their_rows_in_a_fixed_order() {
    let mut failures = Vec::new();
    let mut check = |sql: &str, expected: &str| {
        let found = run(tables(), sql).map_or_else(|problem| problem.to_string(), |rows| shown(&rows));
        if found != expected {
            failures.push(format!("{sql}: {found}"));
        }
    };
    // Without ORDER BY: all columns, nulls first.
    check("SELECT layer, n FROM users", "null 3; x null; x 5; y 1; y 4");
    check("SELECT user_id FROM users LIMIT 2", "a; b");
    check("SELECT user_id FROM users LIMIT 2 OFFSET 1", "b; c");
    check("SELECT user_id FROM users OFFSET 3", "d; e");
    check("SELECT user_id FROM users FETCH FIRST 1 ROW ONLY", "a");
    check("SELECT user_id FROM users LIMIT 0", "");
    // With ORDER BY: ties as in the table.
    check("SELECT user_id FROM users ORDER BY layer LIMIT 3", "e; b; d");
    check(
        "SELECT user_id, layer FROM users ORDER BY layer DESC NULLS LAST",
        "d y; a y; e x; b x; c null",
    );
    check("SELECT user_id FROM users ORDER BY n NULLS FIRST LIMIT 1", "b");
    check("(SELECT user_id FROM users ORDER BY user_id DESC) LIMIT 1", "e");
    check(
        "SELECT user_id FROM (SELECT * FROM users ORDER BY n DESC LIMIT 2) t",
        "b; e",
    );
    // Groups, windows, joins.
    check(
        "SELECT layer, count(*) AS n FROM users GROUP BY layer",
        "null 1; x 2; y 2",
    );
    check(
        "SELECT layer, first(user_id) AS u FROM users GROUP BY layer",
        "null c; x e; y d",
    );
    check(
        "SELECT layer, sum(n) AS n FROM users GROUP BY layer HAVING count(*) > 1",
        "x 5; y 5",
    );
    check(
        "SELECT count(*) AS n, count(n) AS k, count(DISTINCT layer) AS l FROM users",
        "5 4 2",
    );
    check(
        "SELECT sum(n) AS n, avg(n) AS m FROM users WHERE layer = 'y'",
        "5 2.5",
    );
    check(
        "SELECT user_id, row_number() OVER (PARTITION BY layer ORDER BY user_id) AS r \
         FROM users QUALIFY r = 1",
        "a 1; b 1; c 1",
    );
    check("SELECT max(pow(n, 20)) AS p FROM users", "95367431640625.0");
    check("SELECT min(power(n, -1)) AS p FROM users", "0.2");
    check(
        "SELECT layer FROM users QUALIFY row_number() OVER (PARTITION BY layer ORDER BY user_id) = 1",
        "null; x; y",
    );
    check(
        "SELECT u.user_id, m.name FROM users u JOIN names m ON u.layer = m.layer ORDER BY m.name",
        "e X; b X; d Y; a Y",
    );
    check(
        "SELECT u.user_id, m.name FROM users u LEFT JOIN names m ON u.layer = m.layer WHERE m.name IS NULL",
        "c null",
    );
    check(
        "SELECT m.layer FROM names m LEFT ANTI JOIN users u ON u.layer = m.layer",
        "z",
    );
    check(
        "SELECT layer FROM names WHERE layer IN (SELECT layer FROM users)",
        "x; y",
    );
    check(
        "SELECT layer FROM users UNION SELECT layer FROM names",
        "null; x; y; z",
    );
    check(
        "SELECT layer FROM names UNION ALL SELECT layer FROM names ORDER BY layer LIMIT 3",
        "x; x; y",
    );
    check("SELECT layer FROM names EXCEPT SELECT layer FROM users", "z");
    check(
        "SELECT DISTINCT layer FROM users ORDER BY layer NULLS FIRST",
        "null; x; y",
    );
    check(
        "WITH big AS (SELECT * FROM users WHERE n > 3) SELECT user_id FROM big",
        "d; e",
    );
    check(
        "WITH m AS (SELECT avg(n) AS mean FROM users) SELECT user_id FROM users CROSS JOIN m WHERE n > mean",
        "d; e",
    );
    check(
        "SELECT CASE WHEN n >= 4 THEN 'much' ELSE 'little' END AS t, count(*) AS n FROM users GROUP BY t",
        "little 3; much 2",
    );
    check("SELECT user_id FROM users WHERE user_id LIKE 'a%'", "a");
    check("SELECT 1 AS one", "1");
    check("SELECT 7 / 2 AS q, 1 / 0 AS i", "3.5 inf");
    check("SELECT user_id FROM users WHERE value > 1 AND value < 3", "b; c");
    check(
        "SELECT EXTRACT(day FROM seen) AS d FROM users WHERE user_id IN ('d', 'e')",
        "1; 2",
    );
    check("SELECT \"layer\" FROM names WHERE upper(layer) = 'Z'", "z");
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn counts_and_sums_have_64_bits() {
    let rows = run(
        tables(),
        "SELECT count(*) AS n, sum(n) AS s, min(value) AS v, max(layer) AS l FROM users",
    )
    .unwrap();
    let types: Vec<DataType> = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    assert_eq!(
        types,
        [
            DataType::Int64,
            DataType::Int64,
            DataType::Float64,
            DataType::Utf8View
        ]
    );
}

#[test]
fn wrong_queries_say_what_is_wrong() {
    let mut failures = Vec::new();
    let mut check = |sql: &str, expected: &[&str]| {
        let problem = run(tables(), sql).expect_err(sql);
        let text = problem.to_string();
        let is_short = problem.location.is_empty() && text.lines().count() <= 2;
        if !is_short || expected.iter().any(|part| !text.contains(part)) {
            failures.push(format!("{sql}: {text}"));
        }
    };
    check("", &["expected a SELECT query, found an empty text"]);
    check("SELEC 1", &["expected a SELECT query, found"]);
    check(
        "SELECT 1; SELECT 2",
        &["expected one SELECT query, found 2 statements"],
    );
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE users",
        "INSERT INTO users SELECT 1",
        "DELETE FROM users",
        "TRUNCATE TABLE users",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "COPY users TO 'x.csv'",
        "SET x = 1",
    ] {
        check(
            sql,
            &["expected a SELECT query, found", sql.split(' ').next().unwrap()],
        );
    }
    check(
        "SELECT * FROM user",
        &[
            "expected the name of a table, found `user`",
            "did you mean `users`? tables are users, names",
        ],
    );
    check(
        "SELECT lyer FROM users",
        &[
            "expected a column, found `lyer`",
            "did you mean `layer`? columns of users are user_id, layer",
        ],
    );
    check(
        "SELECT u.lyer FROM users u",
        &["found `lyer`", "did you mean `layer`?"],
    );
    check("SELECT x.layer FROM users u", &["found `x`"]);
    check("SELECT layer FROM users GROUP BY lyer", &["found `lyer`"]);
    check("SELECT layer FROM users ORDER BY lyer", &["found `lyer`"]);
    check(
        "SELECT * FROM read_csv('x.csv')",
        &["found the function `read_csv`", "give the file to the command"],
    );
    check(
        "SELECT * FROM read_parquet('x')",
        &["found the function `read_parquet`"],
    );
    check("SELECT * FROM a.users", &["found `a.users`", "no schema"]);
    for function in [
        "now()",
        "current_date",
        "CURRENT_TIMESTAMP",
        "random()",
        "rand()",
        "uuid()",
        "gen_random_uuid()",
    ] {
        check(
            &format!("SELECT layer FROM users WHERE n > 1 AND {function} IS NULL"),
            &["whose value differs from run to run", "same inputs, same bytes"],
        );
    }
    check(
        "SELECT uper(layer) FROM users",
        &[
            "expected a function, found `uper`",
            "did you mean `upper`?",
            "needs quotes: \"uper\"",
        ],
    );
    check("SELECT layer + n FROM users", &["layer"]);
    check("SELECT user_id FROM users WHERE n = 'x'", &["expected", "found"]);
    check(
        "SELECT sum(layer) FROM users",
        &[
            "expected values of fitting types",
            "`sum` operation not supported",
        ],
    );
    check(
        "SELECT CAST(layer AS INT) FROM users",
        &["expected values of fitting types", "layer"],
    );
    check("SELECT layer AS a, n AS a FROM users", &["a"]);
    check(
        "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) t",
        &["WITH at the start"],
    );
    check(
        "WITH a AS (SELECT * FROM names) SELECT * FROM users a",
        &["one meaning of a name, found `a`"],
    );
    check("WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a", &["recursive"]);
    check(
        "SELECT * FROM users WHERE user_id LIKE 'a!_%' ESCAPE '!'",
        &["ESCAPE"],
    );
    check(
        "SELECT layer FROM users u JOIN names m ON u.layer = m.layer",
        &["layer"],
    );
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_long_condition_is_no_fault() {
    let terms = vec!["n = 1"; 5_000].join(" OR ");
    let rows = run(tables(), &format!("SELECT user_id FROM users WHERE {terms}")).unwrap();
    assert_eq!(shown(&rows), "a");
    let nested = format!("SELECT {}1{} AS x", "(".repeat(5_000), ")".repeat(5_000));
    assert!(
        run(tables(), &nested)
            .unwrap_err()
            .to_string()
            .contains("expected a SELECT query")
    );
    let long = format!("SELECT '{}' AS x", "x".repeat(70_000));
    assert!(
        run(tables(), &long)
            .unwrap_err()
            .to_string()
            .contains("at most 65536 bytes")
    );
}
