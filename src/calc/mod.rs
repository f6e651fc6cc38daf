//! The calculator: every method by name, from JSON to JSON. A script's library, an analyst's pocket calculator.

mod answer;
mod arms;
mod batch;
mod bucket;
mod causes;
mod compare;
mod design;
mod fields;
mod functions;
mod hypothesis;
mod other;

pub use answer::{Answer, Item};
pub use batch::{AnswerLine, answer_line, answer_lines};
pub use fields::Refusal;

pub use functions::{FUNCTIONS, Function};
