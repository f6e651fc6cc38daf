//! SVG of charts: colors, fonts and the minifier.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::base::error::{Error, ErrorKind, Problem, Result};
use crate::report::curves::Curves;

pub(super) const BASELINE: RGBColor = RGBColor(0x5b, 0x67, 0x78);

pub(super) const CANDIDATE: RGBColor = RGBColor(0x0b, 0x6e, 0xd0);

pub(super) const ALARM: RGBColor = RGBColor(0xc4, 0x2b, 0x1c);

pub(super) const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);

pub(super) const INK: RGBColor = RGBColor(0x22, 0x2b, 0x36);

/// Colors of the curves in a plot with one series per layer. Labels distinguish them too.
pub(super) const PALETTE: [RGBColor; 6] = [
    RGBColor(0x0b, 0x6e, 0xd0),
    RGBColor(0xd1, 0x6b, 0x00),
    RGBColor(0x1a, 0x7f, 0x4b),
    RGBColor(0x8a, 0x3f, 0xb5),
    RGBColor(0xb0, 0x2a, 0x5b),
    RGBColor(0x4d, 0x5a, 0x6b),
];

/// The colors with their names in the style sheet, which defines each for light and dark pages.
pub(super) const COLORS: [(RGBColor, &str); 10] = [
    (BASELINE, "baseline"),
    (ALARM, "alarm"),
    (GRID, "line"),
    (INK, "ink"),
    (PALETTE[0], "c0"),
    (PALETTE[1], "c1"),
    (PALETTE[2], "c2"),
    (PALETTE[3], "c3"),
    (PALETTE[4], "c4"),
    (PALETTE[5], "c5"),
];

pub(super) const FONT: &str = "system-ui, sans-serif";

/// A chart, with a description in words.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) svg: String,
    /// Filter keys of the whole chart with their values, for example `("layer", "early")`.
    pub(super) keys: Vec<(&'static str, String)>,
    /// The curves as data for the page's script, which replaces the SVG by them. `None` for charts
    /// without curves.
    pub(super) curves: Option<Curves>,
}

impl Chart {
    pub(super) fn with_curves(self, curves: Curves) -> Self {
        Self {
            curves: Some(curves),
            ..self
        }
    }
}

/// Returns the name of a color in the style sheet.
pub(super) fn color_name(color: RGBColor) -> &'static str {
    COLORS
        .iter()
        .find(|(other, _)| *other == color)
        .map_or("ink", |(_, name)| name)
}

pub(super) fn draw(
    title: impl Into<String>,
    description: impl Into<String>,
    size: (u32, u32),
    plot: impl Fn(&DrawingArea<SVGBackend<'_>, Shift>) -> PlotResult,
) -> Result<Chart> {
    let title = title.into();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Output,
                Problem::new(format!("plot `{title}`"), error.to_string()),
            )
        };
        plot(&root).map_err(|error| failed(&error))?;
        root.present().map_err(|error| failed(&error))?;
    }
    Ok(Chart {
        title,
        description: description.into(),
        svg: minify(&svg, size),
        keys: Vec::new(),
        curves: None,
    })
}

pub(super) type PlotResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// Reduces the size of a plot, and replaces its colors and font by those of the page.
///
/// Most of a plot's text are axes and grids, so their lines become one path. Attributes that are
/// the same everywhere are written once.
pub(super) fn minify(svg: &str, (width, height): (u32, u32)) -> String {
    const LABELS: &str = " font-size=\"9.67\" fill=\"var(--ink)\"";
    let sized = format!("<svg width=\"{width}\" height=\"{height}\"");
    let mut svg = svg.replacen(&sized, "<svg role=\"presentation\"", 1);
    for (RGBColor(r, g, b), name) in COLORS {
        svg = svg.replace(
            &format!("\"#{r:02X}{g:02X}{b:02X}\""),
            &format!("\"var(--{name})\""),
        );
    }
    let font = format!(" font-family=\"{FONT}\"");
    for needless in [
        font.as_str(),
        " opacity=\"1\"",
        " stroke=\"none\"",
        " stroke-width=\"1\"",
        " text-anchor=\"start\"",
    ] {
        svg = svg.replace(needless, "");
    }
    svg = two_digits(&svg)
        .replace(LABELS, "")
        .replacen("<svg ", &format!("<svg{LABELS} "), 1);
    let (mut page, mut grid) = (String::with_capacity(svg.len()), String::new());
    for line in svg.lines() {
        match grid_line(line) {
            Some(path) => grid.push_str(&path),
            None => page.push_str(&to_path(line).unwrap_or_else(|| line.to_owned())),
        }
    }
    // The grid comes right after the opening tag, so that it is behind everything else.
    let grid = if grid.is_empty() {
        grid
    } else {
        format!("<path d=\"{grid}\" stroke=\"var(--line)\"/>")
    };
    page.replacen('>', &format!(">{grid}"), 1) + "\n"
}

/// Returns a line of the grid or of an axis as a part of a path. `None` for another element.
pub(super) fn grid_line(element: &str) -> Option<String> {
    if let Some(ends) = element.strip_prefix("<polyline fill=\"none\" stroke=\"var(--line)\" points=\"") {
        return Some(format!("M{}", ends.strip_suffix(" \"/>")?));
    }
    let ends = element.strip_prefix("<line stroke=\"var(--line)\" ")?;
    let numbers: Vec<&str> = ends.split('"').skip(1).step_by(2).collect();
    let [x1, y1, x2, y2] = numbers.as_slice() else {
        return None;
    };
    Some(format!("M{x1},{y1} {x2},{y2}"))
}

/// Returns a curve or an area as a path of relative steps, which are shorter than absolute
/// positions. `None` for another element.
pub(super) fn to_path(element: &str) -> Option<String> {
    let (tag, rest) = element.split_once(' ')?;
    let end = match tag {
        "<polyline" => "",
        "<polygon" => "z",
        _ => return None,
    };
    let (style, points) = rest.split_once("points=\"")?;
    let mut at: Option<(i32, i32)> = None;
    let mut path = String::new();
    for point in points.strip_suffix("\"/>")?.split_whitespace() {
        let (x, y) = point.split_once(',')?;
        let (x, y): (i32, i32) = (x.parse().ok()?, y.parse().ok()?);
        let (dx, dy) = at.map_or((x, y), |from| (x - from.0, y - from.1));
        // Before a negative number the sign separates, so no space is needed.
        let gap = |number: i32| if number < 0 { "" } else { " " };
        path.push_str(&match at {
            None => format!("M{x} {y}l"),
            Some(_) => format!("{}{dx}{}{dy}", gap(dx), gap(dy)),
        });
        at = Some((x, y));
    }
    at.map(|_| {
        format!(
            "<path {style}d=\"{}{end}\"/>",
            path.replace("l ", "l").trim_end_matches('l')
        )
    })
}

/// Cuts numbers inside of tags to two decimals. Text stays unchanged.
pub(super) fn two_digits(svg: &str) -> String {
    let (mut short, mut in_tag, mut n_behind) = (String::with_capacity(svg.len()), false, None);
    for ch in svg.chars() {
        match ch {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ => {}
        }
        n_behind = match (ch, n_behind) {
            ('.', _) if in_tag => Some(0),
            ('0'..='9', Some(n)) => Some(n + 1),
            _ => None,
        };
        if n_behind.is_none_or(|n| n <= 2) {
            short.push(ch);
        }
    }
    short
}

pub(super) fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}
