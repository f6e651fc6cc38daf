//! The kinds of rows of each format.

use crate::scenario::TraceFormat;
use crate::traces::importers::importer::{Importer, Kind};
use crate::traces::importers::{braintrust, helicone, langfuse, langsmith, litellm, mlflow, phoenix};

/// The importers of rows, by their format.
const ROWS: &[(TraceFormat, &[Importer])] = &[
    (TraceFormat::Langfuse, langfuse::IMPORTERS),
    (TraceFormat::Litellm, litellm::IMPORTERS),
    (TraceFormat::Mlflow, mlflow::IMPORTERS),
    (TraceFormat::Phoenix, phoenix::IMPORTERS),
    (TraceFormat::Langsmith, langsmith::IMPORTERS),
    (TraceFormat::Braintrust, braintrust::IMPORTERS),
    (TraceFormat::Helicone, helicone::IMPORTERS),
];

/// The kinds of rows of a format; of all formats for `auto`.
pub(in crate::traces) fn kinds(format: TraceFormat) -> impl Iterator<Item = Kind> {
    let is_wanted = move |known: TraceFormat| format == TraceFormat::Auto || format == known;
    let otlp = is_wanted(TraceFormat::Otlp).then_some(Kind::Otlp);
    let rows = ROWS.iter().filter(move |(known, _)| is_wanted(*known));
    otlp.into_iter()
        .chain(rows.flat_map(|(_, importers)| importers.iter()).map(Kind::Rows))
}

/// The formats that have an importer, with their words.
pub(crate) fn formats() -> Vec<(&'static str, TraceFormat)> {
    let all = TraceFormat::ALL.into_iter();
    all.filter(|(_, format)| kinds(*format).next().is_some())
        .collect()
}
