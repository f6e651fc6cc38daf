//! Critical values and tails against published tables and other programs.

use super::*;

/// Values of `tests/vectors/simultaneous.json`; its sources are in the README beside it.
fn vectors(kind: &str) -> Vec<serde_json::Value> {
    let all: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/vectors/simultaneous.json")).unwrap();
    let rows = all[kind].as_array().unwrap().clone();
    assert!(rows.len() >= 5, "{kind}");
    rows
}

fn df_of(value: &serde_json::Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

/// The correlations of all differences of n independent means with equal variances.
fn differences(n: usize) -> Correlation {
    let has =
        |pair: (usize, usize), i: usize| f64::from(u8::from(pair.1 == i)) - f64::from(u8::from(pair.0 == i));
    let value = |a, b| 0.5 * (0..n).map(|i| has(a, i) * has(b, i)).sum::<f64>();
    let rows: Vec<Vec<f64>> = all_pairs(n)
        .map(|a| all_pairs(n).map(|b| value(a, b)).collect())
        .collect();
    Correlation::from_rows(&rows).unwrap()
}

/// Published critical values have two decimals; a computed one has an error of up to 0.003.
fn is_printed_as(found: f64, printed: f64) -> bool {
    (found - printed).abs() < 0.005 + 0.003
}

#[test]
fn dunnett_s_table() {
    let rows = vectors("dunnett");
    for (at, n) in (2..=9).enumerate() {
        let joint = MaxT::new(&Correlation::equal(n, 0.5).unwrap()).unwrap();
        for row in &rows {
            let found = joint.critical(0.05, df_of(&row[0]));
            assert!(is_printed_as(found, numbers(&row[1])[at]), "{n} {row}: {found}");
        }
    }
}

#[test]
fn tukey_s_table() {
    let rows = vectors("tukey");
    for (at, n) in [3, 4, 5, 8, 10].into_iter().enumerate() {
        let joint = MaxT::new(&differences(n)).unwrap();
        for row in &rows {
            let found = joint.critical(0.05, df_of(&row[0])) * std::f64::consts::SQRT_2;
            assert!(is_printed_as(found, numbers(&row[1])[at]), "{n} {row}: {found}");
        }
    }
}

#[test]
fn correlations_of_one_factor() {
    for row in vectors("one_factor") {
        let loadings = numbers(&row[0]);
        let value = |i: usize, j: usize| if i == j { 1.0 } else { loadings[i] * loadings[j] };
        let n = loadings.len();
        let rows: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| value(i, j)).collect()).collect();
        let joint = MaxT::new(&Correlation::from_rows(&rows).unwrap()).unwrap();
        let (df, alpha, expected) = (df_of(&row[1]), row[2].as_f64().unwrap(), row[3].as_f64().unwrap());
        let (c, tail) = (joint.critical(alpha, df), joint.sf(expected, df));
        assert!((c - expected).abs() < 0.003, "{row}: {c}");
        assert!((tail / alpha - 1.0).abs() < 0.01, "{row}: {tail}");
    }
}

#[test]
fn tails_of_any_correlations() {
    for row in vectors("matrix") {
        let rows: Vec<Vec<f64>> = row[0].as_array().unwrap().iter().map(numbers).collect();
        let joint = MaxT::new(&Correlation::from_rows(&rows).unwrap()).unwrap();
        let found = joint.sf(row[1].as_f64().unwrap(), df_of(&row[2]));
        let expected = row[3].as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 0.005, "{row}: {found}");
    }
}

/// The blood counts of Dunnett (1955): 6, 4 and 5 animals. The p-values are those of
/// `scipy.stats.dunnett` in the documentation of SciPy.
#[test]
fn unequal_groups_have_the_p_values_of_scipy() {
    let share = |n: f64| (n / (n + 6.0)).sqrt();
    let joint = MaxT::new(&Correlation::equal(2, share(4.0) * share(5.0)).unwrap()).unwrap();
    for (t, p) in [(0.857_032_13, 0.620_05), (3.693_752_31, 0.005_85)] {
        let found = joint.sf(t, 12.0);
        assert!((found - p).abs() < 1e-4, "{t}: {found}");
    }
}

#[test]
fn singular_correlations_have_a_distribution_and_impossible_ones_have_none() {
    let check = |rows: &[Vec<f64>], expected: Result<f64, Reason>| {
        let found = Correlation::from_rows(rows).and_then(|rows| MaxT::new(&rows));
        let found = found.map(|joint| joint.critical(0.05, 9.0));
        match (&found, &expected) {
            (Ok(a), Ok(b)) => assert!((a - b).abs() < 1e-4, "{rows:?}: {a} {b}"),
            _ => assert_eq!(found, expected, "{rows:?}"),
        }
    };
    let one = t_isf(0.025, 9.0);
    check(&[vec![1.0]], Ok(one));
    check(&[vec![1.0, 1.0], vec![1.0, 1.0]], Ok(one));
    check(&[vec![1.0, -1.0], vec![-1.0, 1.0]], Ok(one));
    let twice = |rho: f64| vec![vec![1.0, rho, rho], vec![rho, 1.0, 1.0], vec![rho, 1.0, 1.0]];
    let pair = MaxT::new(&Correlation::equal(2, 0.3).unwrap()).unwrap();
    check(&twice(0.3), Ok(pair.critical(0.05, 9.0)));
    check(&[], Err(Reason::NoData));
    check(
        &[vec![1.0, f64::NAN], vec![f64::NAN, 1.0]],
        Err(Reason::OutOfRange),
    );
    check(&[vec![1.0, 0.5]], Err(Reason::OutOfRange));
    check(&[vec![1.0, 1.5], vec![1.5, 1.0]], Err(Reason::OutOfRange));
    check(&[vec![1.0, 0.5], vec![0.4, 1.0]], Err(Reason::OutOfRange));
    // Each pair is possible, all three together are not.
    let all = [vec![1.0, 0.9, -0.9], vec![0.9, 1.0, 0.9], vec![-0.9, 0.9, 1.0]];
    check(&all, Err(Reason::OutOfRange));
    let many = Correlation::equal(65, 0.0).unwrap();
    assert_eq!(MaxT::new(&many).err(), Some(Reason::TooLarge));
}

#[test]
fn tails_fall_and_stay_within_their_bounds() {
    for (n, rho) in [(2, -0.9), (5, 0.5), (20, 0.0), (20, 0.97)] {
        let joint = MaxT::new(&Correlation::equal(n, rho).unwrap()).unwrap();
        for df in [3.0, 40.0, f64::INFINITY] {
            let mut before = 1.0;
            for step in 0..16 {
                let c = 0.5 * f64::from(step);
                let (found, single) = (joint.sf(c, df), 2.0 * t_sf(c, df));
                assert!(
                    found <= before + 0.002,
                    "{n} {rho} {df} {c}: {found} after {before}"
                );
                assert!(
                    found >= single - 1e-15 && found <= n as f64 * single + 1e-15,
                    "{n} {rho} {df} {c}"
                );
                before = found;
            }
        }
        assert!(joint.sf(f64::NAN, 5.0).is_nan() && joint.sf(1.0, 0.0).is_nan());
    }
}
