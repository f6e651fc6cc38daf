//! Where the stages of a study run: on the threads of this program, or in tasks of an engine.

use std::path::Path;

use crate::base::error::Result;
use crate::layer::LayerRunner;
use crate::replay::TaskRunner;
use crate::scenario::UsersFrom;
use crate::study::layer_options::LayerOptions;

/// Makes the runners of the stages that engines run. `None` for the threads of this program.
pub trait NewRunners {
    /// The runner of a layering of these users.
    ///
    /// # Errors
    /// When the job cannot be made.
    fn layer(&self, users: &UsersFrom, options: &LayerOptions) -> Result<Option<Box<dyn LayerRunner>>>;

    /// The runner of a replay, from the path of the layer table, and that of the log if it was
    /// generated.
    ///
    /// # Errors
    /// When the job cannot be made.
    fn replay(&self, layers: &Path, generated: Option<&Path>) -> Result<Option<Box<dyn TaskRunner>>>;
}

/// The threads of this program.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnThreads;

impl NewRunners for OnThreads {
    fn layer(&self, _: &UsersFrom, _: &LayerOptions) -> Result<Option<Box<dyn LayerRunner>>> {
        Ok(None)
    }

    fn replay(&self, _: &Path, _: Option<&Path>) -> Result<Option<Box<dyn TaskRunner>>> {
        Ok(None)
    }
}
