//! A small study: a scenario from text, all stages of the pipeline, and a verdict for each layer.

use sluice::base::progress::Progress;
use sluice::scenario::{Overrides, Scenario};
use sluice::study;
use sluice::words::Lang;
use std::error::Error;
use std::path::Path;

const SCENARIO: &str = r#"
seed = 1
as_of = "2026-05-29"
[plan]
id = "new-agent"
start = "2026-05-25"
baseline = "bot"
candidate = "agent"
[input.generate]
users = 4_000
turns = 40_000
[[layer]]
id = "early"
min_score = 0.5
initial_ratio = 0.5
dwell_hours = 48
[[layer]]
id = "others"
[[operation]]
at = "2026-05-25"
layer = "early"
ratio = 0.5
"#;

#[expect(clippy::print_stdout, reason = "the result of the example")]
fn main() -> Result<(), Box<dyn Error>> {
    let scenario =
        Scenario::parse(SCENARIO, "example", Path::new(""), &Overrides::default()).expect("a legal scenario");
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("study");
    let study = study::run(&scenario, &out, Lang::default(), &Progress::silent())?;

    let ramp = study.ramp.ok_or("a scenario with traffic has a ramp")?;
    for layer in &ramp.schedule.layers {
        let (verdict, next) = (layer.verdict.name(), layer.next_ratio);
        println!(
            "{}: {verdict}, {} -> {next}: {}",
            layer.layer, layer.ratio, layer.reason
        );
    }
    assert_eq!(ramp.schedule.layers.len(), 2);
    assert!(out.join("report.html").exists());
    Ok(())
}
