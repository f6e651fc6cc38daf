//! Parts of a query that Polars computes otherwise than SQL does.
//!
//! - `QUALIFY` is evaluated after the selection, so its condition becomes a column of an inner query.
//! - Powers of whole numbers wrap, so the first argument becomes a real number.

use sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, Ident, Query, SelectItem, SetExpr, Statement, Visit, VisitMut, Visitor, VisitorMut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use std::ops::ControlFlow;

/// The column of the condition, and the name of the inner query.
const CONDITION: &str = "sluice_qualify";

/// The text of a query with these parts rewritten. Other texts stay as they are.
pub(super) fn rewritten(query: &Query, sql: &str) -> String {
    let lower = sql.to_ascii_lowercase();
    if !["qualify", "pow"].iter().any(|word| lower.contains(word)) {
        return sql.to_owned();
    }
    let mut query = query.clone();
    let mut rewriter = Rewriter { n: 0 };
    let _ = VisitMut::visit(&mut query, &mut rewriter);
    if rewriter.n > 0 {
        query.to_string()
    } else {
        sql.to_owned()
    }
}

struct Rewriter {
    n: usize,
}

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(Function {
            name,
            args: FunctionArguments::List(list),
            ..
        }) = expr
        else {
            return ControlFlow::Continue(());
        };
        let is_power = ["pow", "power"].contains(&name.to_string().to_lowercase().as_str());
        if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(base))) = list.args.first_mut()
            && is_power
        {
            *base = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(base.clone()),
                data_type: DataType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            };
            self.n += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_ref() {
            let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
            let Some(condition) = select.qualify.clone() else {
                return ControlFlow::Continue(());
            };
            if is_grouped || select.distinct.is_some() || names_an_alias(&condition, &select.projection) {
                return ControlFlow::Continue(());
            }
            let mut inner = select.as_ref().clone();
            inner.qualify = None;
            inner.projection.push(SelectItem::ExprWithAlias {
                expr: Expr::Nested(Box::new(condition)),
                alias: Ident::new(CONDITION),
            });
            let text =
                format!("SELECT * EXCLUDE ({CONDITION}) FROM ({inner}) AS sluice_rows WHERE {CONDITION}");
            if let Some(body) = body_of(&text) {
                query.body = body;
                self.n += 1;
            }
        }
        ControlFlow::Continue(())
    }
}

fn body_of(text: &str) -> Option<Box<SetExpr>> {
    let mut statements = Parser::parse_sql(&GenericDialect, text).ok()?;
    match statements.pop()? {
        Statement::Query(query) => Some(query.body),
        _ => None,
    }
}

/// Whether a condition names a column that the selection makes.
fn names_an_alias(condition: &Expr, projection: &[SelectItem]) -> bool {
    struct Names<'a>(&'a [SelectItem]);
    impl Visitor for Names<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Identifier(name) = expr else {
                return ControlFlow::Continue(());
            };
            let is_made = self.0.iter().any(
                |item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value == name.value),
            );
            if is_made {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    }
    condition.visit(&mut Names(projection)).is_break()
}
