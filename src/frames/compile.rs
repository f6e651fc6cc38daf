//! From the tree of an expression to expressions of Polars: names, kinds, conversions, and the rows
//! without a legal value.
//!
//! A row without a legal value, such as a division by zero, stops no batch. It has a *fault*, which
//! follows the value through the expression: `case` and `coalesce` have a fault only where they use
//! the value that has one.

use polars::prelude::{Expr, col, when};
use sqlparser::ast::{
    AccessExpr, BinaryOperator as Op, CastKind, Expr as Ast, Ident, Subscript, UnaryOperator, Value, Visit,
    Visitor,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::base::similar::nearest;
use crate::frames::field::{Access, Field};
use crate::frames::kind::Kind;
use crate::frames::node::quoted;
use crate::frames::node::{BEYOND_WHOLE, Literal, MAX_WHOLE, Node, either, faults, guarded};
use crate::frames::parse::parse;
use crate::frames::wrong::Wrong;

/// What a name in an expression is.
#[derive(Debug, Clone)]
pub(crate) enum Named {
    /// A column of the file, or a value within it.
    Field(Column),
    /// Another expression of the source, by its name.
    Derived(Derived),
    /// A text that all rows have.
    Constant(String),
}

/// A column of the file, or a value within it.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) field: Field,
    pub(crate) kind: Kind,
    /// The largest size of whole numbers.
    pub(crate) bound: f64,
    /// Whether it is a text of a file that states no types.
    pub(crate) is_untyped: bool,
}

/// Another expression of the source.
#[derive(Debug, Clone)]
pub(crate) struct Derived {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Its key, for messages.
    pub(crate) key: String,
}

/// Which names come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Columns of the file: for the expressions of a source.
    File,
    /// Names of Sluice: for the expressions of metrics, which read what the source made.
    Canonical,
}

/// The names that an expression can use.
pub(crate) trait Names {
    /// What a name with its path is.
    ///
    /// # Errors
    /// The name is not known, or its column has no kind.
    fn resolve(&self, path: &[String], scope: Scope) -> Result<Named, Wrong>;

    /// The column and the path of a list.
    ///
    /// # Errors
    /// The name is not known.
    fn list(&self, path: &[String]) -> Result<(String, Vec<String>), Wrong>;

    /// Whether a column or an expression has this name.
    fn is_known(&self, name: &str) -> bool;
}

/// Why a row has a fault: for messages.
#[derive(Debug, Clone)]
pub(crate) struct Reason {
    /// Whether a row has this fault.
    pub(crate) is_fault: Expr,
    pub(crate) expected: String,
    /// The value that was found, as a text.
    pub(crate) found: Expr,
    /// Whether the value is a text, which stands in quotes.
    pub(crate) is_text: bool,
}

/// Compiled expressions of one file.
#[derive(Debug, Default)]
pub(crate) struct Program {
    /// The fields that are read, each as the column `f<index>`.
    pub(crate) fields: Vec<(Field, Kind)>,
    /// Values that are computed first, in order, as the columns `t<index>`.
    pub(crate) steps: Vec<Expr>,
    /// Reasons of faults.
    pub(crate) reasons: Vec<Reason>,
}

/// Compiles the expressions of one file.
pub(crate) struct Compiler<'a> {
    pub(super) names: &'a dyn Names,
    pub(super) program: Program,
    scope: Scope,
    /// The derived columns that are being compiled, to find circles.
    pending: Vec<String>,
    /// The derived columns that other expressions use.
    derived: BTreeMap<String, Node>,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(names: &'a dyn Names) -> Self {
        Self {
            names,
            program: Program::default(),
            scope: Scope::File,
            pending: Vec::new(),
            derived: BTreeMap::new(),
        }
    }

    pub(crate) fn into_program(self) -> Program {
        self.program
    }

    /// Compiles the text of an expression.
    ///
    /// # Errors
    /// What is wrong in it.
    pub(crate) fn compile(&mut self, text: &str, scope: Scope) -> Result<Node, Wrong> {
        let names = self.names;
        let tree = parse(text, &|name| names.is_known(name))?;
        check_depth(&tree)?;
        let before = std::mem::replace(&mut self.scope, scope);
        let node = self.node(&tree);
        self.scope = before;
        node
    }

    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong in it, or it has no flags.
    pub(crate) fn condition(&mut self, text: &str) -> Result<Node, Wrong> {
        let names = self.names;
        let tree = parse(text, &|name| names.is_known(name))?;
        check_depth(&tree)?;
        let node = self.node(&tree)?;
        self.flag(node, &tree)
    }

    /// Stores a value in a column of its own, so that it is computed once.
    pub(super) fn step(&mut self, expr: Expr) -> Expr {
        let name = format!("t{}", self.program.steps.len());
        self.program.steps.push(expr.alias(name.as_str()));
        col(name.as_str())
    }

    /// Adds a reason of faults. Returns whether a row has this fault.
    pub(super) fn fault(&mut self, is_fault: Expr, expected: String, found: Expr) -> Expr {
        let is_fault = self.step(is_fault.fill_null(polars::prelude::lit(false)));
        self.program.reasons.push(Reason {
            is_fault: is_fault.clone(),
            expected,
            found: found.cast(polars::prelude::DataType::String),
            is_text: false,
        });
        is_fault
    }

    /// The column of a field.
    fn field(&mut self, column: Column) -> Node {
        let Column {
            field,
            kind,
            bound,
            is_untyped,
        } = column;
        let shown = field.to_string();
        let fields = &mut self.program.fields;
        let idx = fields
            .iter()
            .position(|(other, _)| *other == field)
            .unwrap_or_else(|| {
                fields.push((field, kind));
                fields.len() - 1
            });
        let values = col(format!("f{idx}").as_str());
        if bound < BEYOND_WHOLE {
            let node = Node::new(values, kind).with_bound(bound);
            return Node { is_untyped, ..node };
        }
        // Whole numbers without a sign.
        let whole = self.step(values.clone().cast(Kind::Whole.data_type()));
        let wrong = values.clone().is_not_null().and(whole.clone().is_null());
        let fault = self.fault(
            wrong,
            format!("a whole number of at most 64 bits with a sign in {shown}"),
            values,
        );
        Node::new(whole, kind)
            .with_bound(MAX_WHOLE * 2.0)
            .with_fault(Some(fault))
    }

    fn name(&mut self, path: &[String]) -> Result<Node, Wrong> {
        match self.names.resolve(path, self.scope)? {
            Named::Field(column) => Ok(self.field(column)),
            Named::Constant(text) => Ok(Node::literal(Literal::Text(text))),
            Named::Derived(Derived { name, text, key }) => {
                if self.pending.contains(&name) {
                    return Err(Wrong::new(format!(
                        "expected expressions without a circle, found `{name}` in its own expression"
                    )));
                }
                if let Some(node) = self.derived.get(&name) {
                    return Ok(node.clone());
                }
                self.pending.push(name.clone());
                let node = self.compile(&text, Scope::File);
                self.pending.pop();
                let node = node.map_err(|mut wrong| {
                    wrong.within.get_or_insert((key, text));
                    wrong
                })?;
                // Its values are computed once, however often they are used.
                let node = match node.literal {
                    Some(_) => node,
                    None => Node {
                        expr: self.step(node.expr),
                        fault: node.fault.map(|fault| self.step(fault)),
                        ..node
                    },
                };
                self.derived.insert(name, node.clone());
                Ok(node)
            }
        }
    }

    pub(super) fn node(&mut self, ast: &Ast) -> Result<Node, Wrong> {
        match ast {
            Ast::Nested(inner) => self.node(inner),
            Ast::Identifier(ident) => self.name(std::slice::from_ref(&ident.value)),
            Ast::CompoundIdentifier(idents) => self.name(&texts(idents)),
            Ast::CompoundFieldAccess { .. } => self.access(ast),
            Ast::Value(value) => literal(&value.value).map(Node::literal),
            Ast::TypedString(typed) => self.typed_literal(typed),
            Ast::UnaryOp { op, expr } => self.unary(*op, expr),
            Ast::BinaryOp {
                op: Op::Arrow | Op::LongArrow,
                ..
            } => self.access(ast),
            Ast::BinaryOp {
                op: op @ (Op::And | Op::Or),
                ..
            } => {
                let mut parts = Vec::new();
                operands(ast, op, &mut parts);
                let mut nodes = Vec::with_capacity(parts.len());
                for part in parts {
                    let node = self.node(part)?;
                    nodes.push(self.flag(node, part)?);
                }
                let join = if *op == Op::And { and } else { or };
                balanced(nodes, join).ok_or_else(|| unsupported(ast))
            }
            Ast::BinaryOp { left, op, right } => self.binary(left, op, right, ast),
            Ast::IsNull(inner) => Ok(self.is_null(inner, false)?),
            Ast::IsNotNull(inner) => Ok(self.is_null(inner, true)?),
            Ast::IsTrue(inner) => self.is_flag(inner, true, false),
            Ast::IsFalse(inner) => self.is_flag(inner, false, false),
            Ast::IsNotTrue(inner) => self.is_flag(inner, true, true),
            Ast::IsNotFalse(inner) => self.is_flag(inner, false, true),
            Ast::IsDistinctFrom(left, right) => self.distinct(left, right, true),
            Ast::IsNotDistinctFrom(left, right) => self.distinct(left, right, false),
            Ast::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let above = self.binary(expr, &Op::GtEq, low, ast)?;
                let below = self.binary(expr, &Op::LtEq, high, ast)?;
                let both = and(above, below);
                Ok(if *negated { negate(both) } else { both })
            }
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated, ast),
            Ast::Like { .. } | Ast::ILike { .. } | Ast::RLike { .. } => self.like(ast),
            Ast::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref(), ast),
            Ast::Cast {
                kind,
                expr,
                data_type,
                format,
                ..
            } => {
                if format.is_some() {
                    return Err(unsupported(ast));
                }
                self.cast(
                    expr,
                    data_type,
                    matches!(kind, CastKind::TryCast | CastKind::SafeCast),
                    ast,
                )
            }
            Ast::Function(function) => self.function(function, ast),
            Ast::Ceil { expr, .. } => self.call_by_name("ceil", &[expr], ast),
            Ast::Floor { expr, .. } => self.call_by_name("floor", &[expr], ast),
            Ast::Extract { field, expr, .. } => {
                let part = field.to_string().to_lowercase();
                if part == "epoch" {
                    return self.epoch(expr);
                }
                let part = Node::literal(Literal::Text(part));
                let at = self.node(expr)?;
                self.call_nodes("date_part", vec![part, at], &[ast, expr], ast)
            }
            Ast::Trim {
                expr,
                trim_where,
                trim_what,
                trim_characters,
            } => self.trim(
                expr,
                *trim_where,
                trim_what.as_deref(),
                trim_characters.as_deref(),
                ast,
            ),
            Ast::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let args: Vec<&Ast> = [Some(expr), substring_from.as_ref(), substring_for.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(AsRef::as_ref)
                    .collect();
                self.call_by_name("substr", &args, ast)
            }
            Ast::Position { expr, r#in } => self.own("strpos", &[r#in, expr], ast),
            Ast::Subquery(_) | Ast::Exists { .. } | Ast::InSubquery { .. } => Err(Wrong::new(format!(
                "expected an expression of one row, found the query {ast}"
            ))
            .hint("join tables with `sql` in the source")),
            other => Err(unsupported(other)),
        }
    }

    /// A value within a nested column: `a -> 'b' ->> 'c'`, `a['b'].c`, `a[1]`.
    fn access(&mut self, ast: &Ast) -> Result<Node, Wrong> {
        let path = path_of(ast).ok_or_else(|| {
            unsupported(ast).hint("values within a column are reached from its name: metadata ->> 'release'")
        })?;
        self.name(&path)
    }

    /// The column and the path of an argument that names a list.
    pub(super) fn list(&self, ast: &Ast) -> Result<(String, Vec<String>), Wrong> {
        let path =
            path_of(ast).ok_or_else(|| Wrong::new(format!("expected the name of a list, found {ast}")))?;
        self.names.list(&path)
    }

    /// A number of elements of a list.
    pub(super) fn count_of(&mut self, column: String, access: Access) -> Node {
        self.field(Column {
            field: Field { column, access },
            kind: Kind::Whole,
            bound: f64::from(u32::MAX),
            is_untyped: false,
        })
    }

    fn unary(&mut self, op: UnaryOperator, expr: &Ast) -> Result<Node, Wrong> {
        let node = self.node(expr)?;
        match op {
            UnaryOperator::Not | UnaryOperator::BangNot => Ok(negate(self.flag(node, expr)?)),
            UnaryOperator::Plus => self.number(node, expr),
            UnaryOperator::Minus => {
                let node = self.number(node, expr)?;
                match node.literal {
                    Some(Literal::Whole(n)) => Ok(Node::literal(Literal::Whole(-n))),
                    Some(Literal::Real(x)) => Ok(Node::literal(Literal::Real(-x))),
                    _ => self.arithmetic(Node::literal(Literal::Whole(0)), &Op::Minus, node, expr),
                }
            }
            other => Err(Wrong::new(format!(
                "expected an operator of one row, found `{other}`"
            ))),
        }
    }

    fn is_null(&mut self, inner: &Ast, negated: bool) -> Result<Node, Wrong> {
        let node = self.node(inner)?;
        let expr = if negated {
            node.expr.is_not_null()
        } else {
            node.expr.is_null()
        };
        Ok(Node::new(expr, Kind::Flag).with_fault(node.fault))
    }

    fn is_flag(&mut self, inner: &Ast, value: bool, negated: bool) -> Result<Node, Wrong> {
        let node = self.node(inner)?;
        let node = self.flag(node, inner)?;
        let expr = node.expr.eq_missing(polars::prelude::lit(value));
        let expr = if negated { expr.not() } else { expr };
        Ok(Node::new(expr, Kind::Flag).with_fault(node.fault))
    }

    fn distinct(&mut self, left: &Ast, right: &Ast, is_distinct: bool) -> Result<Node, Wrong> {
        let (a, b) = (self.node(left)?, self.node(right)?);
        let (a, b) = self.alike(a, left, b, right, false)?;
        let fault = either(a.fault.clone(), b.fault.clone());
        let expr = if is_distinct {
            a.expr.neq_missing(b.expr)
        } else {
            a.expr.eq_missing(b.expr)
        };
        Ok(Node::new(expr, Kind::Flag).with_fault(fault))
    }

    fn in_list(&mut self, expr: &Ast, list: &[Ast], negated: bool, ast: &Ast) -> Result<Node, Wrong> {
        if let Some(node) = self.in_literals(expr, list, ast)? {
            return Ok(if negated { negate(node) } else { node });
        }
        let mut equal = Vec::with_capacity(list.len());
        for item in list {
            equal.push(self.binary(expr, &Op::Eq, item, ast)?);
        }
        let any = balanced(equal, or).ok_or_else(|| unsupported(ast))?;
        Ok(if negated { negate(any) } else { any })
    }

    /// `x in (...)` for many literals of the kind of `x`. `None` for another list.
    fn in_literals(&mut self, expr: &Ast, list: &[Ast], ast: &Ast) -> Result<Option<Node>, Wrong> {
        if list.len() <= MAX_COMPARED {
            return Ok(None);
        }
        let mut sql = Vec::with_capacity(list.len());
        let mut kind = None;
        for item in list {
            let node = self.node(item)?;
            let text = match &node.literal {
                Some(Literal::Whole(n)) => n.to_string(),
                Some(Literal::Text(text)) => quoted(text),
                _ => return Ok(None),
            };
            if *kind.get_or_insert(node.kind) != node.kind {
                return Ok(None);
            }
            sql.push(text);
        }
        let node = self.node(expr)?;
        let node = match (node.kind, kind) {
            (own, Some(kind)) if own == kind => node,
            (Kind::Text, Some(Kind::Whole)) => self.whole(node, expr)?,
            _ => return Ok(None),
        };
        self.template(
            &format!("$0 IN ({})", sql.join(", ")),
            vec![node],
            Kind::Flag,
            ast,
        )
        .map(Some)
    }

    fn case(
        &mut self,
        operand: Option<&Ast>,
        conditions: &[sqlparser::ast::CaseWhen],
        otherwise: Option<&Ast>,
        ast: &Ast,
    ) -> Result<Node, Wrong> {
        let null = Ast::Value(Value::Null.with_empty_span());
        let otherwise = otherwise.unwrap_or(&null);
        let mut whens = Vec::new();
        for branch in conditions {
            let condition = match operand {
                Some(operand) => self.binary(operand, &Op::Eq, &branch.condition, ast)?,
                None => {
                    let node = self.node(&branch.condition)?;
                    self.flag(node, &branch.condition)?
                }
            };
            whens.push(condition);
        }
        let mut results = Vec::new();
        for result in conditions.iter().map(|branch| &branch.result).chain([otherwise]) {
            results.push((self.node(result)?, result));
        }
        let (results, kind) = self.of_one_kind(results, "in the branches of `case`")?;
        let mut results = results.into_iter().rev();
        let bound = results.clone().map(|node| node.bound).fold(0.0, f64::max);
        let last = results.next().ok_or_else(|| unsupported(ast))?;
        let (mut expr, mut fault) = (last.expr, last.fault);
        for (condition, result) in whens.into_iter().rev().zip(results) {
            let is_true = condition.expr.clone().fill_null(polars::prelude::lit(false));
            let within = either(
                guarded(is_true.clone(), result.fault),
                guarded(is_true.clone().not(), fault),
            );
            fault = either(condition.fault, within);
            expr = when(is_true).then(result.expr).otherwise(expr);
        }
        Ok(Node::new(expr, kind).with_fault(fault).with_bound(bound))
    }

    /// The first value that is not null.
    pub(super) fn coalesce(&mut self, args: Vec<(Node, &Ast)>, name: &str) -> Result<Node, Wrong> {
        let (nodes, kind) = self.of_one_kind(args, &format!("in `{name}`"))?;
        let bound = nodes.iter().map(|node| node.bound).fold(0.0, f64::max);
        let mut fault = None;
        for node in nodes.iter().rev() {
            fault = either(node.fault.clone(), guarded(node.expr.clone().is_null(), fault));
        }
        let exprs: Vec<Expr> = nodes.into_iter().map(|node| node.expr).collect();
        Ok(Node::new(polars::prelude::coalesce(&exprs), kind)
            .with_fault(fault)
            .with_bound(bound))
    }

    /// Converts nodes to one kind.
    pub(super) fn of_one_kind(
        &mut self,
        args: Vec<(Node, &Ast)>,
        place: &str,
    ) -> Result<(Vec<Node>, Kind), Wrong> {
        let mut kind = Kind::Null;
        for (node, ast) in &args {
            kind = match (kind, node.kind) {
                (Kind::Null, other) | (other, Kind::Null) => other,
                (a, b) if a == b => a,
                (a, b) if a.is_number() && b.is_number() => Kind::Real,
                (a, b) if is_pair(a, b, Kind::Date, Kind::Instant) => Kind::Instant,
                (a, Kind::Text) if node.is_untyped => a,
                (Kind::Text, b) if are_untyped(&args) => b,
                (a, b) => {
                    return Err(Wrong::new(format!(
                        "expected values of one kind {place}, found {a} and {b} in {ast}"
                    ))
                    .hint("convert some of them: number(x), cast(x as text)"));
                }
            };
        }
        // Texts of a log beside numbers are numbers, of any size.
        if kind == Kind::Whole && args.iter().any(|(node, _)| node.kind == Kind::Text) {
            kind = Kind::Real;
        }
        let nodes = args
            .into_iter()
            .map(|(node, ast)| self.converted(node, kind, ast))
            .collect::<Result<_, _>>()?;
        Ok((nodes, kind))
    }
}

/// Lists of at most this many values are compared one by one.
const MAX_COMPARED: usize = 8;

/// Whether all texts are those of a file that states no types.
fn are_untyped(args: &[(Node, &Ast)]) -> bool {
    let mut texts = args.iter().filter(|(node, _)| node.kind == Kind::Text);
    texts.all(|(node, _)| node.is_untyped)
}

/// The most levels of an expression, and the most branches of a `case`.
const MAX_DEPTH: usize = 100;

/// Refuses expressions whose computation would need too much of the stack. Chains of `and` and `or`
/// count as one level.
fn check_depth(tree: &Ast) -> Result<(), Wrong> {
    let mut depth = Depth {
        is_chain: Vec::new(),
        n: 0,
    };
    if tree.visit(&mut depth).is_break() {
        return Err(Wrong::new(format!(
            "expected an expression of at most {MAX_DEPTH} levels and a `case` of at most {MAX_DEPTH} \
             branches, found more"
        ))
        .hint("join a table of the values with `sql` in the source"));
    }
    Ok(())
}

struct Depth {
    /// For each open node, whether it is a part of a chain.
    is_chain: Vec<bool>,
    n: usize,
}

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Ast) -> ControlFlow<()> {
        let is_chain = matches!(
            expr,
            Ast::BinaryOp {
                op: Op::And | Op::Or,
                ..
            }
        );
        let n_branches = match expr {
            Ast::Case { conditions, .. } => conditions.len(),
            _ => 0,
        };
        self.is_chain.push(is_chain);
        self.n += usize::from(!is_chain);
        if self.n > MAX_DEPTH || n_branches > MAX_DEPTH {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Ast) -> ControlFlow<()> {
        self.n -= usize::from(self.is_chain.pop() == Some(false));
        ControlFlow::Continue(())
    }
}

/// Whether two kinds are these two, in any order.
fn is_pair(a: Kind, b: Kind, one: Kind, other: Kind) -> bool {
    (a, b) == (one, other) || (a, b) == (other, one)
}

/// Both flags. A fault of the second counts only where the first is not false.
pub(super) fn and(a: Node, b: Node) -> Node {
    let is_open = a.expr.clone().fill_null(polars::prelude::lit(true));
    let fault = either(a.fault, guarded(is_open, b.fault));
    Node::new(a.expr.and(b.expr), Kind::Flag).with_fault(fault)
}

/// Any of two flags. A fault of the second counts only where the first is not true.
pub(super) fn or(a: Node, b: Node) -> Node {
    let is_open = a.expr.clone().fill_null(polars::prelude::lit(false)).not();
    let fault = either(a.fault, guarded(is_open, b.fault));
    Node::new(a.expr.or(b.expr), Kind::Flag).with_fault(fault)
}

/// Joins nodes in a tree of little depth.
pub(super) fn balanced(mut nodes: Vec<Node>, join: fn(Node, Node) -> Node) -> Option<Node> {
    while nodes.len() > 1 {
        let mut pairs = Vec::with_capacity(nodes.len().div_ceil(2));
        let mut rest = nodes.into_iter();
        while let Some(first) = rest.next() {
            pairs.push(match rest.next() {
                Some(second) => join(first, second),
                None => first,
            });
        }
        nodes = pairs;
    }
    nodes.pop()
}

/// The operands of a chain of one operator, from left to right.
pub(super) fn operands<'t>(ast: &'t Ast, op: &Op, found: &mut Vec<&'t Ast>) {
    // Chains are deep on their left side.
    let mut rest = ast;
    let start = found.len();
    while let Ast::BinaryOp { left, op: own, right } = rest
        && own == op
    {
        found.push(right);
        rest = left;
    }
    found.push(rest);
    found[start..].reverse();
}

fn negate(node: Node) -> Node {
    Node::new(node.expr.not(), Kind::Flag).with_fault(node.fault)
}

pub(super) fn unsupported(ast: &Ast) -> Wrong {
    Wrong::new(format!("expected an expression of one row, found {ast}"))
}

fn texts(idents: &[Ident]) -> Vec<String> {
    idents.iter().map(|ident| ident.value.clone()).collect()
}

/// The names from a column to a value: `a.b`, `a -> 'b'`, `a['b']`, `a[1]`. Indexes count from 1 in
/// brackets, from 0 behind an arrow, as in PostgreSQL. `None` for another expression.
fn path_of(ast: &Ast) -> Option<Vec<String>> {
    match ast {
        Ast::Nested(inner) => path_of(inner),
        Ast::Identifier(ident) => Some(vec![ident.value.clone()]),
        Ast::CompoundIdentifier(idents) => Some(texts(idents)),
        Ast::BinaryOp {
            left,
            op: Op::Arrow | Op::LongArrow,
            right,
        } => {
            let mut path = path_of(left)?;
            path.push(match key_of(right)? {
                Key::Name(name) => name,
                Key::Index(idx) => idx.to_string(),
            });
            Some(path)
        }
        Ast::CompoundFieldAccess { root, access_chain } => {
            let mut path = path_of(root)?;
            for access in access_chain {
                match access {
                    AccessExpr::Dot(inner) => path.extend(path_of(inner)?),
                    AccessExpr::Subscript(Subscript::Index { index }) => path.push(match key_of(index)? {
                        Key::Name(name) => name,
                        Key::Index(idx) => idx.checked_sub(1)?.to_string(),
                    }),
                    AccessExpr::Subscript(_) => return None,
                }
            }
            Some(path)
        }
        _ => None,
    }
}

enum Key {
    Name(String),
    Index(u64),
}

fn key_of(ast: &Ast) -> Option<Key> {
    let Ast::Value(value) = ast else { return None };
    match &value.value {
        Value::SingleQuotedString(name) => Some(Key::Name(name.clone())),
        Value::Number(digits, _) => digits.parse().ok().map(Key::Index),
        _ => None,
    }
}

pub(super) fn literal(value: &Value) -> Result<Literal, Wrong> {
    Ok(match value {
        Value::Null => Literal::Null,
        Value::Boolean(flag) => Literal::Flag(*flag),
        Value::SingleQuotedString(text) => Literal::Text(text.clone()),
        Value::Number(digits, _) => match digits.parse::<i64>() {
            Ok(n) => Literal::Whole(n),
            Err(_) => match digits.parse::<f64>() {
                Ok(x) if x.is_finite() => Literal::Real(x),
                _ => return Err(Wrong::new(format!("expected a finite number, found {digits}"))),
            },
        },
        other => {
            return Err(Wrong::new(format!(
                "expected a number, a text in single quotes, true, false or null, found {other}"
            )));
        }
    })
}

/// The error for a name that no column has.
pub(crate) fn unknown_name<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Wrong {
    let names: Vec<String> = known.clone().take(20).map(|name| format!("`{name}`")).collect();
    let more = known.clone().count().saturating_sub(names.len());
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let wrong = Wrong::new(format!(
        "expected the name of a column, found `{name}`; columns: {}{more}",
        names.join(", ")
    ));
    match nearest(name, known) {
        Some(near) => wrong.hint(format!("did you mean `{near}`?")),
        None => wrong.hint("texts stand in single quotes: 'text'"),
    }
}

/// The faults of all arguments.
pub(super) fn all_faults(nodes: &[Node]) -> Option<Expr> {
    faults(nodes)
}
