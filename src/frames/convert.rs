//! Conversions between kinds, arithmetic, and comparisons.

use polars::prelude as pl;
use polars::prelude::{DataType, Expr, IntoColumn, IntoSeries, NewChunkedArray, lit};
use sqlparser::ast::{BinaryOperator as Op, DataType as SqlType, Expr as Ast, TypedString};

use crate::base::flag;
use crate::base::time;
use crate::base::time::SECOND;
use crate::frames::call::check_pattern;
use crate::frames::compile::{Compiler, unsupported};
use crate::frames::kind::Kind;
use crate::frames::node::{Literal, MAX_WHOLE, Node, either, quoted};
use crate::frames::tree::literal;
use crate::frames::wrong::Wrong;

impl Compiler<'_> {
    /// Converts a node to a kind, if its values can have it without a loss.
    ///
    /// # Errors
    /// They cannot.
    pub(super) fn converted(&mut self, node: Node, kind: Kind, ast: &Ast) -> Result<Node, Wrong> {
        match kind {
            _ if node.kind == kind => Ok(node),
            Kind::Null => Ok(node),
            Kind::Flag => self.flag(node, ast),
            Kind::Whole => self.number(node, ast),
            Kind::Real => {
                let node = self.number(node, ast)?;
                Ok(Node::new(node.expr.cast(DataType::Float64), Kind::Real).with_fault(node.fault))
            }
            Kind::Text => Ok(Node::new(node.expr.cast(DataType::String), Kind::Text).with_fault(node.fault)),
            Kind::Instant => self.instant(node, ast),
            Kind::Date => {
                let node = self.instant(node, ast)?;
                Ok(Node::new(node.expr.cast(DataType::Date), Kind::Date).with_fault(node.fault))
            }
        }
    }

    /// Numbers. Texts are read as numbers.
    pub(super) fn number(&mut self, node: Node, ast: &Ast) -> Result<Node, Wrong> {
        match node.kind {
            Kind::Whole | Kind::Real => Ok(node),
            Kind::Null => Ok(Node::new(node.expr.cast(DataType::Float64), Kind::Real)),
            Kind::Flag => Ok(Node::new(node.expr.cast(DataType::Int64), Kind::Whole)
                .with_fault(node.fault)
                .with_bound(1.0)),
            Kind::Text => {
                if let Some(text) = node.text() {
                    return number_of(text)
                        .map(Node::literal)
                        .ok_or_else(|| Wrong::new(format!("expected a number, found the text '{text}'")));
                }
                self.parsed(node, Kind::Real, &format!("a number in {ast}"), numbers)
            }
            Kind::Date | Kind::Instant => Err(Wrong::new(format!(
                "expected numbers, found {} in {ast}",
                node.kind
            ))
            .hint("epoch(x) is the number of seconds since 1970, epoch_ms(x) that of milliseconds")),
        }
    }

    /// Whole numbers of texts, exactly. A fraction is cut off.
    pub(super) fn whole(&mut self, node: Node, ast: &Ast) -> Result<Node, Wrong> {
        if node.literal.is_some() {
            return self.number(node, ast);
        }
        self.parsed(node, Kind::Whole, &format!("a number in {ast}"), wholes)
    }

    /// Flags. Texts and numbers that mean true or false are read as flags.
    pub(super) fn flag(&mut self, node: Node, ast: &Ast) -> Result<Node, Wrong> {
        match node.kind {
            Kind::Flag => Ok(node),
            Kind::Null => Ok(Node::new(node.expr.cast(DataType::Boolean), Kind::Flag)),
            Kind::Text => {
                if let Some(text) = node.text() {
                    let flag = flag::parse(text).ok_or_else(|| {
                        Wrong::new(format!("expected true or false, found the text '{text}'"))
                    })?;
                    return Ok(Node::literal(Literal::Flag(flag)));
                }
                self.parsed(node, Kind::Flag, &format!("true or false in {ast}"), flags)
            }
            Kind::Whole | Kind::Real => {
                let is_one = node.expr.clone().eq(lit(1));
                let wrong = node.expr.clone().neq(lit(0)).and(is_one.clone().not());
                let fault = self.fault(wrong, format!("true or false in {ast}"), node.expr);
                Ok(Node::new(is_one, Kind::Flag).with_fault(either(node.fault, Some(fault))))
            }
            Kind::Date | Kind::Instant => Err(Wrong::new(format!(
                "expected true or false, found {} in {ast}",
                node.kind
            ))),
        }
    }

    /// Instants. Texts are read as instants, numbers as seconds since 1970.
    pub(super) fn instant(&mut self, node: Node, ast: &Ast) -> Result<Node, Wrong> {
        let to = Kind::Instant.data_type();
        match node.kind {
            Kind::Instant => Ok(node),
            Kind::Null => Ok(Node::new(node.expr.cast(to), Kind::Instant)),
            Kind::Date => Ok(Node::new(node.expr.cast(to), Kind::Instant).with_fault(node.fault)),
            Kind::Text => {
                if let Some(text) = node.text() {
                    let at = time::parse(text).map_err(|why| Wrong::new(why.message(text)))?;
                    return Ok(Node::new(lit(at).cast(DataType::Int64).cast(to), Kind::Instant));
                }
                self.parsed(
                    node,
                    Kind::Instant,
                    &format!("{} in {ast}", time::EXPECTED),
                    instants,
                )
            }
            Kind::Whole | Kind::Real => {
                let seconds = node.expr.cast(DataType::Float64);
                let micros = seconds.clone().map(
                    |column| {
                        let values: pl::Int64Chunked = column
                            .f64()?
                            .iter()
                            .map(|seconds| time::from_seconds(seconds?).ok())
                            .collect();
                        Ok(values.with_name(column.name().clone()).into_column())
                    },
                    |_, field| Ok(pl::Field::new(field.name().clone(), DataType::Int64)),
                );
                let micros = self.step(micros);
                let wrong = seconds.clone().is_not_null().and(micros.clone().is_null());
                let fault = self.fault(wrong, format!("seconds since 1970 in {ast}"), seconds);
                Ok(Node::new(micros.cast(to), Kind::Instant).with_fault(either(node.fault, Some(fault))))
            }
            Kind::Flag => Err(Wrong::new(format!("expected instants, found flags in {ast}"))),
        }
    }

    /// Reads texts. A text that cannot be read is a fault.
    fn parsed(
        &mut self,
        node: Node,
        kind: Kind,
        expected: &str,
        read: fn(&pl::StringChunked) -> pl::Series,
    ) -> Result<Node, Wrong> {
        let texts = node.expr;
        let parsed = texts.clone().map(
            move |column| {
                let name = column.name().clone();
                Ok(read(column.str()?).with_name(name).into_column())
            },
            move |_, field| Ok(pl::Field::new(field.name().clone(), kind.data_type())),
        );
        let values = self.step(parsed);
        let wrong = texts.clone().is_not_null().and(values.clone().is_null());
        let fault = self.fault(wrong, expected.to_owned(), texts);
        if let Some(reason) = self.program.reasons.last_mut() {
            reason.is_text = true;
        }
        Ok(Node::new(values, kind).with_fault(either(node.fault, Some(fault))))
    }

    pub(super) fn typed_literal(&mut self, typed: &TypedString) -> Result<Node, Wrong> {
        let ast = Ast::TypedString(typed.clone());
        let Ok(text) = literal_text(typed) else {
            return Err(unsupported(&ast));
        };
        let node = Node::literal(Literal::Text(text));
        match typed.data_type {
            SqlType::Date => self.converted(node, Kind::Date, &ast),
            SqlType::Timestamp(..) | SqlType::Datetime(_) => self.instant(node, &ast),
            _ => Err(unsupported(&ast)),
        }
    }

    pub(super) fn binary(&mut self, left: &Ast, op: &Op, right: &Ast, ast: &Ast) -> Result<Node, Wrong> {
        if let (Op::Plus | Op::Minus, Ast::Interval(interval)) = (op, right) {
            let node = self.node(left)?;
            let node = self.instant(node, left)?;
            let micros = micros_of(interval).ok_or_else(|| {
                unsupported(right).hint(
                    "write a duration as \
                interval '8 hours': weeks, days, hours, minutes or seconds",
                )
            })?;
            let micros = if *op == Op::Minus { -micros } else { micros };
            let at = node.expr.cast(DataType::Int64) + lit(micros);
            return Ok(Node::new(at.cast(Kind::Instant.data_type()), Kind::Instant).with_fault(node.fault));
        }
        let (a, b) = (self.node(left)?, self.node(right)?);
        match op {
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo | Op::DuckIntegerDivide => {
                let (a, b) = (self.number(a, left)?, self.number(b, right)?);
                self.arithmetic(a, op, b, ast)
            }
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Spaceship => {
                let is_ordered = !matches!(op, Op::Eq | Op::NotEq | Op::Spaceship);
                let (a, b) = self.alike(a, left, b, right, is_ordered)?;
                self.comparison(a, op, b, ast)
            }
            Op::StringConcat => {
                let (a, b) = (
                    self.converted(a, Kind::Text, left)?,
                    self.converted(b, Kind::Text, right)?,
                );
                let fault = either(a.fault, b.fault);
                Ok(Node::new(a.expr + b.expr, Kind::Text).with_fault(fault))
            }
            Op::PGRegexMatch | Op::PGRegexNotMatch | Op::PGRegexIMatch | Op::PGRegexNotIMatch => {
                let a = self.converted(a, Kind::Text, left)?;
                let pattern = b.text().ok_or_else(|| unsupported(ast))?.to_owned();
                check_pattern(&pattern)?;
                self.template(&format!("$0 {op} {}", quoted(&pattern)), vec![a], Kind::Flag, ast)
            }
            other => Err(Wrong::new(format!(
                "expected an operator of one row, found `{other}` in {ast}"
            ))),
        }
    }

    /// The kind in which two texts are compared. Texts of a file that states no types may be numbers or
    /// instants, whose order is another one.
    fn order_of_texts(&self, a: &Node, left: &Ast, b: &Node, right: &Ast) -> Result<Kind, Wrong> {
        let meant = |text: &str| match number_of(text) {
            Some(_) => Kind::Real,
            None if time::parse(text).is_ok() => Kind::Instant,
            None => Kind::Text,
        };
        match (a.is_untyped, b.is_untyped) {
            (true, true) => Err(Wrong::new(format!(
                "expected values with an order, found two texts without a type, {left} and {right}"
            ))
            .hint(format!(
                "say what they are: number({left}), instant({left}) or lower({left})"
            ))),
            (true, false) => Ok(b.text().map_or(Kind::Text, meant)),
            (false, true) => Ok(a.text().map_or(Kind::Text, meant)),
            (false, false) => Ok(Kind::Text),
        }
    }

    /// Two values of kinds that can be compared. `is_ordered` says whether their order counts.
    pub(super) fn alike(
        &mut self,
        a: Node,
        left: &Ast,
        b: Node,
        right: &Ast,
        is_ordered: bool,
    ) -> Result<(Node, Node), Wrong> {
        let (one, other) = (a.kind, b.kind);
        let to = match (one, other) {
            (Kind::Text, Kind::Text) if is_ordered => self.order_of_texts(&a, left, &b, right)?,
            (x, y) if x == y || x.is_number() && y.is_number() => return Ok((a, b)),
            (Kind::Null, x) | (x, Kind::Null) => x,
            (Kind::Instant, _) | (_, Kind::Instant) => Kind::Instant,
            (Kind::Date, Kind::Text) | (Kind::Text, Kind::Date) => Kind::Instant,
            (Kind::Flag, _) | (_, Kind::Flag) => Kind::Flag,
            (Kind::Text, x) | (x, Kind::Text) if x.is_number() => x,
            _ => {
                return Err(Wrong::new(format!(
                    "expected values that can be compared, found {one} in {left} and {other} in {right}"
                )));
            }
        };
        Ok((self.comparable(a, to, left)?, self.comparable(b, to, right)?))
    }

    fn comparable(&mut self, node: Node, to: Kind, ast: &Ast) -> Result<Node, Wrong> {
        if node.kind == Kind::Text && to.is_number() {
            return self.number(node, ast);
        }
        self.converted(node, to, ast)
    }

    /// A comparison. A number that is infinite or NaN is a fault.
    fn comparison(&mut self, a: Node, op: &Op, b: Node, ast: &Ast) -> Result<Node, Wrong> {
        let mut fault = either(a.fault.clone(), b.fault.clone());
        for node in [&a, &b] {
            if node.kind == Kind::Real && node.literal.is_none() {
                let wrong = node.expr.clone().is_finite().not();
                let found = self.fault(wrong, format!("a finite number in {ast}"), node.expr.clone());
                fault = either(fault, Some(found));
            }
        }
        let (a, b) = (a.expr, b.expr);
        let expr = match op {
            Op::Eq => a.eq(b),
            Op::NotEq => a.neq(b),
            Op::Lt => a.lt(b),
            Op::LtEq => a.lt_eq(b),
            Op::Gt => a.gt(b),
            Op::GtEq => a.gt_eq(b),
            _ => a.eq_missing(b),
        };
        Ok(Node::new(expr, Kind::Flag).with_fault(fault))
    }

    /// Arithmetic of numbers. A division by zero and a whole number beyond 64 bits are faults.
    pub(super) fn arithmetic(&mut self, a: Node, op: &Op, b: Node, ast: &Ast) -> Result<Node, Wrong> {
        let fault = either(a.fault.clone(), b.fault.clone());
        let is_whole = a.kind == Kind::Whole && b.kind == Kind::Whole;
        if matches!(op, Op::Divide | Op::Modulo | Op::DuckIntegerDivide) {
            return self.division(a, op, b, fault, ast);
        }
        let apply = |a: Expr, b: Expr| match op {
            Op::Plus => a + b,
            Op::Minus => a - b,
            _ => a * b,
        };
        if !is_whole {
            let real = |node: Node| node.expr.cast(DataType::Float64);
            return Ok(Node::new(apply(real(a), real(b)), Kind::Real).with_fault(fault));
        }
        let bound = match op {
            Op::Multiply => a.bound * b.bound,
            _ => a.bound + b.bound,
        };
        let expr = apply(a.expr.clone(), b.expr.clone());
        if bound <= MAX_WHOLE {
            return Ok(Node::new(expr, Kind::Whole).with_fault(fault).with_bound(bound));
        }
        let real = |node: Node| node.expr.cast(DataType::Float64);
        let size = apply(real(a), real(b));
        let wrong = size.clone().abs().gt(lit(MAX_WHOLE));
        let found = self.fault(wrong, format!("a whole number of at most 64 bits in {ast}"), size);
        Ok(Node::new(expr, Kind::Whole).with_fault(either(fault, Some(found))))
    }

    fn division(&mut self, a: Node, op: &Op, b: Node, fault: Option<Expr>, ast: &Ast) -> Result<Node, Wrong> {
        let is_zero = match b.literal {
            Some(Literal::Whole(n)) => n == 0,
            Some(Literal::Real(x)) => x == 0.0,
            _ => true,
        };
        let is_whole = a.kind == Kind::Whole && b.kind == Kind::Whole;
        let mut fault = fault;
        let mut divisor = b.expr;
        if is_zero {
            let wrong = divisor.clone().eq(lit(0));
            let found = self.fault(
                wrong.and(a.expr.clone().is_not_null()),
                format!("a divisor that is not 0 in {ast}"),
                divisor.clone(),
            );
            fault = either(fault, Some(found.clone()));
            if is_whole && *op != Op::Divide {
                divisor = pl::when(divisor.clone().eq(lit(0)))
                    .then(lit(1))
                    .otherwise(divisor)
                    .cast(DataType::Int64);
            }
        }
        let real = |expr: Expr| expr.cast(DataType::Float64);
        let (expr, kind) = match op {
            Op::Divide => (real(a.expr) / real(divisor), Kind::Real),
            Op::Modulo if is_whole => (a.expr % divisor, Kind::Whole),
            Op::Modulo => (real(a.expr) % real(divisor), Kind::Real),
            _ if is_whole => {
                // The smallest whole number has no counterpart.
                let wrong = divisor.clone().eq(lit(-1)).and(a.expr.clone().eq(lit(i64::MIN)));
                let expected = format!("a whole number of at most 64 bits in {ast}");
                let found = self.fault(wrong, expected, a.expr.clone());
                fault = either(fault, Some(found));
                (a.expr.floor_div(divisor), Kind::Whole)
            }
            _ => (real(a.expr).floor_div(real(divisor)), Kind::Real),
        };
        Ok(Node::new(expr, kind).with_fault(fault))
    }

    /// `cast(x as T)`. With `is_try`, values that cannot be converted are null.
    pub(super) fn cast(&mut self, expr: &Ast, to: &SqlType, is_try: bool, ast: &Ast) -> Result<Node, Wrong> {
        let kind = kind_of_type(to).ok_or_else(|| {
            Wrong::new(format!(
                "expected a type such as bigint, double, text, boolean, date or timestamp, found {to}"
            ))
        })?;
        let node = self.node(expr)?;
        let node = if kind == Kind::Whole && node.kind == Kind::Text {
            self.whole(node, expr)?
        } else if kind == Kind::Whole && node.kind != Kind::Whole {
            let node = self.number(node, expr)?;
            if node.kind == Kind::Whole {
                node
            } else {
                let wrong = node.expr.clone().is_finite().not().or(node
                    .expr
                    .clone()
                    .abs()
                    .gt(lit(MAX_WHOLE)));
                let fault = self.fault(
                    wrong,
                    format!("a whole number of at most 64 bits in {ast}"),
                    node.expr.clone(),
                );
                Node::new(node.expr.cast(DataType::Int64), Kind::Whole)
                    .with_fault(either(node.fault, Some(fault)))
            }
        } else {
            self.converted(node, kind, expr)?
        };
        match (is_try, node.fault.clone()) {
            (true, Some(fault)) => {
                let expr = pl::when(fault)
                    .then(lit(pl::NULL))
                    .otherwise(node.expr)
                    .cast(kind.data_type());
                Ok(Node::new(expr, kind))
            }
            _ => Ok(node),
        }
    }

    /// Seconds since 1970.
    pub(super) fn epoch(&mut self, expr: &Ast) -> Result<Node, Wrong> {
        let node = self.node(expr)?;
        let node = self.instant(node, expr)?;
        let seconds = node.expr.cast(DataType::Int64).cast(DataType::Float64) / lit(SECOND as f64);
        Ok(Node::new(seconds, Kind::Real).with_fault(node.fault))
    }

    /// Milliseconds since 1970.
    pub(super) fn epoch_ms(&mut self, expr: &Ast) -> Result<Node, Wrong> {
        let node = self.node(expr)?;
        let node = self.instant(node, expr)?;
        let millis = node.expr.cast(DataType::Int64).floor_div(lit(1_000_i64));
        Ok(Node::new(millis, Kind::Whole)
            .with_fault(node.fault)
            .with_bound(1e15))
    }
}

fn literal_text(typed: &TypedString) -> Result<String, Wrong> {
    match literal(&typed.value.value)? {
        Literal::Text(text) => Ok(text),
        _ => Err(Wrong::new("expected a text")),
    }
}

/// The kind of a SQL type.
fn kind_of_type(to: &SqlType) -> Option<Kind> {
    Some(match to {
        SqlType::Boolean | SqlType::Bool => Kind::Flag,
        SqlType::TinyInt(_)
        | SqlType::SmallInt(_)
        | SqlType::Int(_)
        | SqlType::Integer(_)
        | SqlType::BigInt(_)
        | SqlType::Int2(_)
        | SqlType::Int4(_)
        | SqlType::Int8(_)
        | SqlType::Int64 => Kind::Whole,
        SqlType::Float(_)
        | SqlType::Float4
        | SqlType::Float8
        | SqlType::Float64
        | SqlType::Real
        | SqlType::Double(_)
        | SqlType::DoublePrecision
        | SqlType::Decimal(_)
        | SqlType::Numeric(_) => Kind::Real,
        SqlType::Varchar(_) | SqlType::Text | SqlType::String(_) | SqlType::Char(_) => Kind::Text,
        SqlType::Date => Kind::Date,
        SqlType::Timestamp(..) | SqlType::Datetime(_) => Kind::Instant,
        _ => return None,
    })
}

/// The length of `interval '8 hours'` or `interval '8' hour`, microseconds. `None` for another form.
fn micros_of(interval: &sqlparser::ast::Interval) -> Option<i64> {
    let Ast::Value(value) = interval.value.as_ref() else {
        return None;
    };
    let text = match literal(&value.value).ok()? {
        Literal::Text(text) => text,
        Literal::Whole(n) => n.to_string(),
        _ => return None,
    };
    let text = match &interval.leading_field {
        Some(unit) => format!("{text} {unit}"),
        None => text,
    };
    let (n, unit) = text.trim().split_once(' ')?;
    let n: f64 = n.parse().ok()?;
    let seconds = match unit.trim().to_lowercase().trim_end_matches('s') {
        "second" => 1.0,
        "minute" => 60.0,
        "hour" => 3_600.0,
        "day" => 86_400.0,
        "week" => 604_800.0,
        _ => return None,
    };
    let micros = n * seconds * SECOND as f64;
    (micros.abs() < 1e17).then_some(micros.round() as i64)
}

fn number_of(text: &str) -> Option<Literal> {
    let text = text.trim();
    if let Ok(n) = text.parse::<i64>() {
        return Some(Literal::Whole(n));
    }
    text.parse::<f64>()
        .ok()
        .filter(|x| x.is_finite())
        .map(Literal::Real)
}

fn numbers(texts: &pl::StringChunked) -> pl::Series {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    let values: pl::Float64Chunked = texts.iter().map(|text| text.and_then(number)).collect();
    values.into_series()
}

fn wholes(texts: &pl::StringChunked) -> pl::Series {
    let whole = |text: &str| {
        let text = text.trim();
        text.parse::<i64>().ok().or_else(|| {
            let number = text.parse::<f64>().ok()?;
            (number.abs() < MAX_WHOLE).then_some(number as i64)
        })
    };
    let values: pl::Int64Chunked = texts.iter().map(|text| text.and_then(whole)).collect();
    values.into_series()
}

fn flags(texts: &pl::StringChunked) -> pl::Series {
    let values: pl::BooleanChunked = texts.iter().map(|text| text.and_then(flag::parse)).collect();
    values.into_series()
}

fn instants(texts: &pl::StringChunked) -> pl::Series {
    let values: Vec<Option<i64>> = texts
        .iter()
        .map(|text| text.and_then(|text| time::parse(text).ok()))
        .collect();
    let values = pl::Int64Chunked::from_slice_options("".into(), &values);
    values
        .into_datetime(pl::TimeUnit::Microseconds, None)
        .into_series()
}
