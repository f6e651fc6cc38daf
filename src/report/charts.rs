//! The chart of harms against their margins.

use crate::analysis::LayerAnalysis;
use crate::base::number::number;
use crate::report::model::{LayerNames, RampModel};
use crate::report::rows::Rows;
use crate::report::svg::{Chart, sentence};
use crate::scenario::Sequential;
use crate::stats::Interval;
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::{Lang, Words, fill};

/// A harm in units of its margin.
#[derive(Debug, Clone)]
pub(super) struct Harm<'a> {
    /// Filter keys of the row, with their values.
    pub(super) keys: Vec<(&'a str, &'a str)>,
    pub(super) label: String,
    pub(super) harm: f64,
    pub(super) interval: Interval,
    pub(super) violated: bool,
}

/// The harm on every guardrail of every layer that has a harm and a margin, in units of the margin,
/// so that all metrics share one scale.
pub(super) fn harms_of<'a>(ramp: &'a RampModel, names: &LayerNames, lang: Lang) -> Vec<Harm<'a>> {
    let of_layer = |layer: &'a LayerAnalysis| {
        let stage = layer.current();
        let findings = stage.map_or(&[][..], |stage| &stage.guardrails);
        findings.iter().filter_map(move |finding| {
            let judged = &finding.judged;
            let margin = judged.margin.filter(|margin| *margin > 0.0)?;
            let (harm, interval) = (judged.harm?, judged.interval?);
            Some((
                layer,
                finding.metric.as_str(),
                margin,
                harm,
                interval,
                judged.verdict,
            ))
        })
    };
    let layers = ramp.analysis.layers.iter();
    layers
        .flat_map(of_layer)
        .map(|(layer, metric, margin, harm, interval, verdict)| Harm {
            keys: vec![
                ("tenant", layer.tenant.as_str()),
                ("layer", layer.layer.as_str()),
                ("metric", metric),
            ],
            label: fill(
                lang.words().harm_label,
                &[
                    &names.of(&layer.tenant, &layer.layer),
                    ramp.metric_name(metric).of(lang),
                ],
            ),
            harm: harm / margin,
            interval: Interval {
                ci_lower: interval.ci_lower / margin,
                ci_upper: interval.ci_upper / margin,
            },
            violated: verdict == HarmVerdict::Violated,
        })
        .collect()
}

/// The title of the chart of a ramp's harms, which says when its intervals hold.
pub(super) fn harm_title(ramp: &RampModel, words: &Words) -> String {
    let kind = match ramp.analysis.policy.sequential {
        Sequential::Anytime => words.harm_anytime,
        Sequential::Fixed => words.harm_fixed,
        Sequential::GroupSequential => words.harm_gates,
    };
    fill(words.harm_title, &[kind])
}

/// The end of the scale, in margins. Values beyond it are drawn as arrows with their numbers.
const FAR: f64 = 4.0;

/// The horizontal scale of a picture: from `-FAR` to `FAR` margins.
#[derive(Clone, Copy)]
struct Span {
    left: f64,
    width: f64,
}

impl Span {
    const WIDE: Self = Self {
        left: 310.0,
        width: 390.0,
    };
    const NARROW: Self = Self {
        left: 10.0,
        width: 340.0,
    };

    fn x(self, margins: f64) -> f64 {
        self.left + (margins.clamp(-FAR, FAR) + FAR) / (2.0 * FAR) * self.width
    }
}

/// Harms on one scale, one row each. Below 0 the candidate is better, above 1 it is worse than
/// allowed.
pub(super) fn harms_in_margins(harms: &[Harm<'_>], title: String, words: &Words) -> Chart {
    let said: Vec<String> = harms.iter().map(|harm| says(harm, words)).collect();
    let wide = drawn(harms, words, Rows::new(harms.len(), 58, 28, 4), Span::WIDE);
    let narrow = drawn(harms, words, Rows::narrow(harms.len(), 58, 26, 4), Span::NARROW);
    let chart = wide.chart(title, sentence(&said));
    Chart {
        narrow: narrow.svg(),
        ..chart
    }
}

/// A harm in words.
fn says(harm: &Harm<'_>, words: &Words) -> String {
    let says = fill(words.harm_row, &[&harm.label, &number(harm.harm)]);
    if harm.violated {
        fill(words.harm_violated, &[&says])
    } else {
        says
    }
}

fn drawn(harms: &[Harm<'_>], words: &Words, mut rows: Rows, span: Span) -> Rows {
    for tick in -4..=4 {
        let (color, width) = match tick {
            0 => ("edge", 1),
            1 => ("alarm", 2),
            _ => ("line", 1),
        };
        let x = span.x(f64::from(tick));
        rows.rule(x, color, width);
        rows.head(x, 48, "middle", &tick.to_string());
    }
    for (at, y, anchor, word) in [
        (-FAR, 14, "start", words.better),
        (FAR, 14, "end", words.worse),
        (1.0, 31, "middle", words.margin),
    ] {
        rows.head(span.x(at), y, anchor, word);
    }
    for harm in harms {
        let Harm { interval, .. } = harm;
        let tip = format!(
            "{} [{}, {}]",
            says(harm, words),
            number(interval.ci_lower),
            number(interval.ci_upper)
        );
        rows.row(&harm.keys, &harm.label, &tip, &shapes(harm, span));
    }
    rows
}

/// The interval as a line and the harm as a square. What lies beyond the scale is an arrow at its end,
/// with the numbers.
fn shapes(harm: &Harm<'_>, span: Span) -> String {
    const MIDDLE: u32 = 15;
    let color = if harm.violated { "alarm" } else { "c0" };
    let Interval { ci_lower, ci_upper } = harm.interval;
    let (left, right) = (span.x(ci_lower), span.x(ci_upper));
    let mut shapes = format!("<path d=\"M{left:.1} {MIDDLE}H{right:.1}\" stroke=\"var(--{color})\"/>");
    let is_far = harm.harm.abs() > FAR;
    let text = |x: f64, anchor: &str, words: &str| {
        format!("<text x=\"{x:.1}\" y=\"10\" font-size=\"11\" text-anchor=\"{anchor}\">{words}</text>")
    };
    let arrow = |x: f64, to_right: bool| {
        let tip = if to_right { -8 } else { 8 };
        format!("<path d=\"M{x:.1} {MIDDLE}l{tip}-5v10z\" fill=\"var(--{color})\" class=\"beyond\"/>")
    };
    if is_far {
        let is_right = harm.harm > 0.0;
        let x = span.x(harm.harm);
        let numbers = format!(
            "{} [{}, {}]",
            number(harm.harm),
            number(ci_lower),
            number(ci_upper)
        );
        let (at, anchor) = if is_right { (x, "end") } else { (x, "start") };
        shapes += &arrow(x, is_right);
        shapes += &text(at, anchor, &numbers);
        return shapes;
    }
    if ci_lower < -FAR {
        shapes += &arrow(left, false);
        shapes += &text(left, "start", &number(ci_lower));
    }
    if ci_upper > FAR {
        shapes += &arrow(right, true);
        shapes += &text(right, "end", &number(ci_upper));
    }
    let x = span.x(harm.harm);
    shapes
        + &format!(
            "<path d=\"M{:.1} {}h8v8h-8z\" fill=\"var(--{color})\"/>",
            x - 4.0,
            MIDDLE - 4
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn harm(harm: f64, ci_lower: f64, ci_upper: f64) -> Harm<'static> {
        Harm {
            keys: Vec::new(),
            label: "early: complaints".into(),
            harm,
            interval: Interval { ci_lower, ci_upper },
            violated: harm > 1.0,
        }
    }

    /// The x positions of all shapes lie on the scale, so that the margin and every interval are in
    /// view.
    #[test]
    fn what_lies_beyond_the_scale_is_an_arrow_with_its_number() {
        let check = |of: Harm<'_>, n_arrows: usize, numbers: &[&str]| {
            for (span, end) in [(Span::WIDE, 700.0), (Span::NARROW, 350.0)] {
                let shapes = shapes(&of, span);
                assert_eq!(shapes.matches("class=\"beyond\"").count(), n_arrows, "{shapes}");
                for number in numbers {
                    assert!(shapes.contains(&format!(">{number}</text>")), "{shapes}");
                }
                let start = shapes.split('M').nth(1).unwrap().split(' ').next().unwrap();
                let x: f64 = start.parse().unwrap();
                assert!((span.left..=end).contains(&x), "{shapes}");
            }
        };
        check(harm(0.2, -1.0, 1.4), 0, &[]);
        check(harm(10.1, 9.0, 12.4), 1, &["10.1 [9, 12.4]"]);
        check(harm(0.5, -7.0, 8.0), 2, &["-7", "8"]);
        check(harm(-5.0, f64::NEG_INFINITY, 2.0), 1, &["-5 [-∞, 2]"]);
    }

    #[test]
    fn both_widths_show_the_margin() {
        let chart = harms_in_margins(&[harm(0.2, -1.0, 1.4)], "t".into(), Lang::En.words());
        for svg in [&chart.svg, &chart.narrow] {
            assert_eq!(svg.matches("stroke=\"var(--alarm)\"").count(), 1, "{svg}");
            assert!(svg.contains("class=\"row\""));
        }
        assert!(chart.narrow.contains("viewBox=\"0 0 360 "), "{}", chart.narrow);
    }
}
