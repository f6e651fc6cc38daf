//! Importers of evaluation files, one source file per tool: promptfoo, Inspect, DeepEval, lm-eval,
//! OpenAI evals, Ragas, MLflow. `read` detects the tool by the content of a file.

mod deepeval;
mod inspect;
pub(super) mod json;
mod lm_eval;
mod mlflow;
mod openai_evals;
mod promptfoo;
pub(super) mod ragas;
pub(super) mod read;
