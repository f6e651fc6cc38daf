//! Guesses of `sluice init`: which column of a file is which column of Sluice, which release is the
//! candidate, and the text of a scenario that says so.
//!
//! Everything here takes values and returns values. `study` reads the files: values of a sample
//! become a `ColumnProfile` a column, `guess` assigns the columns of `targets` by their names
//! (`names`) and values (`fit`, `words`), `release` looks at the releases of the log, `outcomes`
//! finds columns for metrics, and `write` turns the `Draft` into TOML.

mod draft;
mod fit;
mod guess;
mod names;
mod outcomes;
mod pairs;
mod profile;
mod proposal;
mod release;
mod targets;
mod times;
mod toml_text;
mod words;
mod write;

pub(crate) use draft::{Draft, DraftOperation, DraftPlan, DraftSource, OwnColumn};
pub(crate) use fit::{How, parse_other_form, sql_name};
pub(crate) use guess::{Guess, Guesses, Role};
pub(crate) use outcomes::own_metrics;
pub(crate) use pairs::guess_with_pairs;
pub(crate) use profile::{ColumnProfile, Native, Scalar};
pub(crate) use proposal::{DIVISIONS, caps, guardrails, ladder, layers, missing, unfit_names};
pub(crate) use release::{ReleasePair, Turn, TurnFacts, choose_releases};
pub(crate) use times::zone_of_offset;
pub(crate) use write::write;
