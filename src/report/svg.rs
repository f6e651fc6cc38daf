//! SVG of charts: colors, fonts and the minifier.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::base::error::{Error, ErrorKind, Problem, Result};
use crate::report::curves::Curves;
use crate::report::short::short;

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
    /// The picture for wide screens and for paper.
    pub(super) svg: String,
    /// The picture for narrow screens. Empty if the wide one serves both.
    pub(super) narrow: String,
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

/// The size of a picture, and what fits on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Canvas {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Whether the picture is for a narrow screen.
    pub(super) is_narrow: bool,
}

impl Canvas {
    /// Width of a picture for a wide screen, and of one for a narrow screen.
    pub(super) const WIDTHS: [u32; 2] = [720, 360];

    fn both(height: u32) -> [Self; 2] {
        Self::WIDTHS.map(|width| Self {
            width,
            height,
            is_narrow: width == Self::WIDTHS[1],
        })
    }

    /// One of two values: for a wide and for a narrow picture.
    pub(super) fn pick<T>(self, wide: T, narrow: T) -> T {
        if self.is_narrow { narrow } else { wide }
    }

    /// Width for names beside the ends of curves.
    pub(super) fn names_width(self) -> u32 {
        self.pick(130, 86)
    }

    /// Letters of a name beside the end of a curve.
    pub(super) fn name_letters(self) -> usize {
        self.pick(18, 11)
    }
}

/// Draws a plot twice: for wide and for narrow screens.
pub(super) fn draw(
    title: impl Into<String>,
    description: impl Into<String>,
    height: u32,
    plot: impl Fn(&DrawingArea<SVGBackend<'_>, Shift>, Canvas) -> PlotResult,
) -> Result<Chart> {
    let title = title.into();
    let draw_on = |canvas: Canvas| {
        let size = (canvas.width, canvas.height);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let failed = |error: &dyn std::fmt::Display| {
                Error::new(
                    ErrorKind::Output,
                    Problem::new(format!("plot `{title}`"), error.to_string()),
                )
            };
            plot(&root, canvas).map_err(|error| failed(&error))?;
            root.present().map_err(|error| failed(&error))?;
        }
        Ok(minify(&svg, size))
    };
    let [wide, narrow] = Canvas::both(height);
    let (svg, narrow) = (draw_on(wide)?, draw_on(narrow)?);
    Ok(Chart {
        title,
        description: description.into(),
        svg,
        narrow,
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

/// Returns the text alternative of a chart from its parts. Tables contain the parts that are left
/// out.
pub(super) fn sentence(parts: &[String]) -> String {
    const SOME: usize = 16;
    let some = parts[..parts.len().min(SOME)].join("; ");
    if parts.len() > SOME {
        format!("{some}; … ({})", parts.len())
    } else {
        some
    }
}

/// Writes names beside the ends of curves, moved apart so that they do not overlap.
pub(super) fn names(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    mut ends: Vec<(f64, String, RGBColor)>,
    canvas: Canvas,
    to_pixel: impl Fn(f64) -> (i32, i32),
) -> PlotResult {
    /// Height of a name, pixels.
    const LINE: i32 = 15;
    ends.sort_by(|a, b| b.0.total_cmp(&a.0));
    // First from top to bottom, then back from bottom to top, so that all names stay in the chart.
    let mut pixels: Vec<(i32, i32)> = ends
        .iter()
        .map(|end| to_pixel(end.0))
        .map(|(x, pixel)| (x + 6, pixel - 7))
        .collect();
    let mut free = 0;
    for (_, pixel) in &mut pixels {
        *pixel = (*pixel).max(free);
        free = *pixel + LINE;
    }
    let mut free = root.dim_in_pixel().1 as i32 - LINE;
    for (_, pixel) in pixels.iter_mut().rev() {
        *pixel = (*pixel).min(free);
        free = *pixel - LINE;
    }
    for ((_, word, color), at) in ends.into_iter().zip(pixels) {
        root.draw(&Text::new(
            short(&word, canvas.name_letters()),
            at,
            (FONT, 13).into_font().color(&color),
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_follow_the_page() {
        let chart = draw("t", "d", 100, |root, _| {
            root.draw(&PathElement::new(vec![(1, 2), (3, 4)], GRID))?;
            root.draw(&Text::new("0.12345 <b>", (5, 6), text(12)))?;
            root.draw(&PathElement::new(vec![(5, 6), (7, 4), (9, 9)], CANDIDATE))?;
            Ok(())
        });
        let svg = chart.map(|chart| chart.svg).unwrap_or_default();
        assert!(
            svg.contains("<path d=\"M1,2 3,4\" stroke=\"var(--line)\"/>"),
            "{svg}"
        );
        assert!(
            svg.contains("0.12345 &lt;b&gt;")
                && svg.contains("stroke=\"var(--c0)\" d=\"M5 6l2-2 2 5\"/>")
                && !svg.contains('#'),
            "{svg}"
        );
    }
}
