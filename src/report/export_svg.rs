//! A chart as an SVG file of its own: the colors of a light page, with its title and description.

use std::fmt::Write;

use crate::base::escape::html as escape;
use crate::report::page::STYLE;
use crate::report::svg::{Chart, FONT};

/// An SVG file with its size in pixels.
pub(super) struct SvgFile {
    pub(super) svg: String,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Makes a chart a file of its own. It needs no style sheet and no network. `None` if the chart has
/// no size.
pub(super) fn standalone(chart: &Chart) -> Option<SvgFile> {
    const END: &str = "</svg>";
    let start = chart.svg.find("<svg")?;
    let end = chart.svg[start..].find(END)? + start + END.len();
    let (open, content) = chart.svg[start..end].split_once('>')?;
    let (width, height) = size_of(open)?;
    let mut svg = open.replace(" role=\"presentation\"", "");
    let [wide, high] = [width, height].map(|length| length.to_string());
    let attributes = [
        ("role", "img"),
        ("width", &wide),
        ("height", &high),
        ("font-family", FONT),
    ];
    for (name, value) in attributes {
        if !svg.contains(&format!(" {name}=\"")) {
            // Writing to a string cannot fail.
            let _ = write!(svg, " {name}=\"{value}\"");
        }
    }
    let _ = write!(
        svg,
        ">\n<title>{}</title>\n<desc>{}</desc>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\" stroke=\"none\"/>{content}\n",
        escape(&chart.title),
        escape(&chart.description),
    );
    Some(SvgFile {
        svg: with_light_colors(&svg),
        width,
        height,
    })
}

/// The width and the height of a `viewBox`.
fn size_of(tag: &str) -> Option<(f64, f64)> {
    let (_, rest) = tag.split_once("viewBox=\"")?;
    let mut numbers = rest.split('"').next()?.split([' ', ',']).skip(2).map(str::parse);
    match (numbers.next()?, numbers.next()?) {
        (Ok(width), Ok(height)) => Some((width, height)),
        _ => None,
    }
}

/// Replaces the names of colors by those of a light page. Texts have no quotation marks, so only
/// attributes change.
fn with_light_colors(svg: &str) -> String {
    let mut svg = svg.to_owned();
    for (name, color) in light_colors() {
        svg = svg.replace(&format!("\"var(--{name})\""), &format!("\"{color}\""));
    }
    svg
}

/// The colors of a light page with their names, from the style sheet.
fn light_colors() -> impl Iterator<Item = (&'static str, &'static str)> {
    STYLE.split("--").skip(1).filter_map(|declaration| {
        let (name, value) = declaration.split_once(": light-dark(")?;
        let (light, _) = value.split_once(',')?;
        Some((name, light))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::svg::COLORS;

    #[test]
    fn every_color_of_charts_has_a_light_value() {
        for (_, name) in COLORS {
            assert!(
                light_colors().any(|(other, color)| other == name && color.starts_with('#')),
                "{name}"
            );
        }
    }

    #[test]
    fn a_chart_becomes_a_file_of_its_own() {
        let chart = Chart {
            title: "a < b".into(),
            description: "d & e".into(),
            svg: "<svg class=\"rows\" role=\"presentation\" viewBox=\"0 0 720 80\" \
                  xmlns=\"http://www.w3.org/2000/svg\"><path stroke=\"var(--alarm)\"/><text>var(--ink)</text></svg>"
                .into(),
            keys: Vec::new(),
            curves: None,
            narrow: String::new(),
        };
        let file = standalone(&chart).unwrap();
        assert_eq!((file.width, file.height), (720.0, 80.0));
        let expected = [
            "<title>a &lt; b</title>",
            "<desc>d &amp; e</desc>",
            "stroke=\"#c42b1c\"",
            "<text>var(--ink)</text>",
            "width=\"720\" height=\"80\"",
        ];
        for part in expected {
            assert!(file.svg.contains(part), "{part}: {}", file.svg);
        }
    }
}
