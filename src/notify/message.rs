//! Notifications: their content, identity and text.

use serde::Serialize;
use std::collections::BTreeSet;

use crate::base::digest::PartsDigest;
use crate::base::escape;
use crate::base::time;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::ramp::{LayerSchedule, Schedule, Verdict};
use crate::scenario::NotifyEvent;

pub(super) const SCHEMA: &str = "sluice.notification/1";
/// The most layers that a notification lists. The rest is counted.
pub const MAX_LAYERS: usize = 20;
/// The most characters of a reason.
const MAX_REASON: usize = 400;
/// The most characters of a name of a tenant, layer, plan or release.
const MAX_NAME: usize = 80;

/// What a notification is about: the plan, and the instant of the night.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Id of the plan. `None` if the scenario could not be read.
    pub plan_id: Option<String>,
    /// Id of the candidate. `None` if the scenario could not be read.
    pub candidate: Option<String>,
    /// The instant that the night decided for, microseconds, UTC. `None` if it is not known.
    pub as_of: Option<Micros>,
    /// Where the report lies: a path or a URL. `None` if there is none.
    pub report: Option<String>,
}

/// A notification of one event of a night, as the JSON document `sluice.notification/1`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notification {
    /// Name and version of the document's format.
    pub schema: &'static str,
    /// Digest of plan, candidate, instant, event, layers and reason. The same event of the same
    /// night has the same id, so that a receiver can drop repeats.
    pub id: String,
    /// The event.
    pub event: NotifyEvent,
    /// Whether this is a test, which reports no event.
    pub is_test: bool,
    /// Id of the plan. `None` if the scenario could not be read.
    pub plan_id: Option<String>,
    /// Id of the candidate. `None` if the scenario could not be read.
    pub candidate: Option<String>,
    /// The instant that the night decided for, RFC 3339, UTC. `None` if it is not known.
    pub as_of: Option<String>,
    /// Number of layers, of all tenants, that had the event. 0 for a guard and a failure.
    pub n_layers: usize,
    /// Number of tenants of these layers.
    pub n_tenants: usize,
    /// The first [`MAX_LAYERS`] of these layers, in the order of the schedule.
    pub layers: Vec<LayerNews>,
    /// Name of the guard, or of the stage that failed. `None` for other events.
    pub check: Option<String>,
    /// What the guard or the stage found, in a sentence. `None` for other events.
    pub reason: Option<String>,
    /// Where the report lies: a path or a URL. `None` if there is none.
    pub report: Option<String>,
    /// The event in a few words, one line.
    pub title: String,
    /// The notification as plain text, with the title as its first line.
    pub text: String,
}

/// A layer that had the event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerNews {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan.
    pub layer: String,
    /// Verdict on the layer.
    pub verdict: Verdict,
    /// Ratio before the decision, 0..=1.
    pub from: Ratio,
    /// Ratio after the decision, 0..=1.
    pub to: Ratio,
    /// Name of the first check that blocked, such as `guardrail:complaint_rate`. `None` for a
    /// promotion.
    pub check: Option<String>,
    /// The first blocking check, or the reason of the promotion, in a sentence.
    pub reason: String,
}

impl LayerNews {
    fn new(layer: &LayerSchedule) -> Self {
        Self {
            tenant: named(&layer.tenant),
            layer: named(&layer.layer),
            verdict: layer.verdict,
            from: layer.ratio,
            to: layer.next_ratio,
            check: layer.first_blocking.as_deref().map(named),
            reason: sentence(&layer.reason),
        }
    }

    fn line(&self) -> String {
        let ratios = if self.from == self.to {
            format!("stays at {}", self.to)
        } else {
            format!("{} → {}", self.from, self.to)
        };
        format!("{} / {}: {ratios}: {}", self.tenant, self.layer, self.reason)
    }
}

/// A name of others on one line, with its middle left out if it is long.
fn named(text: &str) -> String {
    escape::line(&escape::excerpt(text, MAX_NAME)).into_owned()
}

/// A text of others on one line, with its middle left out if it is long.
fn sentence(text: &str) -> String {
    escape::line(&escape::excerpt(text, MAX_REASON)).into_owned()
}

/// The event of a verdict. `None` for a layer whose ratio stays although its data can be trusted.
fn event_of(verdict: Verdict) -> Option<NotifyEvent> {
    match verdict {
        Verdict::Rollback => Some(NotifyEvent::Rollback),
        Verdict::Promote => Some(NotifyEvent::Promotion),
        Verdict::Invalid => Some(NotifyEvent::Invalid),
        Verdict::Hold | Verdict::Inconclusive => None,
    }
}

/// Builds the notifications of a schedule: one for each event that a layer had, so at most three.
/// Layers of all tenants are in one notification. `report` is where the report lies.
pub fn of_schedule(schedule: &Schedule, report: Option<&str>) -> Vec<Notification> {
    let origin = Origin {
        plan_id: Some(schedule.plan_id.clone()),
        candidate: Some(schedule.candidate.clone()),
        as_of: Some(schedule.as_of),
        report: report.map(str::to_owned),
    };
    NotifyEvent::ALL
        .iter()
        .filter_map(|(_, event)| {
            let layers: Vec<&LayerSchedule> = schedule
                .layers
                .iter()
                .filter(|layer| event_of(layer.verdict) == Some(*event))
                .collect();
            (!layers.is_empty()).then(|| of_layers(*event, &origin, &layers))
        })
        .collect()
}

fn of_layers(event: NotifyEvent, origin: &Origin, layers: &[&LayerSchedule]) -> Notification {
    let mut id = id_of(event, origin);
    for layer in layers {
        for part in [&layer.tenant, &layer.layer] {
            id.push(part.as_bytes());
        }
        id.push(layer.verdict.name().as_bytes());
        id.push(&layer.ratio.bps().to_le_bytes());
        id.push(&layer.next_ratio.bps().to_le_bytes());
    }
    let tenants: BTreeSet<&str> = layers.iter().map(|layer| layer.tenant.as_str()).collect();
    let what = match event {
        NotifyEvent::Rollback => "Rollback of",
        NotifyEvent::Promotion => "Promotion of",
        _ => "Invalid data about",
    };
    let count = match (layers.len(), tenants.len()) {
        (1, _) => format!("layer {}", named(&layers[0].layer)),
        (n, 1) => format!("{n} layers"),
        (n, n_tenants) => format!("{n} layers of {n_tenants} tenants"),
    };
    let title = format!("{what} {}: {count}", release_of(origin));
    Notification {
        n_layers: layers.len(),
        n_tenants: tenants.len(),
        layers: layers
            .iter()
            .take(MAX_LAYERS)
            .map(|layer| LayerNews::new(layer))
            .collect(),
        ..new(event, origin, id, title)
    }
    .with_text()
}

/// Builds the notification of a guard that stopped the night. `guard` is its key in the scenario,
/// such as `max_moved`; `reason` names the value and the limit.
pub fn of_guard(origin: &Origin, guard: &str, reason: &str) -> Notification {
    let title = format!(
        "Guard {} stopped the night of {}",
        named(guard),
        release_of(origin)
    );
    of_stop(NotifyEvent::Guard, origin, guard, reason, title)
}

/// Builds the notification of a night that failed. `stage` is the stage that failed, such as
/// `publish`; `reason` is the error's text.
pub fn of_failure(origin: &Origin, stage: &str, reason: &str) -> Notification {
    let title = format!(
        "Failure of the night of {}, at {}",
        release_of(origin),
        named(stage)
    );
    of_stop(NotifyEvent::Failure, origin, stage, reason, title)
}

fn of_stop(event: NotifyEvent, origin: &Origin, check: &str, reason: &str, title: String) -> Notification {
    let mut id = id_of(event, origin);
    for part in [check, reason] {
        id.push(part.as_bytes());
    }
    Notification {
        check: Some(named(check)),
        reason: Some(sentence(reason)),
        ..new(event, origin, id, title)
    }
    .with_text()
}

/// Builds a test: a notification of this kind that says that it reports no event. `now` makes its
/// id another one each time, microseconds, UTC.
pub fn of_test(event: NotifyEvent, origin: &Origin, now: Micros) -> Notification {
    let mut id = id_of(event, origin);
    id.push(&now.to_le_bytes());
    let title = format!("Test of notifications ({}): nothing happened", event.name());
    Notification {
        is_test: true,
        reason: Some("sluice notify sent this message to try the sink; no ratio changed".to_owned()),
        ..new(event, origin, id, title)
    }
    .with_text()
}

fn release_of(origin: &Origin) -> String {
    match (&origin.candidate, &origin.plan_id) {
        (Some(candidate), _) => named(candidate),
        (None, Some(plan)) => format!("plan {}", named(plan)),
        (None, None) => "a plan that could not be read".to_owned(),
    }
}

/// Starts the digest that identifies a notification.
fn id_of(event: NotifyEvent, origin: &Origin) -> PartsDigest {
    let mut digest = PartsDigest::default();
    for part in [
        Some(event.name()),
        origin.plan_id.as_deref(),
        origin.candidate.as_deref(),
    ] {
        digest.push(part.unwrap_or_default().as_bytes());
    }
    digest.push(&origin.as_of.unwrap_or(Micros::MIN).to_le_bytes());
    digest
}

fn new(event: NotifyEvent, origin: &Origin, id: PartsDigest, title: String) -> Notification {
    Notification {
        schema: SCHEMA,
        id: id.finish(),
        event,
        is_test: false,
        plan_id: origin.plan_id.as_deref().map(named),
        candidate: origin.candidate.as_deref().map(named),
        as_of: origin.as_of.map(time::format),
        n_layers: 0,
        n_tenants: 0,
        layers: Vec::new(),
        check: None,
        reason: None,
        report: origin.report.as_deref().map(sentence),
        title,
        text: String::new(),
    }
}

impl Notification {
    /// Writes the text from the other keys.
    fn with_text(mut self) -> Self {
        let mut lines = vec![self.title.clone()];
        if let (Some(plan), Some(as_of)) = (&self.plan_id, &self.as_of) {
            lines.push(format!("plan {plan}, as of {as_of}"));
        }
        lines.extend(self.layers.iter().map(LayerNews::line));
        if self.n_layers > self.layers.len() {
            lines.push(format!("and {} more layers", self.n_layers - self.layers.len()));
        }
        lines.extend(self.reason.clone());
        lines.extend(self.report.iter().map(|report| format!("report: {report}")));
        self.text = lines.join("\n");
        self
    }

    /// The text without its first line, which is the title.
    pub(super) fn body(&self) -> &str {
        self.text.split_once('\n').map_or("", |(_, body)| body)
    }
}
