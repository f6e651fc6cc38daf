//! Prometheus: metrics for the textfile collector of node_exporter.

use std::path::Path;

use crate::analysis::{Analysis, LayerAnalysis};
use crate::base::error::{Error, Result};
use crate::base::gauge::Gauge;
use crate::base::time::{Micros, SECOND};
use crate::publish::address::Address;
use crate::publish::exporters::format::{ExportFormat, analysis};
use crate::publish::publication::{Publication, RatioRow};
use crate::publish::target::Desired;
use crate::ramp::{RampStatus, Verdict};

/// The format `prometheus:FILE.prom`, without settings. It includes users and QoS if the folder
/// contains the analysis.
///
/// The file has no timestamps, because the collector refuses them.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "prometheus",
    settings: &[],
    write,
    warnings: |_, _| Vec::new(),
};

/// The names of the gauges that the Grafana dashboard uses.
pub(super) const RATIO: &str = "sluice_layer_ratio";
pub(super) const VERDICT: &str = "sluice_layer_verdict";
pub(super) const NOT_BEFORE: &str = "sluice_layer_not_before_timestamp_seconds";
pub(super) const USERS: &str = "sluice_layer_users";
pub(super) const QOS: &str = "sluice_layer_qos";
pub(super) const QOS_THRESHOLD: &str = "sluice_layer_qos_threshold";
pub(super) const QOS_FLOOR: &str = "sluice_layer_qos_floor";
pub(super) const INFO: &str = "sluice_publication_info";
pub(super) const AS_OF: &str = "sluice_publication_timestamp_seconds";

const VERDICTS: [Verdict; 5] = [
    Verdict::Promote,
    Verdict::Hold,
    Verdict::Rollback,
    Verdict::Inconclusive,
    Verdict::Invalid,
];
const STATUSES: [RampStatus; 4] = [
    RampStatus::Running,
    RampStatus::Completed,
    RampStatus::RolledBack,
    RampStatus::Retired,
];

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    if Path::new(&address.rest)
        .extension()
        .is_none_or(|extension| extension != "prom")
    {
        return Err(Error::usage(format!(
            "{address}: expected a file named *.prom, all that the textfile collector reads"
        )));
    }
    let publication = desired.publication;
    let mut text = String::new();
    write_publication(publication, &mut text);
    write_layers(publication, &mut text);
    // A rollback must not fail because the analysis is unreadable or belongs to another plan.
    let found = if desired.options.rollback {
        analysis(desired).unwrap_or_default()
    } else {
        analysis(desired)?
    };
    if let Some(analysis) = found {
        write_analysis(publication, &analysis, &mut text);
    }
    Ok(text)
}

fn write_publication(publication: &Publication, text: &mut String) {
    let plan = [("plan", publication.plan_id.as_str())];
    let mut info = Gauge::begin(text, INFO, "What is published; always 1.");
    let all = [
        ("baseline", publication.baseline.as_str()),
        ("candidate", &publication.candidate),
        ("profile", &publication.profile),
        ("version", &publication.version),
    ];
    info.sample(&[plan.as_slice(), &all].concat(), 1.0);
    let mut as_of = Gauge::begin(text, AS_OF, "When it was decided.");
    as_of.sample(&plan, secs(publication.as_of));
    let mut status = Gauge::begin(
        text,
        "sluice_ramp_status",
        "1 for the status of the ramp, 0 for the other statuses.",
    );
    for each in STATUSES {
        status.sample(
            &[plan[0], ("status", each.name())],
            f64::from(u8::from(each == publication.status)),
        );
    }
    let mut by_hand = Gauge::begin(
        text,
        "sluice_rolled_back_by_hand",
        "1 if the candidate was rolled back by hand.",
    );
    by_hand.sample(&plan, f64::from(u8::from(publication.rolled_back_at.is_some())));
}

fn write_layers(publication: &Publication, text: &mut String) {
    let mut each = |name: &str, help: &str, value: fn(&RatioRow) -> f64| {
        let mut metric = Gauge::begin(text, name, help);
        for row in &publication.ratios {
            metric.sample(&labels(publication, &row.tenant, &row.layer), value(row));
        }
    };
    each(
        RATIO,
        "Share of the layer's eligible users who get the candidate.",
        |row| row.ratio.share(),
    );
    each("sluice_layer_step", "Steps of the ladder taken so far.", |row| {
        row.step as f64
    });
    each("sluice_layer_ladder_steps", "Steps of the ladder.", |row| {
        row.ramp.ladder.len() as f64
    });
    each(NOT_BEFORE, "Earliest time at which the ratio may rise.", |row| {
        secs(row.not_before)
    });
    each(QOS_THRESHOLD, "QoS from which the layer may go up.", |row| {
        row.ramp.qos_threshold
    });
    each(QOS_FLOOR, "QoS below which the layer rolls back.", |row| {
        row.ramp.qos_floor
    });
    each(
        "sluice_layer_dwell_seconds",
        "How long a ratio must have held.",
        |row| row.ramp.dwell_hours * 3_600.0,
    );
    each(
        "sluice_layer_min_users",
        "Exposed users below which nothing is promoted.",
        |row| row.ramp.min_users as f64,
    );
    let mut metric = Gauge::begin(text, VERDICT, "1 for what was decided, 0 for the other verdicts.");
    for row in &publication.ratios {
        for verdict in VERDICTS {
            let mut all = labels(publication, &row.tenant, &row.layer).to_vec();
            all.push(("verdict", verdict.name()));
            metric.sample(&all, f64::from(u8::from(verdict == row.verdict)));
        }
    }
    let mut metric = Gauge::begin(
        text,
        "sluice_layer_info",
        "The layer's name for people; always 1.",
    );
    for row in &publication.ratios {
        let mut all = labels(publication, &row.tenant, &row.layer).to_vec();
        all.push(("name", &row.name));
        metric.sample(&all, 1.0);
    }
}

fn write_analysis(publication: &Publication, analysis: &Analysis, text: &mut String) {
    let mut users = Gauge::begin(
        text,
        USERS,
        "Users of the layer: all, those who consented, those ever answered by the candidate.",
    );
    for layer in &analysis.layers {
        for (state, n) in [
            ("all", layer.n_users),
            ("eligible", layer.n_eligible),
            ("exposed", layer.n_exposed),
        ] {
            let mut all = labels(publication, &layer.tenant, &layer.layer).to_vec();
            all.push(("state", state));
            users.sample(&all, n as f64);
        }
    }
    let known: Vec<(&LayerAnalysis, &str, f64)> = analysis
        .layers
        .iter()
        .filter_map(|layer| Some((layer, &layer.current()?.qos)))
        .flat_map(|(layer, qos)| {
            let arms = [
                (&analysis.baseline, &qos.baseline),
                (&analysis.candidate, &qos.candidate),
            ];
            arms.into_iter()
                .filter_map(move |(release, arm)| Some((layer, release.as_str(), arm.value()?.point)))
        })
        .collect();
    // A metric without samples gets no header.
    if known.is_empty() {
        return;
    }
    let mut qos = Gauge::begin(text, QOS, "Quality of service in the current stage, by release.");
    for (layer, release, point) in known {
        let mut all = labels(publication, &layer.tenant, &layer.layer).to_vec();
        all.push(("release", release));
        qos.sample(&all, point);
    }
}

fn labels<'a>(publication: &'a Publication, tenant: &'a str, layer: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("plan", &publication.plan_id),
        ("tenant", tenant),
        ("layer", layer),
    ]
}

fn secs(instant: Micros) -> f64 {
    instant as f64 / SECOND as f64
}
