//! One confidence interval of a difference of two proportions, for one planned look, and the
//! interval that holds at every look.

use sluice::stats::two_proportions::TwoByTwo;
use sluice::stats::{Interval, dist, proportion, sequential};

#[expect(clippy::print_stdout, reason = "the result of the example")]
fn main() {
    let control = TwoByTwo {
        n: 10_000.0,
        x: 8_700.0,
    };
    let treatment = TwoByTwo {
        n: 10_000.0,
        x: 8_830.0,
    };
    let (p0, p1) = (control.share(), treatment.share());
    let alpha = 0.05;

    // One planned look: Newcombe's interval.
    let z = dist::norm_isf(alpha / 2.0);
    let planned = proportion::newcombe(p1, treatment.n, p0, control.n, z);

    // Any number of looks: a confidence sequence, tightest for a difference of 0.02.
    let variance = treatment.estimate().variance() + control.estimate().variance();
    let tau2 = sequential::mixture_variance(sequential::v_star_for(0.02), alpha);
    let half_width = sequential::half_width(variance, tau2, alpha);
    let every_look = Interval::around(p1 - p0, half_width);

    println!("difference {:.4}", p1 - p0);
    println!("planned look: {:.4} to {:.4}", planned.ci_lower, planned.ci_upper);
    println!(
        "every look:   {:.4} to {:.4}",
        every_look.ci_lower, every_look.ci_upper
    );
    // The planned look sees a difference, the one that was found by looking often does not.
    assert!(planned.ci_lower > 0.0 && every_look.ci_lower < 0.0);
}
