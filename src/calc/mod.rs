//! The calculator: every statistical method by name, from JSON inputs to a JSON answer.
//!
//! [`FUNCTIONS`] is the catalog. `fields` reads inputs, and `answer` holds results. Every other
//! file holds the functions of one subject.

mod answer;
mod arms;
mod batch;
mod bucket;
mod causes;
mod compare;
mod design;
mod evaluation;
mod fields;
mod functions;
mod hypothesis;
mod input;
mod layering;
mod multiplicity;
mod off_policy;
mod quality;
mod sample_ratio;
mod strata;

pub use answer::{Answer, Item};
pub use batch::{AnswerLine, answer_line, answer_lines};
pub use fields::Refusal;

pub use functions::{FUNCTIONS, Function};
