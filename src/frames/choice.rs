//! Expressions that choose among values: `in`, `case`, `coalesce`.

use polars::prelude::{Expr, lit, when};
use sqlparser::ast::{BinaryOperator as Op, CaseWhen, Expr as Ast, Value};

use crate::frames::compile::{Compiler, balanced, negate, or, unsupported};
use crate::frames::kind::Kind;
use crate::frames::node::{Literal, Node, either, guarded, quoted};
use crate::frames::wrong::Wrong;

/// Lists of at most this many values are compared one by one.
const MAX_COMPARED: usize = 8;

/// Whether all texts are those of a file that states no types.
fn are_untyped(args: &[(Node, &Ast)]) -> bool {
    let mut texts = args.iter().filter(|(node, _)| node.kind == Kind::Text);
    texts.all(|(node, _)| node.is_untyped)
}

impl Compiler<'_> {
    pub(super) fn in_list(
        &mut self,
        expr: &Ast,
        list: &[Ast],
        negated: bool,
        ast: &Ast,
    ) -> Result<Node, Wrong> {
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

    pub(super) fn case(
        &mut self,
        operand: Option<&Ast>,
        conditions: &[CaseWhen],
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
            let is_true = condition.expr.clone().fill_null(lit(false));
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

/// Whether two kinds are these two, in any order.
fn is_pair(a: Kind, b: Kind, one: Kind, other: Kind) -> bool {
    (a, b) == (one, other) || (a, b) == (other, one)
}
