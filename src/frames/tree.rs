//! Parts of the tree of an expression, before it is compiled.

use sqlparser::ast::{
    AccessExpr, BinaryOperator as Op, Expr as Ast, Ident, Subscript, Value, Visit, Visitor,
};
use std::ops::ControlFlow;

use crate::frames::node::Literal;
use crate::frames::wrong::Wrong;

/// The most levels of an expression, and the most branches of a `case`.
const MAX_DEPTH: usize = 100;

/// Refuses expressions whose computation would need too much of the stack. Chains of `and` and `or`
/// count as one level.
pub(super) fn check_depth(tree: &Ast) -> Result<(), Wrong> {
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

pub(super) fn texts(idents: &[Ident]) -> Vec<String> {
    idents.iter().map(|ident| ident.value.clone()).collect()
}

/// The names from a column to a value: `a.b`, `a -> 'b'`, `a['b']`, `a[1]`. Indexes count from 1 in
/// brackets, from 0 behind an arrow, as in PostgreSQL. `None` for another expression.
pub(super) fn path_of(ast: &Ast) -> Option<Vec<String>> {
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
