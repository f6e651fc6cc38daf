//! Calls of functions in expressions.

use polars::prelude as pl;
use polars::prelude::{DataType, Expr, IntoColumn, lit};
use sqlparser::ast::{
    Expr as Ast, Function as Call, FunctionArg, FunctionArgExpr, FunctionArguments, TrimWhereField, Value,
};

use crate::base::similar::nearest;
use crate::frames::compile::{Compiler, all_faults, unsupported};
use crate::frames::field::Access;
use crate::frames::functions::{self, Gives, Param, REPEATED};
use crate::frames::kind::Kind;
use crate::frames::node::quoted;
use crate::frames::node::{Literal, Node, either};
use crate::frames::wrong::Wrong;

impl Compiler<'_> {
    pub(super) fn function(&mut self, call: &Call, ast: &Ast) -> Result<Node, Wrong> {
        let name = call.name.to_string().to_lowercase();
        if functions::is_clock(&name) {
            return Err(Wrong::new(format!(
                "expected a function whose result depends on the row alone, found `{name}`"
            ))
            .hint("the same inputs must give the same results; write the instant as a text"));
        }
        if functions::is_aggregate(&name) || call.over.is_some() {
            return Err(
                Wrong::new(format!("expected an expression of one row, found {ast}"))
                    .hint("use `sql` in the source for functions of several rows"),
            );
        }
        let args = arguments(call).ok_or_else(|| unsupported(ast))?;
        let is_plain = call.filter.is_none() && call.within_group.is_empty() && call.null_treatment.is_none();
        if !is_plain {
            return Err(unsupported(ast));
        }
        match name.as_str() {
            "array_length" | "count_where" | "tag" => self.of_list(&name, &args, ast),
            "coalesce" | "ifnull" | "greatest" | "least" if !args.is_empty() => self.of_several(&name, &args),
            "nullif" | "if" | "mod" | "number" | "flag" | "instant" | "date" | "epoch" | "epoch_ms"
            | "regexp_extract" | "regexp_replace" | "strpos" => self.own(&name, &args, ast),
            _ => self.call_by_name(&name, &args, ast),
        }
    }

    /// Functions of a list in a column.
    fn of_list(&mut self, name: &str, args: &[&Ast], ast: &Ast) -> Result<Node, Wrong> {
        match (name, args) {
            ("array_length", [list]) => {
                let (column, path) = self.list(list)?;
                Ok(self.count_of(column, Access::Length(path)))
            }
            ("count_where", [list, field, value]) => {
                let (column, path) = self.list(list)?;
                let (field, value) = (text_of(field)?, text_of(value)?);
                Ok(self.count_of(column, Access::CountWhere { path, field, value }))
            }
            ("tag", [list, key]) => {
                let key = Ast::Value(Value::SingleQuotedString(text_of(key)?).with_empty_span());
                self.node(&Ast::BinaryOp {
                    left: Box::new((*list).clone()),
                    op: sqlparser::ast::BinaryOperator::LongArrow,
                    right: Box::new(key),
                })
            }
            _ => Err(Wrong::new(format!(
                "expected array_length(list), count_where(list, 'field', 'value') or tag(list, 'key'), found {ast}"
            ))),
        }
    }

    /// Functions whose arguments have one kind.
    fn of_several(&mut self, name: &str, args: &[&Ast]) -> Result<Node, Wrong> {
        let mut nodes = Vec::new();
        for arg in args {
            nodes.push((self.node(arg)?, *arg));
        }
        if matches!(name, "coalesce" | "ifnull") {
            return self.coalesce(nodes, name);
        }
        let n_untyped = nodes.iter().filter(|(node, _)| node.is_untyped).count();
        let (nodes, kind) = self.of_one_kind(nodes, &format!("in `{name}`"))?;
        if kind == Kind::Text && n_untyped > 1 {
            return Err(Wrong::new(format!(
                "expected values with an order in `{name}`, found texts without a type"
            ))
            .hint(format!("say what they are: {name}(number(x), number(y))")));
        }
        let fault = all_faults(&nodes);
        let exprs: Vec<Expr> = nodes.into_iter().map(|node| node.expr).collect();
        let Some(expr) = exprs.into_iter().reduce(|a, b| {
            let is_first = if name == "greatest" {
                a.clone().gt_eq(b.clone())
            } else {
                a.clone().lt_eq(b.clone())
            };
            // A null is left out, as in PostgreSQL.
            let use_first = is_first.fill_null(b.clone().is_null());
            pl::when(use_first).then(a).otherwise(b)
        }) else {
            return Err(Wrong::new(format!("expected arguments for `{name}`, found none")));
        };
        Ok(Node::new(expr, kind).with_fault(fault))
    }

    pub(super) fn own(&mut self, name: &str, args: &[&Ast], ast: &Ast) -> Result<Node, Wrong> {
        match (name, args) {
            ("number", [x]) => {
                let node = self.node(x)?;
                self.number(node, x)
            }
            ("flag", [x]) => {
                let node = self.node(x)?;
                self.flag(node, x)
            }
            ("instant", [x]) => {
                let node = self.node(x)?;
                self.instant(node, x)
            }
            ("date", [x]) => {
                let node = self.node(x)?;
                self.converted(node, Kind::Date, x)
            }
            ("epoch", [x]) => self.epoch(x),
            ("epoch_ms", [x]) => self.epoch_ms(x),
            ("mod", [a, b]) => self.binary(a, &sqlparser::ast::BinaryOperator::Modulo, b, ast),
            ("nullif", [a, b]) => {
                let (one, other) = (self.node(a)?, self.node(b)?);
                let (one, other) = self.alike(one, a, other, b, false)?;
                let fault = either(one.fault, other.fault);
                let is_equal = one.expr.clone().eq(other.expr).fill_null(lit(false));
                let expr = pl::when(is_equal).then(lit(pl::NULL)).otherwise(one.expr);
                Ok(Node::new(expr.cast(one.kind.data_type()), one.kind).with_fault(fault))
            }
            ("if", [condition, a, b]) => {
                let case = Ast::Case {
                    case_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
                    end_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
                    operand: None,
                    conditions: vec![sqlparser::ast::CaseWhen {
                        condition: (*condition).clone(),
                        result: (*a).clone(),
                    }],
                    else_result: Some(Box::new((*b).clone())),
                };
                self.node(&case)
            }
            ("strpos", [x, part]) => {
                let node = self.node(x)?;
                let node = self.converted(node, Kind::Text, x)?;
                let part = text_of(part)?;
                let expr = node.expr.map(
                    move |column| {
                        let found = |text: &str| match text.find(&part) {
                            Some(at) => text[..at].chars().count() as i64 + 1,
                            None => 0,
                        };
                        let name = column.name().clone();
                        let values: pl::Int64Chunked =
                            column.str()?.iter().map(|text| text.map(found)).collect();
                        Ok(values.with_name(name).into_column())
                    },
                    |_, field| Ok(pl::Field::new(field.name().clone(), DataType::Int64)),
                );
                Ok(Node::new(expr, Kind::Whole).with_fault(node.fault))
            }
            ("regexp_extract", [x, pattern, rest @ ..]) if rest.len() < 2 => {
                let group = rest.first().map_or(Ok(0), |group| whole_of(group))?;
                let node = self.node(x)?;
                let node = self.converted(node, Kind::Text, x)?;
                let pattern = text_of(pattern)?;
                check_pattern(&pattern)?;
                let group = usize::try_from(group).map_err(|_| unsupported(ast))?;
                let expr = node.expr.str().extract(lit(pattern), group);
                Ok(Node::new(expr, Kind::Text).with_fault(node.fault))
            }
            ("regexp_replace", [x, pattern, with]) => {
                let node = self.node(x)?;
                let node = self.converted(node, Kind::Text, x)?;
                let pattern = text_of(pattern)?;
                check_pattern(&pattern)?;
                let expr = node
                    .expr
                    .str()
                    .replace_all(lit(pattern), lit(text_of(with)?), false);
                Ok(Node::new(expr, Kind::Text).with_fault(node.fault))
            }
            _ => Err(Wrong::new(format!(
                "expected other arguments of `{name}`, found {} in {ast}",
                args.len()
            ))),
        }
    }

    pub(super) fn call_by_name(&mut self, name: &str, args: &[&Ast], ast: &Ast) -> Result<Node, Wrong> {
        let mut nodes = Vec::new();
        if functions::find(name).is_some() {
            for arg in args {
                nodes.push(self.node(arg)?);
            }
        }
        self.call_nodes(name, nodes, args, ast)
    }

    /// Calls a function of Polars SQL.
    pub(super) fn call_nodes(
        &mut self,
        name: &str,
        nodes: Vec<Node>,
        args: &[&Ast],
        ast: &Ast,
    ) -> Result<Node, Wrong> {
        let Some(function) = functions::find(name) else {
            let wrong = Wrong::new(format!("expected a function of one row, found `{name}`"));
            return Err(match nearest(name, functions::names()) {
                Some(near) => wrong.hint(format!("did you mean `{near}`?")),
                None => wrong.hint("docs/reference/expressions.md lists all functions"),
            });
        };
        let (n, most) = (nodes.len(), function.params.len());
        let is_repeated = function.n_optional == REPEATED;
        let least = if is_repeated {
            most
        } else {
            most - function.n_optional
        };
        if n < least || n > most && !is_repeated {
            return Err(Wrong::new(format!(
                "expected {} for `{name}`, found {n} in {ast}",
                match (least, is_repeated) {
                    (least, true) => format!("at least {least} arguments"),
                    (least, _) if least == most =>
                        format!("{most} argument{}", if most == 1 { "" } else { "s" }),
                    (least, _) => format!("{least} to {most} arguments"),
                }
            )));
        }
        let mut given = Vec::new();
        let mut sql = Vec::new();
        let mut first = None;
        for (idx, (node, arg)) in nodes.into_iter().zip(args).enumerate() {
            let param = function.params[idx.min(most - 1)];
            let node = match param {
                Param::LiteralText => {
                    let text = node.text().map(str::to_owned).ok_or_else(|| {
                        Wrong::new(format!(
                            "expected a text in single quotes for `{name}`, found {arg}"
                        ))
                    })?;
                    if name == "regexp_like" {
                        check_pattern(&text)?;
                    }
                    sql.push(quoted(&text));
                    continue;
                }
                Param::LiteralWhole => {
                    let Some(Literal::Whole(n)) = node.literal else {
                        return Err(Wrong::new(format!(
                            "expected a whole number for `{name}`, found {arg}"
                        )));
                    };
                    if matches!(name, "lpad" | "rpad") && !(0..=MAX_PADDED).contains(&n) {
                        return Err(Wrong::new(format!(
                            "expected a length of 0 to {MAX_PADDED} for `{name}`, found {n}"
                        )));
                    }
                    sql.push(n.to_string());
                    continue;
                }
                Param::Text | Param::Any => {
                    if param == Param::Text && node.kind.is_number() {
                        return Err(Wrong::new(format!(
                            "expected texts for `{name}`, found {} in {arg}",
                            node.kind
                        ))
                        .hint(format!("convert them: cast({arg} as text)")));
                    }
                    self.converted(node, Kind::Text, arg)?
                }
                // Powers of whole numbers would wrap.
                Param::Number if function.may_fail => self.converted(node, Kind::Real, arg)?,
                Param::Number => self.number(node, arg)?,
                Param::Instant => self.instant(node, arg)?,
            };
            first.get_or_insert(node.kind);
            sql.push(format!("${}", given.len()));
            given.push(node);
        }
        let kind = match function.gives {
            Gives::Kind(kind) => kind,
            Gives::First => first.unwrap_or(Kind::Real),
        };
        let node = self.template(&format!("{name}({})", sql.join(", ")), given, kind, ast)?;
        if name == "abs" && kind == Kind::Whole {
            // The smallest whole number has no counterpart.
            let wrong = node.expr.clone().lt(lit(0));
            let fault = self.fault(
                wrong,
                format!("a whole number of at most 64 bits in {ast}"),
                node.expr.clone(),
            );
            return Ok(Node::new(node.expr, kind).with_fault(either(node.fault, Some(fault))));
        }
        if !function.may_fail {
            return Ok(node);
        }
        let values = self.step(node.expr);
        let wrong = values.clone().is_finite().not();
        let fault = self.fault(wrong, format!("a finite number in {ast}"), values.clone());
        Ok(Node::new(values, kind).with_fault(either(node.fault, Some(fault))))
    }

    /// Compiles a piece of SQL whose `$0`, `$1`, ... are nodes.
    pub(super) fn template(
        &mut self,
        sql: &str,
        nodes: Vec<Node>,
        kind: Kind,
        ast: &Ast,
    ) -> Result<Node, Wrong> {
        let fault = all_faults(&nodes);
        let mut text = sql.to_owned();
        for idx in (0..nodes.len()).rev() {
            text = text.replace(&format!("${idx}"), &format!("\"${idx}\""));
        }
        let expr = polars::sql::sql_expr(&text).map_err(|error| {
            let found = error.to_string();
            Wrong::new(format!("expected an expression of one row, found {ast}: {found}"))
        })?;
        let expr = expr.map_expr(|expr| match &expr {
            Expr::Column(name) => name
                .strip_prefix('$')
                .and_then(|idx| idx.parse::<usize>().ok())
                .and_then(|idx| nodes.get(idx))
                .map_or(expr.clone(), |node| node.expr.clone()),
            _ => expr,
        });
        Ok(Node::new(expr.cast(kind.data_type()), kind).with_fault(fault))
    }

    pub(super) fn like(&mut self, ast: &Ast) -> Result<Node, Wrong> {
        let (expr, pattern, word, negated) = match ast {
            Ast::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => (expr, pattern, "LIKE", *negated),
            Ast::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => (expr, pattern, "ILIKE", *negated),
            Ast::RLike {
                negated,
                expr,
                pattern,
                ..
            } => (expr, pattern, "RLIKE", *negated),
            other => return Err(unsupported(other)),
        };
        let pattern = text_of(pattern)?;
        if word == "RLIKE" {
            check_pattern(&pattern)?;
        }
        let node = self.node(expr)?;
        let node = self.converted(node, Kind::Text, expr)?;
        let not = if negated { "NOT " } else { "" };
        self.template(
            &format!("$0 {not}{word} {}", quoted(&pattern)),
            vec![node],
            Kind::Flag,
            ast,
        )
    }

    pub(super) fn trim(
        &mut self,
        expr: &Ast,
        side: Option<TrimWhereField>,
        what: Option<&Ast>,
        characters: Option<&[Ast]>,
        ast: &Ast,
    ) -> Result<Node, Wrong> {
        let node = self.node(expr)?;
        let node = self.converted(node, Kind::Text, expr)?;
        let characters = match (what, characters) {
            (Some(what), None) | (None, Some([what])) => lit(text_of(what)?),
            (None, None) => lit(pl::NULL).cast(DataType::String),
            _ => return Err(unsupported(ast)),
        };
        let texts = node.expr.str();
        let expr = match side {
            None | Some(TrimWhereField::Both) => texts.strip_chars(characters),
            Some(TrimWhereField::Leading) => texts.strip_chars_start(characters),
            Some(TrimWhereField::Trailing) => texts.strip_chars_end(characters),
        };
        Ok(Node::new(expr, Kind::Text).with_fault(node.fault))
    }
}

/// The longest text that is padded, characters.
const MAX_PADDED: i64 = 10_000;

/// The arguments of a call. `None` if they are no list of expressions.
fn arguments(call: &Call) -> Option<Vec<&Ast>> {
    let list = match &call.args {
        FunctionArguments::List(list) => list,
        FunctionArguments::None => return Some(Vec::new()),
        FunctionArguments::Subquery(_) => return None,
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return None;
    }
    list.args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

fn text_of(ast: &Ast) -> Result<String, Wrong> {
    match ast {
        Ast::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok(text.clone()),
            other => Err(Wrong::new(format!(
                "expected a text in single quotes, found {other}"
            ))),
        },
        other => Err(Wrong::new(format!(
            "expected a text in single quotes, found {other}"
        ))),
    }
}

fn whole_of(ast: &Ast) -> Result<i64, Wrong> {
    let wrong = || Wrong::new(format!("expected a whole number, found {ast}"));
    let Ast::Value(value) = ast else {
        return Err(wrong());
    };
    match &value.value {
        Value::Number(digits, _) => digits.parse().map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// Checks a regular expression before it meets a row.
pub(super) fn check_pattern(pattern: &str) -> Result<(), Wrong> {
    let parsed = regex_syntax::parse(pattern);
    parsed.map(|_| ()).map_err(|error| {
        let found = error.to_string();
        let last = found
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        Wrong::new(format!(
            "expected a regular expression, found '{pattern}': {last}"
        ))
    })
}
