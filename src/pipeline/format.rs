//! The formats by name.

use clap::ValueEnum;

use crate::pipeline::comment::comment;
use crate::pipeline::finding::Findings;
use crate::pipeline::{github, junit, sarif};
use crate::words::Lang;

/// A format of pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Annotations of GitHub Actions (workflow commands)
    Github,
    /// JUnit XML, for Jenkins and GitLab
    Junit,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// A comment of a pull request, at most 30 lines
    Markdown,
}

/// Returns the findings in a format and a language. The same findings give the same bytes.
pub fn write(findings: &Findings, format: Format, lang: Lang) -> String {
    match format {
        Format::Github => github::annotations(findings, lang),
        Format::Junit => junit::junit(findings, lang),
        Format::Sarif => sarif::sarif(findings, lang),
        Format::Markdown => comment(findings, lang),
    }
}
