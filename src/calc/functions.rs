//! The catalog of `sluice calc`: every function with its name, description, example and
//! implementation.
//!
//! A new function needs one entry here and one Rust function in the file of its subject.

use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Refusal, short};
use crate::calc::input::Input;
use crate::calc::{
    bucket, causes, compare, design, evaluation, hypothesis, layering, multiplicity, off_policy, quality,
    sample_ratio, strata,
};

/// A function of the calculator.
pub struct Function {
    /// The name of the function on the command line.
    pub name: &'static str,
    /// A one-line description.
    pub about: &'static str,
    /// An example of valid inputs, as JSON.
    pub example: &'static str,
    answer: fn(&Fields<'_>) -> Result<Answer, Refusal>,
}

/// All functions, ordered by kind.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "arfm",
        about: "A-RFM score and layer of a user",
        example: r#"{"last_use_time": 1779958800, "use_count": 50, "user_value": 1000, "accept_score": 9, "as_of": 1779962400}"#,
        answer: layering::arfm,
    },
    Function {
        name: "qos",
        about: "Quality of service from six rates",
        example: r#"{"bad_rate": 0.1, "availability": 1, "latency_ms": 2500, "tool_success_rate": 1, "task_completion_rate": 0.5, "complaint_rate": 0.05, "weights": "high_risk"}"#,
        answer: quality::qos,
    },
    Function {
        name: "srm",
        about: "Sample ratio mismatch: counts against planned shares",
        example: r#"{"observed": [990210, 9790], "planned": [0.99, 0.01]}"#,
        answer: sample_ratio::srm,
    },
    Function {
        name: "srm-sequential",
        about: "Sample ratio mismatch, valid at every look",
        example: r#"{"looks": [[9501, 499], [9420, 580], [9433, 567]], "planned": [0.95, 0.05]}"#,
        answer: sample_ratio::srm_sequential,
    },
    Function {
        name: "psi",
        about: "Population stability index of two histograms",
        example: r#"{"expected": [50, 50], "actual": [20, 80]}"#,
        answer: sample_ratio::psi,
    },
    Function {
        name: "proportion",
        about: "Two proportions (method: z, z-unpooled, pearson, pearson-yates, g, fisher, newcombe, welch)",
        example: r#"{"control": {"n": 95000, "x": 9500}, "treatment": {"n": 5000, "x": 540}}"#,
        answer: compare::proportion,
    },
    Function {
        name: "proportion-interval",
        about: "Interval of a proportion (method: wilson, clopper-pearson, jeffreys, wald, agresti-coull)",
        example: r#"{"n": 100, "x": 10}"#,
        answer: compare::proportion_interval,
    },
    Function {
        name: "mean",
        about: "Two means (method: welch, student, z)",
        example: r#"{"control": {"n": 500, "mean": 812.5, "var": 250000}, "treatment": {"n": 500, "mean": 850.25, "var": 260100}}"#,
        answer: compare::mean,
    },
    Function {
        name: "ratio",
        about: "Two ratios of sums, by the delta method",
        example: r#"{"control": {"n": 500, "num_sum": 304, "num_sum_squares": 560, "den_sum": 2998, "den_sum_squares": 20640, "num_den_sum": 2050}, "treatment": {"n": 500, "num_sum": 346, "num_sum_squares": 632, "den_sum": 2895, "den_sum_squares": 19101, "num_den_sum": 2275}}"#,
        answer: compare::ratio,
    },
    Function {
        name: "clusters",
        about: "Two ratios over clusters, with the spread between them (variance: cr3, cr1, cr0)",
        example: r#"{"control": {"clusters": [[3,9],[1,4],[2,8],[4,9],[2,5],[1,6],[3,7],[2,6],[5,9],[1,3],[2,7],[3,8],[2,4],[1,5],[4,8],[2,6],[3,9],[1,4],[2,5],[3,6]]}, "treatment": {"clusters": [[4,9],[1,4],[3,8],[4,9],[3,5],[1,6],[4,7],[2,6],[6,9],[2,3],[2,7],[3,8],[3,4],[1,5],[5,8],[3,6],[3,9],[2,4],[2,5],[4,6]]}, "paired": true}"#,
        answer: compare::clusters,
    },
    Function {
        name: "cuped",
        about: "Two means, adjusted for a covariate from before",
        example: r#"{"control": {"n": 500, "post_sum": 373.4, "post_sum_squares": 401.5, "pre_sum": 392.6, "pre_sum_squares": 453.5, "post_pre_sum": 397.9}, "treatment": {"n": 500, "post_sum": 365.9, "post_sum_squares": 369.8, "pre_sum": 385, "pre_sum_squares": 438.9, "post_pre_sum": 377.4}}"#,
        answer: compare::cuped,
    },
    Function {
        name: "quantile",
        about: "Two quantiles of values in clusters",
        example: r#"{"q": 0.9, "control": {"clusters": [[1,2],[3],[2,5],[4],[1],[6],[2],[3],[4],[5],[1],[2],[9],[3],[2],[4],[1],[2],[3],[7]]}, "treatment": {"clusters": [[2],[3],[2],[5],[1],[8],[2],[3],[4],[6],[1],[3],[9],[3],[2],[5],[1],[2],[4],[7]]}}"#,
        answer: compare::quantile,
    },
    Function {
        name: "sequential",
        about: "Two arms, with an interval and a p-value that hold at every look",
        example: r#"{"control": {"n": 3000, "x": 1396}, "treatment": {"n": 3461, "x": 2422}, "relative": true}"#,
        answer: compare::sequential,
    },
    Function {
        name: "confidence-sequence",
        about: "Boundary of a confidence sequence (family: normal-mixture, gamma-exponential, beta-binomial, poly-stitching)",
        example: r#"{"family": "normal-mixture", "v": 100, "v_opt": 100}"#,
        answer: design::confidence_sequence,
    },
    Function {
        name: "group-sequential",
        about: "Boundaries, error spent and power of planned looks",
        example: r#"{"information": [0.2, 0.4, 0.6, 0.8, 1], "alpha": 0.025, "sides": 1, "spending": "obf"}"#,
        answer: design::group_sequential,
    },
    Function {
        name: "ramp",
        about: "Stop probabilities, exposure and harm of a ramp, exactly",
        example: r#"{"shares": [0.01, 0.05, 0.2, 0.5], "n": 100000, "sigma2": 0.09, "delta": -0.004, "gate": "pocock"}"#,
        answer: design::ramp,
    },
    Function {
        name: "risk-of-ruin",
        about: "Largest step that a budget of harm allows",
        example: r#"{"budget": 1613.906, "post_mean": -0.02649, "post_var": 0.00206179, "sigma2": 0.6073, "delta": 0.1, "cap": 10000000}"#,
        answer: design::risk_of_ruin,
    },
    Function {
        name: "stratified",
        about: "One effect from several strata or stages, in three ways",
        example: r#"{"strata": [{"control": {"n": 990000, "x": 20000}, "treatment": {"n": 10000, "x": 230}}, {"control": {"n": 500000, "x": 5000}, "treatment": {"n": 500000, "x": 6000}}]}"#,
        answer: strata::stratified,
    },
    Function {
        name: "non-inferiority",
        about: "Is the treatment worse by more than a margin?",
        example: r#"{"control": {"n": 95000, "x": 9500}, "treatment": {"n": 5000, "x": 540}, "margin": 0.02, "higher_is": "better"}"#,
        answer: compare::non_inferiority,
    },
    Function {
        name: "multiplicity",
        about: "p-values adjusted for many tests (method: bonferroni, holm, hochberg, bh, by)",
        example: r#"{"p_values": [0.01, 0.04, 0.03, 0.005], "method": "holm"}"#,
        answer: multiplicity::multiplicity,
    },
    Function {
        name: "power",
        about: "Sample size, detectable effect or power: give two of n_total, effect, power",
        example: r#"{"kind": "proportion", "p": 0.1, "effect": 0.01, "power": 0.8}"#,
        answer: design::power,
    },
    Function {
        name: "mcnemar",
        about: "Pairs of 0/1 outcomes",
        example: r#"{"b": 12, "c": 3, "n": 10000}"#,
        answer: hypothesis::mcnemar,
    },
    Function {
        name: "wilcoxon",
        about: "Signed ranks of paired differences",
        example: r#"{"x": [1.1, 2.2, 3.3, 4.4, 5.5, 6.1], "y": [0.9, 2.5, 2.8, 3.9, 5.1, 5.2]}"#,
        answer: hypothesis::wilcoxon,
    },
    Function {
        name: "mann-whitney",
        about: "Ranks of two samples",
        example: r#"{"x": [1, 1, 2, 2, 3, 3, 3, 4], "y": [2, 3, 3, 4, 4, 5, 5, 6]}"#,
        answer: hypothesis::mann_whitney,
    },
    Function {
        name: "fisher",
        about: "A two by two table, exactly",
        example: r#"{"table": [[0, 1000], [7, 993]]}"#,
        answer: hypothesis::fisher,
    },
    Function {
        name: "paired-t",
        about: "Mean of paired differences",
        example: r#"{"x": [1.1, 2.2, 3.3, 4.4, 5.5, 6.1], "y": [0.9, 2.5, 2.8, 3.9, 5.1, 5.2]}"#,
        answer: hypothesis::paired_t,
    },
    Function {
        name: "sign",
        about: "Signs of paired differences",
        example: r#"{"x": [1.1, 2.2, 3.3, 4.4], "y": [0.9, 2.5, 2.8, 3.9]}"#,
        answer: hypothesis::sign,
    },
    Function {
        name: "bootstrap",
        about: "Interval by resampling (statistic: mean, ratio, difference; method: bca, percentile)",
        example: r#"{"x": [3.2, 1.5, 7.7, 2.2, 9.1, 4.4, 6.3, 5.0, 8.8, 0.4], "seed": 1}"#,
        answer: hypothesis::bootstrap,
    },
    Function {
        name: "pass-k",
        about: "Chance that all of k attempts succeed",
        example: r#"{"n": 5, "c": [5, 4, 3], "k": [1, 2, 3]}"#,
        answer: evaluation::pass_k,
    },
    Function {
        name: "judge",
        about: "A judged share, corrected for the judge's errors",
        example: r#"{"p_obs": 0.8, "n": 500, "sensitivity": 0.9, "specificity": 0.85, "n_sensitivity": 100, "n_specificity": 100}"#,
        answer: evaluation::judge,
    },
    Function {
        name: "ope",
        about: "Off-policy value of another assignment, by eleven estimators",
        example: r#"{"reward": [0, 1, 1, 0], "action": [0, 1, 1, 0], "pscore": [0.5, 0.5, 0.5, 0.5], "pi_e": [[0.2, 0.8], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]]}"#,
        answer: off_policy::ope,
    },
    Function {
        name: "attribution",
        about: "Effects of single changes of a release, and the value after each revert",
        example: r#"{"releases": [{"model": "m1", "prompt": "p1", "value": 0.8, "variance": 1e-4}, {"model": "m2", "prompt": "p1", "value": 0.83, "variance": 1e-4}, {"model": "m1", "prompt": "p2", "value": 0.7, "variance": 1e-4}, {"model": "m2", "prompt": "p2", "value": 0.73, "variance": 1e-4}]}"#,
        answer: causes::attribution,
    },
    Function {
        name: "late",
        about: "Share with an outcome up to each day, from exposures of every age (Kaplan-Meier)",
        example: r#"{"ages": [{"day": 1, "events": 10, "at_risk": 100}, {"day": 2, "events": 5, "at_risk": 60}]}"#,
        answer: causes::late,
    },
    Function {
        name: "bucket",
        about: "Where an assignment profile places a user",
        example: r#"{"profile": "sluice", "salt": "cs-agent", "user_id": "u1001"}"#,
        answer: bucket::bucket,
    },
];

impl Function {
    /// Finds the function of this name; `None` for an unknown name.
    pub fn find(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// Computes the answer for the given inputs, the text of a JSON object. A field `id` is
    /// ignored.
    ///
    /// # Errors
    /// A text that is not JSON, an input that is missing, has the wrong form or is given twice, or
    /// an unknown name.
    pub fn answer(&self, inputs: &str) -> Result<Answer, Refusal> {
        self.answer_fields(&parse(inputs)?)
    }

    /// The inputs of the example, as one types them on the command line: words without quotes,
    /// other values as JSON.
    pub fn example_inputs(&self) -> Vec<(String, String)> {
        let pairs = Input::parse(self.example)
            .ok()
            .and_then(|example| example.fields()?.ok());
        let typed = |input: Input<'_>| input.text().map_or(input.source().to_owned(), Into::into);
        let pairs = pairs.unwrap_or_default().into_iter();
        pairs
            .map(|(name, input)| (name.into_owned(), typed(input)))
            .collect()
    }

    pub(super) fn answer_fields(&self, fields: &Fields<'_>) -> Result<Answer, Refusal> {
        let _ = fields.id();
        // Every function accepts `alpha`, so scripts can pass it without knowing the function.
        fields.alpha()?;
        let answer = (self.answer)(fields)?;
        fields.finish()?;
        Ok(answer)
    }
}

/// Parses the text of a JSON object.
pub(super) fn parse(text: &str) -> Result<Fields<'_>, Refusal> {
    let input = Input::parse(text).map_err(|error| Refusal {
        place: format!("column {}", error.column()),
        expected: "a JSON object".to_owned(),
        found: short(text),
    })?;
    Fields::top(input)
}

#[cfg(test)]
mod example_tests {
    use super::*;
    use crate::calc::answer::Item;

    #[test]
    fn every_example_is_answered() {
        for function in FUNCTIONS {
            let answer = function
                .answer(function.example)
                .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", function.name));
            assert!(
                answer.items.iter().any(|(_, item)| *item != Item::Missing(())),
                "{}: {answer:?}",
                function.name
            );
        }
    }
}
