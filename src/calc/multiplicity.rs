//! Multiplicity: p-values adjusted for several tests.

use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Taken};
use crate::stats::multiplicity;

/// A method that adjusts p-values.
type Adjustment = fn(&[f64]) -> Vec<f64>;

pub(super) fn multiplicity(fields: &Fields<'_>) -> Taken<Answer> {
    let p_values = fields.numbers_where("p_values", "a list of numbers from 0 to 1", |p| {
        (0.0..=1.0).contains(&p)
    })?;
    let methods: crate::calc::fields::Words<Adjustment> = &[
        ("bonferroni", multiplicity::bonferroni),
        ("holm", multiplicity::holm),
        ("hochberg", multiplicity::hochberg),
        ("bh", multiplicity::benjamini_hochberg),
        ("by", multiplicity::benjamini_yekutieli),
    ];
    let adjust = fields.choice("method", methods, multiplicity::holm)?;
    let mut answer = Answer::default();
    answer.put("p_value_adj", adjust(&p_values));
    Ok(answer)
}
