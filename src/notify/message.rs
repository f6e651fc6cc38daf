//! Notifications: their content, identity and text.

use serde::Serialize;
use std::collections::BTreeSet;

use crate::base::digest::PartsDigest;
use crate::base::escape;
use crate::base::time;
use crate::base::time::{Micros, Zone};
use crate::bucket::Ratio;
use crate::input::DEFAULT_TENANT;
use crate::ramp::{LayerSchedule, Schedule, Verdict};
use crate::scenario::NotifyEvent;
use crate::words::notify as words;
use crate::words::terminal::{of_layer, of_tenant, stays_at};
use crate::words::{Count, Lang, Text, When};

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
    /// The zone of times in texts.
    pub zone: Zone,
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
    /// The same in Chinese. `None` without a translation, such as of the text of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_zh: Option<String>,
    /// Where the report lies: a path or a URL. `None` if there is none.
    pub report: Option<String>,
    /// The event in a few words, one line, in the language of the sink.
    pub title: String,
    /// The notification as plain text, with the title as its first line, in the language of the
    /// sink.
    pub text: String,
    /// Title and text in Chinese.
    #[serde(skip)]
    chinese: [String; 2],
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
    /// The reason of the verdict, in a sentence.
    pub reason: String,
    /// The same in Chinese. Empty for schedules of older versions.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason_zh: String,
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
            reason_zh: sentence(&layer.reason_zh),
        }
    }

    fn line(&self) -> Text {
        let reason = Text {
            en: self.reason.clone(),
            zh: self.reason_zh.clone(),
        };
        // The reason of a change names both ratios.
        let line = if self.from == self.to {
            stays_at(&self.layer, self.to, reason)
        } else {
            of_layer(&self.layer, reason)
        };
        if self.tenant == DEFAULT_TENANT {
            line
        } else {
            of_tenant(&self.tenant, line)
        }
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
pub fn of_schedule(schedule: &Schedule, zone: &Zone, report: Option<&str>) -> Vec<Notification> {
    let origin = Origin {
        plan_id: Some(schedule.plan_id.clone()),
        candidate: Some(schedule.candidate.clone()),
        as_of: Some(schedule.as_of),
        zone: zone.clone(),
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
    let n_layers = Count(layers.len() as u64);
    let count = match (layers.len(), tenants.len()) {
        (1, _) => words::one_layer(named(&layers[0].layer)),
        (_, 1) => words::layers(n_layers),
        (_, n_tenants) => words::layers_of_tenants(n_layers, Count(n_tenants as u64)),
    };
    let release = release_of(origin);
    let title = match event {
        NotifyEvent::Rollback => words::rollback_of(release, count),
        NotifyEvent::Promotion => words::promotion_of(release, count),
        _ => words::invalid_data(release, count),
    };
    Notification {
        n_layers: layers.len(),
        n_tenants: tenants.len(),
        layers: layers
            .iter()
            .take(MAX_LAYERS)
            .map(|layer| LayerNews::new(layer))
            .collect(),
        ..new(event, origin, id)
    }
    .with_text(origin, title)
}

/// Builds the notification of a guard that stopped the night. `guard` is its key in the scenario,
/// such as `max_moved`; `reason` names the value and the limit.
pub fn of_guard(origin: &Origin, guard: &str, reason: &Text) -> Notification {
    let title = words::guard_stopped(named(guard), release_of(origin));
    of_stop(NotifyEvent::Guard, origin, guard, reason, title)
}

/// Builds the notification of a night that failed. `stage` is the stage that failed, such as
/// `publish`; `reason` is the error's text.
pub fn of_failure(origin: &Origin, stage: &str, reason: &Text) -> Notification {
    let title = words::failure_of(release_of(origin), named(stage));
    of_stop(NotifyEvent::Failure, origin, stage, reason, title)
}

fn of_stop(event: NotifyEvent, origin: &Origin, check: &str, reason: &Text, title: Text) -> Notification {
    let mut id = id_of(event, origin);
    for part in [check, &reason.en] {
        id.push(part.as_bytes());
    }
    Notification {
        check: Some(named(check)),
        reason: Some(sentence(&reason.en)),
        reason_zh: (!reason.zh.is_empty()).then(|| sentence(&reason.zh)),
        ..new(event, origin, id)
    }
    .with_text(origin, title)
}

/// Builds a test: a notification of this kind that says that it reports no event. `now` makes its
/// id another one each time, microseconds, UTC.
pub fn of_test(event: NotifyEvent, origin: &Origin, now: Micros) -> Notification {
    let mut id = id_of(event, origin);
    id.push(&now.to_le_bytes());
    let (title, reason) = (words::test_of(event.name()), words::test_reason());
    Notification {
        is_test: true,
        reason: Some(reason.en),
        reason_zh: Some(reason.zh),
        ..new(event, origin, id)
    }
    .with_text(origin, title)
}

fn release_of(origin: &Origin) -> Text {
    match (&origin.candidate, &origin.plan_id) {
        (Some(candidate), _) => named(candidate).into(),
        (None, Some(plan)) => words::plan_named(named(plan)),
        (None, None) => words::unread_plan(),
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

fn new(event: NotifyEvent, origin: &Origin, id: PartsDigest) -> Notification {
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
        reason_zh: None,
        report: origin.report.as_deref().map(sentence),
        title: String::new(),
        text: String::new(),
        chinese: <[String; 2]>::default(),
    }
}

impl Notification {
    /// Writes title and text from the other keys.
    fn with_text(mut self, origin: &Origin, title: Text) -> Self {
        let mut lines = vec![title.clone()];
        if let (Some(plan), Some(as_of)) = (&self.plan_id, origin.as_of) {
            lines.push(words::plan_as_of(plan, When(as_of, &origin.zone)));
        }
        lines.extend(self.layers.iter().map(LayerNews::line));
        if self.n_layers > self.layers.len() {
            let n_more = self.n_layers - self.layers.len();
            lines.push(words::more_layers(Count(n_more as u64)));
        }
        lines.extend(self.reason.as_ref().map(|reason| Text {
            en: reason.clone(),
            zh: self.reason_zh.clone().unwrap_or_default(),
        }));
        lines.extend(self.report.as_ref().map(words::report_at));
        let text = Text::new(|lang| {
            let lines: Vec<&str> = lines.iter().map(|line| line.of(lang)).collect();
            lines.join("\n")
        });
        self.chinese = [title.of(Lang::Zh).to_owned(), text.zh];
        (self.title, self.text) = (title.en, text.en);
        self
    }

    /// The notification with title and text in a language.
    #[must_use]
    pub(super) fn in_language(&self, lang: Lang) -> Self {
        let mut notification = self.clone();
        if lang == Lang::Zh {
            [notification.title, notification.text] = self.chinese.clone();
        }
        notification
    }

    /// The text without its first line, which is the title.
    pub(super) fn body(&self) -> &str {
        self.text.split_once('\n').map_or("", |(_, body)| body)
    }
}
