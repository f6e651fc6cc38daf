//! The parts of a condition that must all hold.

use sqlparser::ast::{BinaryOperator, Expr, Visit, Visitor};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::frames::parse::parse;

/// The parts of a condition that read nothing but these columns. A row is kept only if all of them
/// hold. None for a text that is no condition.
pub(crate) fn conjuncts(text: &str, columns: &BTreeSet<&str>) -> Vec<String> {
    let Ok(tree) = parse(text, &|name| columns.contains(name)) else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    split(&tree, &mut parts);
    let reads_these = |part: &&&Expr| part.visit(&mut Others(columns)).is_continue();
    parts
        .iter()
        .filter(reads_these)
        .map(ToString::to_string)
        .collect()
}

fn split<'a>(tree: &'a Expr, parts: &mut Vec<&'a Expr>) {
    match tree {
        Expr::Nested(inner) => split(inner, parts),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            split(left, parts);
            split(right, parts);
        }
        other => parts.push(other),
    }
}

/// Stops at a name that is none of the columns.
struct Others<'a>(&'a BTreeSet<&'a str>);

impl Visitor for Others<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) if !self.0.contains(name.value.as_str()) => ControlFlow::Break(()),
            Expr::CompoundIdentifier(_) | Expr::Subquery(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_these_columns_are_found() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(
                conjuncts(text, &BTreeSet::from(["dt", "country"])),
                expected,
                "{text}"
            );
        };
        check("dt >= '2026-05-01' and env = 'prod'", &["dt >= '2026-05-01'"]);
        check(
            "(dt = 1 and country = 'CN') and x > 1",
            &["dt = 1", "country = 'CN'"],
        );
        check("dt = 1 or env = 'prod'", &[]);
        check("lower(country) = 'cn'", &["lower(country) = 'cn'"]);
        check("env.dt = 1", &[]);
        check("dt =", &[]);
    }
}
