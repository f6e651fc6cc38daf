//! Reports: one model, written as Markdown and as one self-contained HTML page.

mod answer;
mod bounded;
mod cards;
mod charts;
mod curves;
mod effects;
mod email;
pub(crate) mod entities;
mod escape;
mod export;
mod export_png;
mod export_svg;
mod export_tables;
mod export_xlsx;
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
mod slices;
mod svg;
mod time_charts;
mod user_charts;
mod values;

pub use email::email;
pub use export::{CHARTS_INDEX, ExportedFiles, TABLES_INDEX, chart_files, table_files, workbook};
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
