//! The order of rows in the plan of a query. Polars runs on several threads, and joins, groups and
//! unions return their rows in the order in which threads finish, unless the plan forbids it.

use polars::prelude::{
    AggExpr, Column, DslPlan, Expr, Field, IdxSize, JoinType, LazyFrame, MaintainOrderJoin, PolarsResult,
    Schema, UniqueKeepStrategy, all, col,
};
use std::sync::Arc;

/// Returns the plan in which every step keeps the order of its input: groups come in the order of
/// their first rows, joined rows in the order of the left table, equal keys of a sort as before.
///
/// Aggregates get columns of one piece each, and sums add a whole column at once. Filters cut columns
/// into a piece for each thread, and sums cut long columns again. A sum of real numbers depends on the
/// pieces.
pub(super) fn in_order(plan: &DslPlan) -> DslPlan {
    let step = |input: &Arc<DslPlan>| Arc::new(in_order(input));
    let mut plan = plan.clone();
    match &mut plan {
        DslPlan::IR { dsl, .. } => return in_order(dsl),
        DslPlan::Select { input, expr, .. }
        | DslPlan::HStack {
            input, exprs: expr, ..
        } => {
            *input = step(input);
            if expr.iter().any(combines_rows) {
                *input = in_one_piece(input);
                expr.iter_mut().for_each(|expr| *expr = with_whole_sums(expr));
            }
        }
        DslPlan::GroupBy {
            input,
            maintain_order,
            ..
        } => {
            *input = step(input);
            *maintain_order = true;
        }
        DslPlan::Join {
            input_left,
            input_right,
            options,
            ..
        } => {
            *input_left = step(input_left);
            *input_right = step(input_right);
            let mut ordered = options.as_ref().clone();
            ordered.args.maintain_order = match ordered.args.how {
                JoinType::Right => MaintainOrderJoin::RightLeft,
                _ => MaintainOrderJoin::LeftRight,
            };
            *options = Arc::new(ordered);
        }
        DslPlan::Distinct { input, options } => {
            *input = step(input);
            options.maintain_order = true;
            if options.keep_strategy == UniqueKeepStrategy::Any {
                options.keep_strategy = UniqueKeepStrategy::First;
            }
        }
        DslPlan::Sort {
            input, sort_options, ..
        } => {
            *input = step(input);
            sort_options.maintain_order = true;
        }
        DslPlan::Union { inputs, args } => {
            inputs.iter_mut().for_each(|input| *input = in_order(input));
            args.maintain_order = true;
        }
        DslPlan::HConcat { inputs, .. } => {
            inputs.iter_mut().for_each(|input| *input = in_order(input));
        }
        DslPlan::ExtContext { input, contexts } => {
            *input = step(input);
            contexts
                .iter_mut()
                .for_each(|context| *context = in_order(context));
        }
        DslPlan::PipeWithSchema { input, .. } => {
            *input = input.iter().map(in_order).collect();
        }
        DslPlan::Gather { input, idxs, .. } => {
            *input = step(input);
            *idxs = step(idxs);
        }
        DslPlan::Filter { input, .. }
        | DslPlan::Cache { input, .. }
        | DslPlan::MatchToSchema { input, .. }
        | DslPlan::Slice { input, .. }
        | DslPlan::MapFunction { input, .. }
        | DslPlan::Sink { input, .. } => *input = step(input),
        // Tables in memory, and steps that no query has.
        _ => {}
    }
    plan
}

/// Whether an expression combines the values of several rows.
fn combines_rows(expr: &Expr) -> bool {
    let is_plain = |expr: &Expr| {
        matches!(
            expr,
            Expr::Column(_)
                | Expr::Alias(..)
                | Expr::Literal(_)
                | Expr::BinaryExpr { .. }
                | Expr::Cast { .. }
                | Expr::Ternary { .. }
                | Expr::Len
        )
    };
    expr.into_iter().any(|expr| !is_plain(expr))
}

/// Adds a step that copies each column into one piece. Nothing is copied where it already is one.
fn in_one_piece(input: &Arc<DslPlan>) -> Arc<DslPlan> {
    let frame = LazyFrame::from(input.as_ref().clone());
    Arc::new(frame.with_columns([all().as_expr().rechunk()]).logical_plan)
}

/// The start of names that stand for windows of an expression while it is rewritten.
const WINDOW: &str = "\0window ";

/// Replaces each sum of an expression by one that adds a whole column on one thread. Sums of windows
/// stay: Polars adds each group of rows on one thread.
fn with_whole_sums(expr: &Expr) -> Expr {
    let mut windows = Vec::new();
    let expr = expr.clone().map_expr(|expr| match expr {
        Expr::Over { .. } => {
            windows.push(expr);
            col(format!("{WINDOW}{}", windows.len() - 1))
        }
        expr => expr,
    });
    let expr = expr.map_expr(|expr| match expr {
        Expr::Agg(AggExpr::Sum(input)) => {
            let input = Arc::unwrap_or_clone(input);
            input.agg_with_fmt_str(whole_sum, |_, field| type_of_sum(field), "sum")
        }
        expr => expr,
    });
    expr.map_expr(|expr| match &expr {
        Expr::Column(name) => {
            let window = name
                .strip_prefix(WINDOW)
                .and_then(|idx| idx.parse::<usize>().ok());
            window.and_then(|idx| windows.get(idx).cloned()).unwrap_or(expr)
        }
        _ => expr,
    })
}

fn whole_sum(column: Column) -> PolarsResult<Column> {
    let series = column.as_materialized_series().rechunk();
    Ok(series.sum_reduce()?.into_column(series.name().clone()))
}

fn type_of_sum(field: &Field) -> PolarsResult<Field> {
    let schema = Schema::from_iter([field.clone()]);
    col(field.name().clone()).sum().to_field(&schema)
}

/// Separates the last step of a plan if it is a limit: the plan before it, first row and number of
/// rows.
pub(super) fn without_limit(plan: DslPlan) -> (DslPlan, Option<(i64, IdxSize)>) {
    match plan {
        DslPlan::IR { dsl, .. } => without_limit(dsl.as_ref().clone()),
        DslPlan::Slice { input, offset, len } => (input.as_ref().clone(), Some((offset, len))),
        plan => (plan, None),
    }
}
