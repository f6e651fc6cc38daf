//! Files of evaluation tools: promptfoo, Inspect, DeepEval, lm-eval, OpenAI evals, Ragas, MLflow, and plain tables. What a file is shows in its content.

mod deepeval;
mod inspect;
pub(super) mod json;
mod lm_eval;
mod mlflow;
mod openai_evals;
mod promptfoo;
mod ragas;
pub(super) mod read;
