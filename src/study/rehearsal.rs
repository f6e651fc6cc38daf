//! The rehearsal of a proposed scenario: its layers, its cube and its analysis, in a temporary
//! folder.

use std::path::Path;

use crate::analysis::{Analysis, AnalysisOptions};
use crate::base::error::{Error, Result};
use crate::base::manifest::file;
use crate::base::private_folder::PrivateFolder;
use crate::base::progress::Progress;
use crate::layer::LayerSummary;
use crate::ramp::{Coverage, step_warnings};
use crate::replay::implausible_means;
use crate::scenario::{Overrides, Scenario};
use crate::study::layering::layer;
use crate::study::pipeline::{analyze, replay, replay_inputs};
use crate::study::runners::OnThreads;

/// Prefix of the temporary folders.
const PREFIX: &str = "sluice-rehearsal-";
/// The largest number of warnings on steps.
const MAX_WARNINGS: usize = 8;

/// The results of a rehearsal.
pub(crate) struct Rehearsal {
    pub(crate) scenario: Scenario,
    pub(crate) layering: LayerSummary,
    /// `None` without traffic.
    pub(crate) analysis: Option<Analysis>,
    /// What a run of the scenario would warn of.
    pub(crate) warnings: Vec<String>,
}

/// Parses the text of a scenario whose paths start at `folder`.
///
/// # Errors
/// The text is no legal scenario.
pub(crate) fn parse(text: &str, folder: &Path) -> Result<Scenario> {
    Scenario::parse(text, "scenario", folder, &Overrides::default()).map_err(Error::scenario)
}

/// Assigns the layers of a scenario.
///
/// # Errors
/// The users cannot be read.
pub(crate) fn rehearse_layers(scenario: &Scenario) -> Result<LayerSummary> {
    let folder = PrivateFolder::create(&std::env::temp_dir(), PREFIX)?;
    layer(
        &OnThreads,
        scenario,
        None,
        &folder.path().join(file::LAYERS),
        &Progress::silent(),
    )
}

/// Carries out the stages of a scenario up to its analysis.
///
/// # Errors
/// Any error of a stage.
pub(crate) fn rehearse(scenario: Scenario, progress: &Progress) -> Result<Rehearsal> {
    let folder = PrivateFolder::create(&std::env::temp_dir(), PREFIX)?;
    let layers = folder.path().join(file::LAYERS);
    let layering = layer(&OnThreads, &scenario, None, &layers, progress)?;
    let mut warnings = layering.warnings.clone();
    let mut analysis = None;
    if !scenario.input.traffic.is_empty() {
        let inputs = replay_inputs(&scenario, None, &layers, progress)?;
        let cube = replay(&scenario, &inputs, &folder.path().join(file::CUBE), progress)?;
        warnings.extend(inputs.warnings());
        warnings.extend(implausible_means(&cube));
        let path = folder.path().join(file::ANALYSIS);
        let found = analyze(&scenario, &cube, &AnalysisOptions::default(), &path)?;
        let coverage = Coverage::from_analysis(&found).filter(Coverage::is_doubtful);
        warnings.extend(coverage.map(|coverage| coverage.describe().en));
        let steps = step_warnings(&scenario.plan, &found, MAX_WARNINGS);
        warnings.extend(steps.into_iter().map(|warning| warning.en));
        analysis = Some(found);
    }
    Ok(Rehearsal {
        scenario,
        layering,
        analysis,
        warnings,
    })
}
