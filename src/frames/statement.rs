//! One SQL query, parsed and checked before it runs: which tables and columns it reads, and nothing
//! that writes, that reads files, or whose result differs from run to run.

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, SelectFlavor, SelectItem, SetExpr, Statement as SqlStatement,
    TableFactor, Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserOptions};
use sqlparser::tokenizer::{Token, Tokenizer};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::base::error::Problem;
use crate::base::escape;
use crate::base::similar::nearest;
use crate::frames::rewrite;

/// The longest text of a query, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Functions whose value differs from run to run: clocks, and random numbers.
const CHANGING: [&str; 24] = [
    "clock_timestamp",
    "curdate",
    "current_date",
    "current_time",
    "current_timestamp",
    "curtime",
    "gen_random_uuid",
    "generate_uuid",
    "getdate",
    "localtime",
    "localtimestamp",
    "newid",
    "now",
    "rand",
    "random",
    "setseed",
    "statement_timestamp",
    "sysdate",
    "systimestamp",
    "today",
    "transaction_timestamp",
    "unix_timestamp",
    "utc_timestamp",
    "uuid",
];

/// A query that may run.
#[derive(Debug)]
pub(crate) struct Statement {
    sql: String,
    tables: Vec<String>,
    /// Other names of tables, each with its table.
    aliases: Vec<(String, String)>,
    /// All words of the query, some of which name columns. `None` if it may read every column.
    words: Option<BTreeSet<String>>,
    is_ordered: bool,
}

impl Statement {
    /// Parses one query.
    ///
    /// # Errors
    /// The text is no SQL, or no single `SELECT`, or it calls what a query may not call. The problem
    /// has no location.
    pub(crate) fn parse(sql: &str) -> Result<Self, Problem> {
        if sql.len() > MAX_BYTES {
            return Err(Problem::new(
                "",
                format!("expected SQL of at most {MAX_BYTES} bytes, found {}", sql.len()),
            ));
        }
        let options = ParserOptions {
            trailing_commas: true,
            ..ParserOptions::default()
        };
        let statements = Parser::new(&GenericDialect)
            .with_options(options)
            .try_with_sql(sql)
            .and_then(|mut parser| parser.parse_statements())
            .map_err(|error| no_sql(&error.to_string()))?;
        let query = match statements.as_slice() {
            [SqlStatement::Query(query)] => query,
            [] => return Err(Problem::new("", "expected a SELECT query, found an empty text")),
            [other] => return Err(no_query(other)),
            several => {
                return Err(Problem::new(
                    "",
                    format!("expected one SELECT query, found {} statements", several.len()),
                )
                .hint("run them one by one, or combine them with UNION or WITH"));
            }
        };
        let mut checker = Checker::default();
        if let ControlFlow::Break(problem) = query.visit(&mut checker) {
            return Err(problem);
        }
        checker.check_names()?;
        Ok(Self {
            sql: rewrite::rewritten(query, sql),
            aliases: checker
                .aliases
                .into_iter()
                .filter_map(|(alias, of)| of.map(|of| (alias, of)))
                .collect(),
            tables: checker.tables,
            words: words(sql).filter(|_| !checker.reads_all_columns),
            is_ordered: is_ordered(query),
        })
    }

    /// The text of the query.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// The tables that the query reads, each once, in the order of the text.
    pub(crate) fn tables(&self) -> &[String] {
        &self.tables
    }

    /// The other names that the query gives to tables, each with its table.
    pub(super) fn aliases(&self) -> &[(String, String)] {
        &self.aliases
    }

    /// Whether the query may read a column of this name.
    pub(crate) fn reads(&self, column: &str) -> bool {
        self.words.as_ref().is_none_or(|words| words.contains(column))
    }

    /// Whether the query states the order of its rows.
    pub(super) fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// Refuses a query that reads a table which is not there.
    ///
    /// # Errors
    /// The problem suggests the nearest table and lists all.
    pub(crate) fn check_tables<'a>(&self, known: impl IntoIterator<Item = &'a str>) -> Result<(), Problem> {
        let known: Vec<&str> = known.into_iter().collect();
        match self.tables.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(unknown_table(name, &known)),
            None => Ok(()),
        }
    }
}

/// The problem of a table that is not there.
pub(crate) fn unknown_table(name: &str, known: &[&str]) -> Problem {
    let near = nearest(name, known.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let known = match known {
        [] => "there are no tables".to_owned(),
        known => format!("tables are {}", known.join(", ")),
    };
    Problem::new(
        "",
        format!("expected the name of a table, found `{}`", escape::value(name)),
    )
    .hint(format!("{near}{known}"))
}

/// The problem of a text that is no SQL.
fn no_sql(found: &str) -> Problem {
    let found = found.trim_start_matches("sql parser error: ");
    Problem::new(
        "",
        format!("expected a SELECT query, found: {}", escape::value(found)),
    )
}

/// The problem of a statement that is no query.
fn no_query(statement: &SqlStatement) -> Problem {
    let text = statement.to_string();
    let word = text.split_whitespace().next().unwrap_or_default();
    Problem::new("", format!("expected a SELECT query, found {word}"))
        .hint("a query only reads: SELECT, WITH ... SELECT, or several SELECTs with UNION")
}

/// Whether a query states the order of its rows: itself, or the query within its parentheses.
fn is_ordered(query: &Query) -> bool {
    query.order_by.is_some() || matches!(query.body.as_ref(), SetExpr::Query(inner) if is_ordered(inner))
}

/// All words of a text, as they name columns. `None` if one of them stands for unnamed columns.
fn words(sql: &str) -> Option<BTreeSet<String>> {
    let tokens = Tokenizer::new(&GenericDialect, sql).tokenize().ok()?;
    let words: BTreeSet<String> = tokens
        .into_iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.value),
            _ => None,
        })
        .collect();
    let takes_all = |word: &String| {
        let word = word.to_ascii_lowercase();
        word == "natural" || word == "columns"
    };
    (!words.iter().any(takes_all)).then_some(words)
}

/// Collects what a query reads, and stops at what it may not call.
#[derive(Debug, Default)]
struct Checker {
    /// Queries around the current one.
    n_outer: usize,
    /// Names of `WITH`.
    named: BTreeSet<String>,
    /// Other names of tables, and the table if it is one.
    aliases: Vec<(String, Option<String>)>,
    tables: Vec<String>,
    reads_all_columns: bool,
}

impl Checker {
    fn add_table(&mut self, name: &str) {
        if !self.named.contains(name) && !self.tables.iter().any(|table| table == name) {
            self.tables.push(name.to_owned());
        }
    }

    fn add_tables_of(&mut self, body: &SetExpr) {
        match body {
            // TABLE name
            SetExpr::Table(table) => {
                self.reads_all_columns = true;
                if let Some(name) = &table.table_name {
                    self.add_table(name);
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.add_tables_of(left);
                self.add_tables_of(right);
            }
            _ => {}
        }
    }

    /// Refuses a second meaning of a name: which one Polars takes depends on the place.
    fn check_names(&self) -> Result<(), Problem> {
        for (alias, of) in &self.aliases {
            let is_taken = self.tables.contains(alias) || self.named.contains(alias);
            if is_taken && of.as_ref() != Some(alias) {
                return Err(Problem::new(
                    "",
                    format!(
                        "expected one meaning of a name, found `{}` as a table and as an alias",
                        escape::value(alias)
                    ),
                )
                .hint("give the alias a name of its own"));
            }
        }
        Ok(())
    }

    fn check_function(&self, name: &ObjectName) -> ControlFlow<Problem> {
        let name = name.to_string().to_lowercase();
        if !CHANGING.contains(&name.as_str()) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(
            Problem::new(
                "",
                format!(
                    "expected functions of the data only, found `{name}`, whose value differs from run to run"
                ),
            )
            .hint("write the instant or the number into the query: same inputs, same bytes"),
        )
    }
}

impl Visitor for Checker {
    type Break = Problem;

    fn pre_visit_statement(&mut self, statement: &SqlStatement) -> ControlFlow<Problem> {
        match statement {
            SqlStatement::Query(_) => ControlFlow::Continue(()),
            other => ControlFlow::Break(no_query(other)),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Problem> {
        if let Some(with) = &query.with {
            if self.n_outer > 0 {
                return ControlFlow::Break(
                    Problem::new(
                        "",
                        "expected WITH at the start of the query, found it within a subquery",
                    )
                    .hint("move its tables to the WITH at the start"),
                );
            }
            for table in &with.cte_tables {
                self.named.insert(table.alias.name.value.clone());
                self.reads_all_columns |= !table.alias.columns.is_empty();
            }
        }
        self.n_outer += 1;
        self.add_tables_of(&query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Problem> {
        self.n_outer -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Problem> {
        let is_wild =
            |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        self.reads_all_columns |=
            select.flavor == SelectFlavor::FromFirstNoSelect || select.projection.iter().any(is_wild);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Problem> {
        match relation.0.as_slice() {
            [part] => {
                if let Some(name) = part.as_ident() {
                    self.add_table(&name.value);
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(
                Problem::new(
                    "",
                    format!(
                        "expected the name of a table, found `{}`",
                        escape::value(&relation.to_string())
                    ),
                )
                .hint("names of tables have no schema before them"),
            ),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Problem> {
        let function = match factor {
            TableFactor::Table {
                name, args: Some(_), ..
            }
            | TableFactor::Function { name, .. } => Some(name.to_string()),
            TableFactor::TableFunction { expr, .. } => Some(expr.to_string()),
            _ => None,
        };
        if let Some(function) = function {
            return ControlFlow::Break(
                Problem::new(
                    "",
                    format!(
                        "expected the name of a table, found the function `{}`",
                        escape::value(&function)
                    ),
                )
                .hint("SQL reads no files here: give the file to the command, and use its table"),
            );
        }
        let (alias, of) = match factor {
            TableFactor::Table { name, alias, .. } => (alias, Some(name.to_string())),
            TableFactor::Derived { alias, .. } | TableFactor::NestedJoin { alias, .. } => (alias, None),
            _ => (&None, None),
        };
        if let Some(alias) = alias {
            self.reads_all_columns |= !alias.columns.is_empty();
            self.aliases.push((alias.name.value.clone(), of));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Problem> {
        match expr {
            Expr::Function(function) => self.check_function(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}
