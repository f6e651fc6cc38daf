use super::*;

const LEVELS: IntervalSpec = IntervalSpec {
    alpha: 0.05,
    v_star: 1e-4,
};

#[test]
fn arms_add_their_variances() {
    let arm = |estimate, std_error, df| Estimate {
        estimate,
        std_error,
        df,
    };
    let effect = difference(
        arm(0.5, 0.03, 50.0),
        arm(0.6, 0.04, 80.0),
        LEVELS,
        EffectMethod::ClusterRobust,
    );
    assert!((effect.std_error - 0.05).abs() < 1e-15);
    assert!(
        (effect.df - 0.05_f64.powi(4) / (0.03_f64.powi(4) / 50.0 + 0.04_f64.powi(4) / 80.0)).abs() < 1e-9
    );
    assert!(effect.anytime.ci_lower < effect.ci.ci_lower && effect.ci.ci_upper < effect.anytime.ci_upper);
    let relative = effect.relative.unwrap();
    assert!((relative.rel_effect_size - 0.2).abs() < 1e-12);
}

#[test]
fn rare_events_are_not_certain() {
    let none: Vec<(f64, f64)> = vec![(0.0, 50.0); 40];
    let effect = between_clusters(&none, &none, MetricForm::Proportion, LEVELS).unwrap();
    assert_eq!(effect.method, EffectMethod::Newcombe);
    assert!(effect.ci.ci_upper > 0.0 && effect.anytime.ci_upper >= effect.ci.ci_upper);
    assert!(effect.p_value > 0.99 && effect.anytime_p_value > 0.99);
}

/// Clusters with `x` events, one a cluster as far as they go, in `n` clusters of `rows` rows.
fn spread_out(x: usize, n: usize, rows: f64) -> RatioEstimate {
    let clusters: Vec<(f64, f64)> = (0..n)
        .map(|g| ((x / n + usize::from(g < x % n)) as f64, rows))
        .collect();
    ratio::clusters(&clusters).unwrap()
}

/// The harm of a tenth of all rows is found whatever the baseline's few events are, and more
/// harm never hides it.
#[test]
fn more_harm_or_fewer_events_of_the_baseline_hide_nothing() {
    let levels = IntervalSpec {
        alpha: 0.05,
        v_star: sequential::v_star_for(0.001),
    };
    let lower = |x0: usize, x1: usize| {
        let (r0, r1) = (spread_out(x0, 80, 30.0), spread_out(x1, 80, 30.0));
        let effect = between(&r0, &r1, MetricForm::Proportion, levels);
        [effect.ci.ci_lower, effect.anytime.ci_lower]
    };
    for x0 in 0..=100 {
        assert!(lower(x0, 240).into_iter().all(|end| end > 0.001), "{x0}");
    }
    for x1 in 40..600 {
        assert!(lower(0, x1).into_iter().all(|end| end > 0.001), "{x1}");
    }
}

#[test]
fn a_gross_harm_is_seen_at_the_first_look() {
    let (none, some) = (spread_out(0, 20, 10.0), spread_out(20, 20, 10.0));
    for mde in [0.001, 0.005, 0.02] {
        let levels = IntervalSpec {
            alpha: 0.05,
            v_star: sequential::v_star_for(mde),
        };
        let effect = between(&none, &some, MetricForm::Proportion, levels);
        assert!(effect.anytime.ci_lower > 0.0, "{mde}: {effect:?}");
    }
}

/// An interval excludes 0 exactly when its p-value is at most alpha, for rare events too.
#[test]
fn intervals_and_p_values_agree() {
    for (x0, x1, n) in [
        (0, 5, 30),
        (0, 6, 30),
        (0, 9, 40),
        (2, 14, 60),
        (0, 67, 90),
        (30, 55, 90),
        (0, 0, 20),
    ] {
        for (rows, mde) in [(1.0, 0.01), (6.0, 0.005), (40.0, 1e-4)] {
            let levels = IntervalSpec {
                alpha: 0.05,
                v_star: sequential::v_star_for(mde),
            };
            let (r0, r1) = (spread_out(x0, n, rows), spread_out(x1, n, rows));
            let effect = between(&r0, &r1, MetricForm::Proportion, levels);
            assert_eq!(effect.ci.contains_zero(), effect.p_value > 0.05, "{effect:?}");
            assert_eq!(
                effect.anytime.contains_zero(),
                effect.anytime_p_value > 0.05,
                "{effect:?}"
            );
            assert!(effect.anytime.union(effect.ci) == effect.anytime, "{effect:?}");
        }
    }
}

#[test]
fn no_spread_is_neither_certainty_nor_ignorance() {
    let (none, all) = (spread_out(0, 130, 1.0), spread_out(130, 130, 1.0));
    let nothing = between(&none, &none, MetricForm::Proportion, LEVELS);
    assert!((nothing.ci.ci_upper - 0.029).abs() < 0.001, "{nothing:?}");
    let everything = between(&all, &none, MetricForm::Proportion, LEVELS);
    assert!(
        everything.p_value < 1e-10 && everything.anytime.ci_upper < -0.8,
        "{everything:?}"
    );
    let mean = MetricForm::Mean { resolution: 1e-9 };
    let equal = between(&all, &all, mean, LEVELS);
    assert_eq!(
        (equal.effect_size, equal.p_value, equal.anytime_p_value),
        (0.0, 1.0, 1.0)
    );
    assert_eq!(equal.ci, Interval::around(0.0, 1e-9));
    let other = between(&none, &all, mean, LEVELS);
    assert!(
        other.p_value < 1e-70 && !other.anytime.contains_zero(),
        "{other:?}"
    );
    let own = own_interval(&spread_out(0, 124, 1.0), MetricForm::Proportion, LEVELS, true);
    assert!(own.ci_upper > 0.02 && own.ci_lower == 0.0, "{own:?}");
}

#[test]
fn a_look_is_the_effect_s() {
    let arm = |numerator: f64, denominator: f64, std_error| RatioEstimate {
        estimate: numerator / denominator,
        numerator,
        denominator,
        std_error,
        df: 80.0,
        n_clusters: 81,
        n_units: 81.0,
        unstable: false,
    };
    for (r0, r1) in [
        (arm(600.0, 1e3, 0.02), arm(650.0, 1e3, 0.03)),
        (arm(600.0, 1e3, 0.01), arm(800.0, 1e3, 0.01)),
        (arm(3.0, 1e4, 2e-4), arm(1.0, 1e3, 1e-3)),
    ] {
        for every in [false, true] {
            let tau2 = sequential::mixture_variance(LEVELS.v_star, LEVELS.alpha);
            let whole = Look::at(&between(&r0, &r1, MetricForm::Proportion, LEVELS), every);
            for upwards in [false, true] {
                let quick = Look::between(&r0, &r1, MetricForm::Proportion, LEVELS, tau2, every, upwards);
                let is_acted_on =
                    whole.interval.ci_lower > 0.0 && upwards || whole.interval.ci_upper < 0.0 && !upwards;
                assert_eq!(
                    quick,
                    Look {
                        p_value: if every && !is_acted_on { 1.0 } else { whole.p_value },
                        ..whole
                    }
                );
            }
            assert!(whole.p_value > LEVELS.alpha || !whole.interval.contains_zero());
        }
    }
}

#[test]
fn a_control_close_to_zero_has_fieller_s_interval() {
    let arm = |estimate, std_error| Estimate {
        estimate,
        std_error,
        df: 1e9,
    };
    let relative = relative(arm(0.04, 0.01), arm(0.06, 0.01), 0.05, 1e9).unwrap();
    let t = t_isf(0.025, 1e9);
    for end in [relative.ci.ci_lower, relative.ci.ci_upper] {
        let x = end + 1.0;
        assert!(((0.06 - x * 0.04_f64).powi(2) / (1e-4 + x * x * 1e-4) / (t * t) - 1.0).abs() < 1e-9);
    }
    assert!(
        relative.ci.ci_upper - relative.rel_effect_size > relative.rel_effect_size - relative.ci.ci_lower
    );
}

#[test]
fn a_control_near_zero_has_no_relative_effect() {
    let arm = |estimate, std_error| Estimate {
        estimate,
        std_error,
        df: 100.0,
    };
    assert_eq!(
        difference(
            arm(0.01, 0.02),
            arm(0.5, 0.02),
            LEVELS,
            EffectMethod::ClusterRobust
        )
        .relative,
        None
    );
}
