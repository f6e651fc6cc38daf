//! Bounds of a look at an effect: enough for a decision unless an end of its interval is near a
//! limit.

use crate::stats::difference::{independent_variance, welch_df_by_squares};
use crate::stats::effect::{
    FEW_EVENTS, Look, MetricForm, effective_rows, is_rare, is_share, proportion_estimate,
};
use crate::stats::half_width::{CENTER_SLACK, HalfWidths, IntervalBounds, MixtureScale};
use crate::stats::proportion;
use crate::stats::ratio::RatioEstimate;

/// Bounds of the interval of a [`crate::stats::effect::Look`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LookBounds {
    /// The control's value, in the metric's unit.
    pub control: f64,
    /// Treatment minus control, in the metric's unit.
    pub effect_size: f64,
    /// The largest rounding error of the effect.
    pub slack: f64,
    /// Bounds of the effect's interval, for one planned look or for every look.
    pub interval: IntervalBounds,
}

impl LookBounds {
    /// Bounds for [`crate::stats::effect::Look::between`] at the level of a table of half widths.
    /// `scale` is the mixture variance of the metric. `None` without variance, and outside of the
    /// table.
    pub fn between(
        r0: &RatioEstimate,
        r1: &RatioEstimate,
        form: MetricForm,
        half_widths: &HalfWidths,
        scale: MixtureScale,
    ) -> Option<Self> {
        let is_proportion = form == MetricForm::Proportion && is_share(r0) && is_share(r1);
        let (e0, e1) = if is_proportion {
            (proportion_estimate(r0), proportion_estimate(r1))
        } else {
            (r0.into(), r1.into())
        };
        let v = independent_variance(e0, e1);
        if v <= 0.0 {
            return None;
        }
        let effect_size = r1.estimate - r0.estimate;
        let df = welch_df_by_squares(e0, e1);
        let mut interval = IntervalBounds::around(effect_size, half_widths.of(v, 1.0 / df, scale)?);
        if is_proportion && is_rare(r0, r1) {
            let z = half_widths.quantile(1.0 / df)?;
            let [n0, n1] = effective_rows(r0, r1);
            let newcombe = |z: f64| proportion::newcombe(r1.estimate, n1, r0.estimate, n0, z);
            let rare = IntervalBounds {
                narrow: newcombe(z.low),
                wide: newcombe(z.high),
            };
            interval = if half_widths.every() {
                IntervalBounds {
                    narrow: interval.narrow.union(rare.narrow),
                    wide: interval.wide.union(rare.wide),
                }
            } else {
                rare
            };
        }
        if is_proportion {
            interval = interval.map(|interval| interval.within(-1.0, 1.0));
        }
        Some(Self {
            control: r0.estimate,
            effect_size,
            slack: 0.0,
            interval,
        })
    }

    /// As [`Self::between`], from estimates with rounding errors. `None` too for rare events, and
    /// where rounding may decide whether events are rare or a variance is the smallest one.
    #[inline]
    pub fn between_rough(
        r0: &RoughRatio,
        r1: &RoughRatio,
        form: MetricForm,
        half_widths: &HalfWidths,
        scale: MixtureScale,
    ) -> Option<Self> {
        let ((v0, df0), (v1, df1)) = if form == MetricForm::Proportion {
            (r0.of_share()?, r1.of_share()?)
        } else {
            ((r0.variance, r0.inverse_df), (r1.variance, r1.inverse_df))
        };
        let v = v0 + v1;
        let inverse_df = (v1 * v1 * df1 + v0 * v0 * df0) / (v * v);
        let effect_size = r1.estimate - r0.estimate;
        let slack = CENTER_SLACK * (r0.estimate.abs() + r1.estimate.abs());
        let half_width = half_widths.of(v, inverse_df, scale)?;
        let mut interval = IntervalBounds::around_rough(effect_size, slack, half_width);
        if form == MetricForm::Proportion {
            interval = interval.map(|interval| interval.within(-1.0, 1.0));
        }
        Some(Self {
            control: r0.estimate,
            effect_size,
            slack,
            interval,
        })
    }
}

impl LookBounds {
    /// A look with the widest interval within the bounds, without evidence of an effect.
    pub fn widest(&self) -> Look {
        Look {
            control: self.control,
            effect_size: self.effect_size,
            interval: self.interval.wide,
            p_value: 1.0,
        }
    }
}

/// A [`RatioEstimate`] with the rounding errors of a few operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoughRatio {
    /// The ratio.
    pub estimate: f64,
    /// The denominator, above 0.
    pub denominator: f64,
    /// Variance of the ratio.
    pub variance: f64,
    /// Smallest variance of a share; see [`crate::stats::effect::share_variance_floor`].
    pub floor: f64,
    /// 1 over the degrees of freedom.
    pub inverse_df: f64,
    /// 1 over the degrees of freedom of the smallest variance.
    pub inverse_df_of_floor: f64,
}

impl RoughRatio {
    /// Variance and inverse degrees of freedom of a share; see [`proportion_estimate`].
    #[inline]
    fn of_share(&self) -> Option<(f64, f64)> {
        const ROUNDING: f64 = 1e-7;
        let binomial = self.estimate * (1.0 - self.estimate);
        let rare = self.estimate.min(1.0 - self.estimate);
        let few = FEW_EVENTS * (1.0 + ROUNDING);
        let has_many = binomial * rare >= few * self.variance && self.denominator * rare >= few;
        let is_alike = (self.variance - self.floor).abs() <= ROUNDING * self.floor;
        if !has_many || (is_alike && self.inverse_df != self.inverse_df_of_floor) {
            return None;
        }
        Some(if self.variance >= self.floor {
            (self.variance, self.inverse_df)
        } else {
            (self.floor, self.inverse_df_of_floor)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::effect::{IntervalSpec, share_variance_floor};
    use crate::stats::sequential::{mixture_variance, v_star_for};

    /// The interval of every look lies within its bounds: rare and usual shares, means, few and many
    /// clusters.
    #[test]
    fn looks_lie_within_their_bounds() {
        let arm = |p: f64, rows: f64, inflation: f64, n_clusters: usize| RatioEstimate {
            estimate: p,
            numerator: p * rows,
            denominator: rows,
            std_error: (p * (1.0 - p) * inflation / rows).sqrt(),
            df: n_clusters as f64 - 1.0,
            n_clusters,
            n_units: rows,
            unstable: false,
        };
        let rough = |r: &RatioEstimate| RoughRatio {
            estimate: r.numerator * (1.0 / r.denominator),
            denominator: r.denominator,
            variance: r.std_error * r.std_error,
            floor: share_variance_floor(r.numerator, r.denominator),
            inverse_df: 1.0 / r.df,
            inverse_df_of_floor: 1.0 / r.df,
        };
        let (mut n, mut n_rough) = (0, 0);
        for alpha in [0.1, 0.05, 0.01] {
            let levels = IntervalSpec {
                alpha,
                v_star: v_star_for(0.02),
            };
            let tau2 = mixture_variance(levels.v_star, alpha);
            for every in [true, false] {
                let table = HalfWidths::new(alpha, every).unwrap();
                for (p0, p1) in [(0.0, 0.0), (0.001, 0.0), (0.01, 0.02), (0.3, 0.29), (1.0, 0.9)] {
                    for rows in [60.0, 1_000.0, 40_000.0] {
                        for form in [MetricForm::Proportion, MetricForm::Mean { resolution: 0.0 }] {
                            let (r0, r1) = (arm(p0, 3.0 * rows, 1.0, 30), arm(p1, rows, 1.7, 20));
                            let found = LookBounds::between(&r0, &r1, form, &table, MixtureScale::new(tau2));
                            let look = Look::between(&r0, &r1, form, levels, tau2, every, true);
                            // Means without any spread are judged by their resolution.
                            let Some(LookBounds { interval, .. }) = found else {
                                assert_eq!(r0.std_error + r1.std_error, 0.0);
                                continue;
                            };
                            let (narrow, wide) = (interval.narrow, interval.wide);
                            assert!(
                                wide.ci_lower <= look.interval.ci_lower
                                    && look.interval.ci_lower <= narrow.ci_lower
                                    && narrow.ci_upper <= look.interval.ci_upper
                                    && look.interval.ci_upper <= wide.ci_upper,
                                "{interval:?} {look:?}"
                            );
                            let rough = [r0, r1].map(|r| rough(&r));
                            let [r0, r1] = &rough;
                            let scale = MixtureScale::new(tau2);
                            if let Some(found) = LookBounds::between_rough(r0, r1, form, &table, scale) {
                                let LookBounds { interval: own, .. } = found;
                                let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
                                assert!(
                                    close(own.wide.ci_lower, wide.ci_lower)
                                        && close(own.narrow.ci_upper, narrow.ci_upper),
                                    "{own:?} {interval:?}"
                                );
                                n_rough += 1;
                            }
                            n += 1;
                        }
                    }
                }
            }
        }
        assert!(n > 150 && n_rough > 60, "{n} {n_rough}");
    }
}
