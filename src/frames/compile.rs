//! From the tree of an expression to expressions of Polars: names, kinds, conversions, and the rows
//! without a legal value.
//!
//! A row without a legal value, such as a division by zero, stops no batch. It has a *fault*, which
//! follows the value through the expression: `case` and `coalesce` have a fault only where they use
//! the value that has one.

use polars::prelude::{Expr, col};
use sqlparser::ast::{BinaryOperator as Op, CastKind, Expr as Ast, UnaryOperator};
use std::collections::{BTreeMap, BTreeSet};

use crate::base::similar::nearest;
use crate::frames::field::{Access, Field};
use crate::frames::kind::Kind;
use crate::frames::node::{BEYOND_WHOLE, Literal, MAX_WHOLE, Node, either, faults, guarded};
use crate::frames::parse::parse;
use crate::frames::tree::{check_depth, literal, operands, path_of, texts};
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
    /// The derived columns that other expressions use, with their reasons of faults.
    derived: BTreeMap<String, (Node, BTreeSet<usize>)>,
    /// The reasons of faults of the current expression, as indices.
    reasons: BTreeSet<usize>,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(names: &'a dyn Names) -> Self {
        Self {
            names,
            program: Program::default(),
            scope: Scope::File,
            pending: Vec::new(),
            derived: BTreeMap::new(),
            reasons: BTreeSet::new(),
        }
    }

    /// Takes the reasons of faults since the last call, as indices.
    pub(crate) fn take_reasons(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.reasons)
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
        self.reasons.insert(self.program.reasons.len());
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
                if let Some((node, reasons)) = self.derived.get(&name) {
                    self.reasons.extend(reasons);
                    return Ok(node.clone());
                }
                let before = self.take_reasons();
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
                self.derived.insert(name, (node.clone(), self.reasons.clone()));
                self.reasons.extend(before);
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

pub(super) fn negate(node: Node) -> Node {
    Node::new(node.expr.not(), Kind::Flag).with_fault(node.fault)
}

pub(super) fn unsupported(ast: &Ast) -> Wrong {
    Wrong::new(format!("expected an expression of one row, found {ast}"))
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
