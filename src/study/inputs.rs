//! The inputs that a command reads because its scenario names them, for the rule that nothing that
//! is read is ever written ([`Apart`]).

use std::path::Path;

use crate::base::apart::Apart;
use crate::scenario::{Scenario, Source};

/// The file of a scenario and its inputs: users or events, traffic, shadow answers and outcomes.
pub(crate) fn of_scenario(path: &Path, scenario: &Scenario) -> Apart {
    let input = &scenario.input;
    let sources = input
        .user_sources(&input.users)
        .into_iter()
        .chain(&input.traffic)
        .chain(&input.shadow)
        .chain(&input.outcomes);
    Apart::new().reads([path]).reads(sources.flat_map(Source::paths))
}
