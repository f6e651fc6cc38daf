//! The functions of expressions. Those of Polars SQL are compiled by it, so a row and a query have
//! the same functions; some are added for the values of logs.

use crate::frames::kind::Kind;

/// What a function needs in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    /// A text.
    Text,
    /// A text that stands in the expression as it is.
    LiteralText,
    /// A number.
    Number,
    /// A whole number that stands in the expression as it is.
    LiteralWhole,
    /// An instant, a date, or a text that is one.
    Instant,
    /// A value of any kind, as text.
    Any,
}

/// The kind of a function's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Kind(Kind),
    /// The kind of the first argument.
    First,
}

/// A function of Polars SQL with one value in each row.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// The arguments.
    pub(crate) params: &'static [Param],
    /// Number of the arguments that may be left out, from the end. `usize::MAX` for a last argument
    /// that may be repeated.
    pub(crate) n_optional: usize,
    pub(crate) gives: Gives,
    /// Whether the result can be infinite or NaN.
    pub(crate) may_fail: bool,
}

/// The last argument may be repeated.
pub(crate) const REPEATED: usize = usize::MAX;

const fn of(name: &'static str, params: &'static [Param], n_optional: usize, kind: Kind) -> Function {
    Function {
        name,
        params,
        n_optional,
        gives: Gives::Kind(kind),
        may_fail: false,
    }
}

const fn real(name: &'static str, params: &'static [Param], n_optional: usize) -> Function {
    Function {
        name,
        params,
        n_optional,
        gives: Gives::Kind(Kind::Real),
        may_fail: true,
    }
}

const fn first(name: &'static str, params: &'static [Param], n_optional: usize) -> Function {
    Function {
        name,
        params,
        n_optional,
        gives: Gives::First,
        may_fail: false,
    }
}

use Param::{Any, Instant, LiteralText, LiteralWhole, Number, Text};

/// The functions of Polars SQL that an expression of one row may call.
pub(crate) const FUNCTIONS: [Function; 38] = [
    // Numbers.
    first("abs", &[Number], 0),
    first("ceil", &[Number], 0),
    first("floor", &[Number], 0),
    first("sign", &[Number], 0),
    first("round", &[Number, LiteralWhole], 1),
    real("cbrt", &[Number], 0),
    real("exp", &[Number], 0),
    real("ln", &[Number], 0),
    real("log", &[Number, Number], 1),
    real("log10", &[Number], 0),
    real("log1p", &[Number], 0),
    real("log2", &[Number], 0),
    real("pow", &[Number, Number], 0),
    real("power", &[Number, Number], 0),
    real("sqrt", &[Number], 0),
    real("sin", &[Number], 0),
    real("cos", &[Number], 0),
    // Texts.
    of("lower", &[Text], 0, Kind::Text),
    of("upper", &[Text], 0, Kind::Text),
    of("ltrim", &[Text, LiteralText], 1, Kind::Text),
    of("rtrim", &[Text, LiteralText], 1, Kind::Text),
    of("lpad", &[Text, LiteralWhole, LiteralText], 1, Kind::Text),
    of("rpad", &[Text, LiteralWhole, LiteralText], 1, Kind::Text),
    of("left", &[Text, LiteralWhole], 0, Kind::Text),
    of("right", &[Text, LiteralWhole], 0, Kind::Text),
    of("substr", &[Text, LiteralWhole, LiteralWhole], 1, Kind::Text),
    of("replace", &[Text, LiteralText, LiteralText], 0, Kind::Text),
    of("reverse", &[Text], 0, Kind::Text),
    of("concat", &[Any, Any], REPEATED, Kind::Text),
    of("concat_ws", &[LiteralText, Any], REPEATED, Kind::Text),
    of("length", &[Text], 0, Kind::Whole),
    of("char_length", &[Text], 0, Kind::Whole),
    of("octet_length", &[Text], 0, Kind::Whole),
    of("starts_with", &[Text, LiteralText], 0, Kind::Flag),
    of("ends_with", &[Text, LiteralText], 0, Kind::Flag),
    of("regexp_like", &[Text, LiteralText], 0, Kind::Flag),
    // Times.
    of("date_part", &[LiteralText, Instant], 0, Kind::Whole),
    of("strftime", &[Instant, LiteralText], 0, Kind::Text),
];

/// Functions whose arguments have one kind, and that [`crate::frames::compile`] knows.
pub(crate) const OF_ONE_KIND: [&str; 6] = ["coalesce", "ifnull", "nullif", "if", "greatest", "least"];

/// Functions that are added for the values of logs.
pub(crate) const OWN: [&str; 13] = [
    "strpos",
    "number",
    "flag",
    "instant",
    "epoch",
    "epoch_ms",
    "mod",
    "date",
    "regexp_extract",
    "regexp_replace",
    "array_length",
    "count_where",
    "tag",
];

/// Functions of clocks and chance. The same inputs must give the same bytes.
const CLOCKS: [&str; 22] = [
    "now",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "getdate",
    "sysdate",
    "today",
    "utc_timestamp",
    "age",
    "random",
    "rand",
    "setseed",
    "uuid",
    "gen_random_uuid",
    "newid",
    "uuidv4",
    "uuidv7",
];

/// Functions of several rows.
const AGGREGATES: [&str; 34] = [
    "sum",
    "count",
    "avg",
    "mean",
    "min",
    "max",
    "median",
    "stddev",
    "stddev_samp",
    "stdev",
    "stdev_samp",
    "variance",
    "var",
    "var_samp",
    "first",
    "last",
    "any_value",
    "string_agg",
    "array_agg",
    "listagg",
    "group_concat",
    "quantile_cont",
    "quantile_disc",
    "corr",
    "covar",
    "covar_pop",
    "covar_samp",
    "row_number",
    "rank",
    "dense_rank",
    "lag",
    "lead",
    "first_value",
    "last_value",
];

/// The function of Polars SQL with this name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Whether a function reads a clock or makes random values.
pub(crate) fn is_clock(name: &str) -> bool {
    CLOCKS.contains(&name)
}

/// Whether a function needs several rows.
pub(crate) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

/// The names of all functions of one row.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let sql = FUNCTIONS.iter().map(|function| function.name);
    sql.chain(OF_ONE_KIND).chain(OWN)
}
