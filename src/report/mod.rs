//! Reports: one model, written as Markdown and as one self-contained HTML page.

mod bounded;
mod charts;
mod curves;
pub(crate) mod entities;
mod escape;
mod forecast;
mod gate;
mod gate_comparison;
mod gate_markdown;
mod gate_page;
mod html;
mod imports;
mod markdown;
mod model;
mod nights;
mod page;
mod reference;
mod rows;
mod slices;
mod svg;

pub use forecast::forecast_html;
pub use gate_markdown::gate_markdown;
pub use gate_page::gate_html;
pub use html::html;
pub use imports::coverage_rows;
pub use markdown::markdown;
pub use model::{LayerLine, Model, RampModel, StudyDocument, layer_lines};
pub use nights::{
    HarmSoFar, Night, NightDecision, NightsLayer, RampNights, Ramps, harms, nights_html, nights_markdown,
    nights_summary,
};
pub use reference::reference_page;
