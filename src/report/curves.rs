//! Curves as data for the page's script, which draws them with values and zoom. Without the script
//! the page shows the SVG.

use serde::Serialize;
use serde_json::Number;

use crate::base::escape::is_command;
use crate::base::time::Micros;

/// The largest number of points in a page. All curves of a page share it, so that no page exceeds a
/// few megabytes.
const POINTS: usize = 14_000;

/// Returns the largest number of points of each of `n` curves.
pub(super) fn points_of_each(n: usize) -> usize {
    (POINTS / n.max(1)).clamp(36, 3000)
}

/// The curves of one chart.
#[derive(Debug, Serialize)]
pub(super) struct Curves {
    /// Origin of times, epoch seconds. `None` for an axis of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    t0: Option<i64>,
    /// Name and range of the horizontal axis.
    x: &'static str,
    min: f64,
    max: f64,
    y: Scale,
    y_name: &'static str,
    lines: Vec<Curve>,
    /// Vertical lines: their positions and labels.
    marks: Vec<(f64, String)>,
    #[serde(skip)]
    n_points: usize,
}

/// The scale of the vertical axis.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scale {
    /// Shares on a square-root axis, which shows both 1 % and 100 %.
    Ratio,
    /// Values within 0..=1, on the range of the curves.
    Quality,
    /// Shares from 0 up, on a linear axis.
    Share,
}

impl Scale {
    /// Rounds a value to one digit more than the page shows. A QoS becomes a multiple of 0.0001.
    fn as_shown(self, value: f64) -> f64 {
        match self {
            Self::Quality => (value * 1e4).round(),
            Self::Ratio | Self::Share => six_digits(value),
        }
    }
}

/// A curve with its filter keys.
#[derive(Debug, Default, Serialize)]
pub(super) struct Curve {
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) tenant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) layer: String,
    /// Name of a color in the style sheet.
    pub(super) color: &'static str,
    /// Whether a value holds until the next point.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) step: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) dash: bool,
    #[serde(flatten)]
    pub(super) points: Columns,
}

/// The points of a curve by column, as [`Curves::add`] fills them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Columns {
    /// Horizontal positions. `None` if they equal those of the previous curve.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    xs: Option<Vec<Number>>,
    ys: Vec<Number>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lo: Vec<Number>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hi: Vec<Number>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A point, with the interval around it if there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) around: Option<(f64, f64)>,
}

impl Point {
    pub(super) fn new(x: f64, y: f64) -> Self {
        Self { x, y, around: None }
    }

    pub(super) fn low(&self) -> f64 {
        self.around.map_or(self.y, |around| around.0)
    }

    pub(super) fn high(&self) -> f64 {
        self.around.map_or(self.y, |around| around.1)
    }
}

impl Curves {
    /// Makes an empty chart over the numbers 0 to `max` with the name `x`.
    pub(super) fn over_numbers(x: &'static str, max: f64, y_name: &'static str, y: Scale) -> Self {
        Self {
            t0: None,
            x,
            min: 0.0,
            max,
            y,
            y_name,
            lines: Vec::new(),
            marks: Vec::new(),
            n_points: 0,
        }
    }

    /// Makes an empty chart over time. The `x` values of its points are microseconds, UTC.
    pub(super) fn over_time(start: Micros, end: Micros, y_name: &'static str, y: Scale) -> Self {
        let mut curves = Self::over_numbers("", 0.0, y_name, y);
        curves.t0 = Some(start.div_euclid(1_000_000));
        (curves.min, curves.max) = (curves.scaled(start as f64), curves.scaled(end as f64));
        curves
    }

    fn scaled(&self, x: f64) -> f64 {
        self.t0
            .map_or_else(|| six_digits(x), |t0| (x / 1e6).round() - t0 as f64)
    }

    pub(super) fn mark(&mut self, x: f64, words: String) {
        self.marks.push((self.scaled(x), words));
    }

    /// Adds a curve. `n_points` is its number of points before thinning.
    pub(super) fn add(&mut self, curve: Curve, points: &[Point], n_points: usize) {
        if points.is_empty() {
            return;
        }
        let xs: Vec<Number> = points.iter().map(|point| short(self.scaled(point.x))).collect();
        let of = |value: &dyn Fn(&Point) -> f64| {
            points
                .iter()
                .map(|point| short(self.y.as_shown(value(point))))
                .collect::<Vec<_>>()
        };
        let has_intervals = points.iter().any(|point| point.around.is_some());
        let (lo, hi) = if has_intervals {
            (of(&Point::low), of(&Point::high))
        } else {
            (Vec::new(), Vec::new())
        };
        let before = self.lines.iter().rev().find_map(|line| line.points.xs.as_ref());
        let xs = (before != Some(&xs)).then_some(xs);
        let columns = Columns {
            xs,
            ys: of(&|point| point.y),
            lo,
            hi,
        };
        self.lines.push(Curve {
            points: columns,
            ..curve
        });
        self.n_points += n_points;
    }

    /// Returns the number of points in the chart, and the number before thinning.
    pub(super) fn counts(&self) -> (usize, usize) {
        (
            self.lines.iter().map(|line| line.points.ys.len()).sum(),
            self.n_points,
        )
    }

    /// Returns the chart as text for a script element. The text can neither end the element nor
    /// begin a comment.
    pub(super) fn to_json(&self) -> String {
        json_in_script(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// Escapes JSON without line breaks so that it cannot become markup and holds no controls. The
/// escaped characters occur only within JSON strings.
pub(super) fn json_in_script(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for ch in json.chars() {
        match ch {
            ch if matches!(ch, '<' | '>' | '&') || is_command(ch) => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(ch)))
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// Returns a JSON number, as an integer if it is whole.
fn short(value: f64) -> Number {
    let whole = (value.fract() == 0.0 && value.abs() < 1e15).then(|| Number::from(value as i64));
    whole
        .or_else(|| Number::from_f64(value))
        .unwrap_or_else(|| 0.into())
}

/// Rounds to six significant digits, more than a screen can show.
fn six_digits(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let unit = 10.0_f64.powi(5 - value.abs().log10().floor() as i32);
    let rounded = (value * unit).round() / unit;
    if rounded.is_finite() { rounded } else { value }
}

/// Returns about `most` points: the first, last, lowest and highest point of each section of the
/// curve, so that no peak is lost.
pub(super) fn thin(points: &[Point], most: usize) -> Vec<Point> {
    if points.len() <= most {
        return points.to_vec();
    }
    let n_stretches = (most / 4).max(1);
    let mut kept = Vec::with_capacity(most);
    for stretch in 0..n_stretches {
        let (from, to) = (
            stretch * points.len() / n_stretches,
            (stretch + 1) * points.len() / n_stretches,
        );
        let by = |value: &dyn Fn(&Point) -> f64| {
            (from..to).min_by(|a, b| value(&points[*a]).total_cmp(&value(&points[*b])))
        };
        let mut chosen: Vec<usize> = [
            Some(from),
            by(&Point::low),
            by(&|point| -point.high()),
            Some(to - 1),
        ]
        .into_iter()
        .flatten()
        .collect();
        chosen.sort_unstable();
        chosen.dedup();
        kept.extend(chosen.into_iter().map(|idx| points[idx]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_curves_keep_their_peaks_and_ends() {
        let points: Vec<Point> = (0..10_000)
            .map(|k| Point::new(f64::from(k), if k == 4321 { 9.0 } else { f64::from(k % 7) }))
            .collect();
        let kept = thin(&points, 100);
        assert!(kept.len() <= 100, "{}", kept.len());
        assert!(kept.contains(&points[4321]) && kept.contains(&points[0]) && kept.contains(&points[9999]));
        assert!(kept.windows(2).all(|pair| pair[0].x < pair[1].x));
        assert_eq!(thin(&points[..50], 100), points[..50]);
    }

    #[test]
    fn json_cannot_end_its_element() {
        let text = serde_json::to_string("</script><!--&\u{2028}\"").unwrap();
        let escaped = json_in_script(&text);
        assert!(!escaped.contains(['<', '>', '&', '\u{2028}']));
        assert_eq!(
            serde_json::from_str::<String>(&escaped).unwrap(),
            "</script><!--&\u{2028}\""
        );
    }

    #[test]
    fn curves_share_their_times() {
        let mut curves = Curves::over_time(0, 9_000_000, "QoS", Scale::Quality);
        let points = [
            Point {
                x: 1e6,
                y: 0.123_456_789,
                around: Some((0.1, 0.2)),
            },
            Point {
                x: 2e6,
                y: 0.5,
                around: Some((0.4, 0.6)),
            },
        ];
        curves.add(
            Curve {
                name: "<a>".into(),
                color: "c0",
                ..Curve::default()
            },
            &points,
            7,
        );
        curves.add(
            Curve {
                name: "b".into(),
                color: "c1",
                ..Curve::default()
            },
            &points,
            2,
        );
        assert_eq!(curves.counts(), (4, 9));
        let json = curves.to_json();
        assert_eq!(json.matches("\"x\":[1,2]").count(), 1, "{json}");
        assert!(
            json.contains("[1235,5000]") && json.contains("\\u003ca\\u003e"),
            "{json}"
        );
    }
}
