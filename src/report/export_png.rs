//! Charts as PNG, drawn with the fonts of the system.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, FontResolver, fontdb};
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Problem, Result};
use crate::report::export_svg::SvgFile;

/// Fonts for texts of charts, the first that the system has.
const FAMILIES: [&str; 6] = [
    "Noto Sans",
    "DejaVu Sans",
    "Liberation Sans",
    "Arial",
    "Helvetica",
    "Segoe UI",
];

/// Draws PNG files. The fonts of the system are read once.
pub(super) struct PngWriter {
    fonts: Arc<fontdb::Database>,
}

impl PngWriter {
    /// Reads the fonts of the system.
    pub(super) fn new() -> Self {
        let mut fonts = fontdb::Database::new();
        fonts.load_system_fonts();
        let has = |fonts: &fontdb::Database, name: &str| {
            fonts
                .faces()
                .any(|face| face.families.iter().any(|(family, _)| family == name))
        };
        let known = FAMILIES
            .into_iter()
            .find(|name| has(&fonts, name))
            .map(str::to_owned);
        let first = || Some(fonts.faces().next()?.families.first()?.0.clone());
        if let Some(family) = known.or_else(first) {
            fonts.set_sans_serif_family(family.clone());
            fonts.set_serif_family(family);
        }
        Self {
            fonts: Arc::new(fonts),
        }
    }

    /// The letters of an SVG's texts that no font of the system has, in order.
    pub(super) fn missing_letters(&self, file: &SvgFile) -> BTreeSet<char> {
        let letters: BTreeSet<char> = texts(&file.svg)
            .flat_map(str::chars)
            .filter(|c| !c.is_whitespace() && !c.is_control())
            .collect();
        letters.into_iter().filter(|c| !self.has_letter(*c)).collect()
    }

    /// Whether some font has a letter. The search leaves out the first of the fonts that it is given,
    /// so it is made twice.
    fn has_letter(&self, letter: char) -> bool {
        let mut fonts = Arc::clone(&self.fonts);
        let search = FontResolver::default_fallback_selector();
        let some: Vec<fontdb::ID> = self.fonts.faces().take(2).map(|face| face.id).collect();
        if let [only] = some.as_slice() {
            // With one font only, the letters that every font has can be drawn.
            let _ = only;
            return letter.is_ascii();
        }
        some.iter()
            .any(|first| search(letter, &[*first], &mut fonts).is_some())
    }

    /// Draws a file, `scale` pixels for each of its own.
    ///
    /// # Errors
    /// The SVG cannot be read, or it has no size.
    pub(super) fn draw(&self, file: &SvgFile, scale: f64) -> Result<Vec<u8>> {
        let failed = |what: String| Error::new(ErrorKind::Output, Problem::new("chart as PNG", what));
        let options = usvg::Options {
            font_family: "sans-serif".into(),
            fontdb: Arc::clone(&self.fonts),
            ..usvg::Options::default()
        };
        let tree = usvg::Tree::from_str(&file.svg, &options).map_err(|error| failed(error.to_string()))?;
        let pixels = |length: f64| (length * scale).ceil() as u32;
        let mut picture = Pixmap::new(pixels(file.width), pixels(file.height))
            .ok_or_else(|| failed("expected a size above 0".into()))?;
        let transform = Transform::from_scale(scale as f32, scale as f32);
        resvg::render(&tree, transform, &mut picture.as_mut());
        picture.encode_png().map_err(|error| failed(error.to_string()))
    }
}

/// The texts that an SVG shows. Titles and descriptions are not shown.
fn texts(svg: &str) -> impl Iterator<Item = &str> {
    svg.split("<text").skip(1).filter_map(|part| {
        let (_, content) = part.split_once('>')?;
        Some(content.split('<').next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> SvgFile {
        SvgFile {
            svg: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 20\" width=\"40\" height=\"20\">\
                 <title>\u{378}</title><rect width=\"40\" height=\"20\" fill=\"#fff\"/>\
                 <text x=\"2\" y=\"15\" font-family=\"system-ui, sans-serif\">{text}</text></svg>"
            ),
            width: 40.0,
            height: 20.0,
        }
    }

    #[test]
    fn letters_that_no_font_has_are_found() {
        let writer = PngWriter::new();
        // A code point without a letter.
        assert_eq!(
            writer.missing_letters(&file("a\u{378}")),
            BTreeSet::from(['\u{378}'])
        );
    }

    #[test]
    fn a_picture_has_the_size_of_its_scale_and_ink() {
        let writer = PngWriter::new();
        let png = writer.draw(&file("ab"), 2.0).unwrap();
        let picture = Pixmap::decode_png(&png).unwrap();
        assert_eq!((picture.width(), picture.height()), (80, 40));
        let is_dark = |pixel: &resvg::tiny_skia::PremultipliedColorU8| pixel.red() < 100;
        assert!(picture.pixels().iter().any(is_dark), "no text was drawn");
    }
}
