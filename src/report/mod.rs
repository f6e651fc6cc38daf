//! Reports: one model, written as Markdown and as one self-contained HTML page.

mod answer;
mod bounded;
mod cards;
mod charts;
mod curves;
mod effects;
pub(crate) mod entities;
mod escape;
mod forecast;
mod forecast_answer;
mod forecast_charts;
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
mod quantities;
mod reference;
mod rows;
mod short;
mod svg;
mod time_charts;
mod user_charts;
mod values;

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
