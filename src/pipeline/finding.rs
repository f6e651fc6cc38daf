//! Findings: what a command found, one entry for each check, with a severity and a place.

use crate::gate::GateOutcome;
use crate::pipeline::place::Place;
use crate::words::Text;

/// The severity of a finding, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The check passed.
    Passed,
    /// The check was not made.
    NotAsked,
    /// The check does not block, but its finding needs a look.
    Warning,
    /// The evidence does not suffice.
    Inconclusive,
    /// The check failed.
    Error,
}

impl Level {
    /// The name of the level in tables, as in `gate_report.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::NotAsked => "skip",
            Self::Warning => "warn",
            Self::Inconclusive => "inconclusive",
            Self::Error => "fail",
        }
    }

    /// Whether a reader has to look at the finding.
    pub fn is_open(self) -> bool {
        self >= Self::Warning
    }
}

impl From<GateOutcome> for Level {
    fn from(outcome: GateOutcome) -> Self {
        match outcome {
            GateOutcome::Pass => Self::Passed,
            GateOutcome::Warn => Self::Warning,
            GateOutcome::Inconclusive => Self::Inconclusive,
            GateOutcome::Fail => Self::Error,
        }
    }
}

/// One finding of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Id of the rule or check, such as `tool_schema`. It is not translated.
    pub rule: String,
    /// What the rule is about.
    pub title: Text,
    /// Group of the rule, such as `C1`. It is not translated.
    pub group: String,
    /// What the finding is about, such as a layer or a tool. Empty for the whole release or study.
    pub subject: String,
    /// Severity of the finding.
    pub level: Level,
    /// What was found.
    pub found: Text,
    /// What would make the check pass. `None` if it passed.
    pub remedy: Option<Text>,
    /// File and line of the finding. `None` if no file of the repository is known.
    pub place: Option<Place>,
}

impl Finding {
    /// The rule with its subject: `tool_schema (refund_api)`.
    pub fn name(&self) -> String {
        if self.subject.is_empty() {
            self.rule.clone()
        } else {
            format!("{} ({})", self.rule, self.subject)
        }
    }
}

/// All findings of a command, with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Name of the command, such as `gate`.
    pub command: &'static str,
    /// The worst severity, which decides the answer.
    pub level: Level,
    /// The answer in one sentence.
    pub answer: Text,
    /// The next step of the reader.
    pub next: Text,
    /// What was judged, as names and values.
    pub properties: Vec<(&'static str, String)>,
    /// The findings, in the order of the command.
    pub list: Vec<Finding>,
}

impl Findings {
    /// The findings that a reader has to look at, the worst first.
    pub(super) fn open(&self) -> Vec<&Finding> {
        let mut open: Vec<&Finding> = self
            .list
            .iter()
            .filter(|finding| finding.level.is_open())
            .collect();
        open.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        open
    }

    /// The number of findings of a level.
    pub(super) fn count(&self, level: Level) -> usize {
        self.list.iter().filter(|finding| finding.level == level).count()
    }
}

/// Findings of every level, for tests of the formats.
#[cfg(test)]
pub(super) fn example() -> Findings {
    let both = |en: &str, zh: &str| Text {
        en: en.to_owned(),
        zh: zh.to_owned(),
    };
    let finding = |rule: &str, level: Level, found: Text| Finding {
        rule: rule.to_owned(),
        title: both(&format!("about {rule}"), ""),
        group: "record".to_owned(),
        subject: String::new(),
        level,
        found,
        remedy: None,
        place: None,
    };
    let place = |file: &str, line| {
        Some(Place {
            file: file.to_owned(),
            line,
        })
    };
    Findings {
        command: "gate",
        level: Level::Error,
        answer: both("No: 1 check failed.", "否：1 项未通过。"),
        next: both("Name a target.", "请指定目标。"),
        properties: vec![("candidate", "v2 & \"new\"".to_owned())],
        list: vec![
            finding("baseline", Level::Passed, both("Compared with v1.", "对照 v1。")),
            finding("digests", Level::Warning, both("50% are cut.", "50% 不完整。")),
            Finding {
                remedy: Some(both("Name one.", "请指定。")),
                place: place("release/candidate.json", Some(7)),
                ..finding("rollback_target", Level::Error, both("No target.", "没有目标。"))
            },
            Finding {
                group: "C4".to_owned(),
                subject: "golden".to_owned(),
                place: place("evals.csv", None),
                ..finding(
                    "cost",
                    Level::Inconclusive,
                    both("The cost is not known.", "成本未知。"),
                )
            },
            finding("canary", Level::NotAsked, both("No analysis.", "没有分析。")),
        ],
    }
}
