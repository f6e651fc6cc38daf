//! `sluice analyze`: cube to analysis.

use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

use crate::analysis::{Analysis, AnalysisOptions, CounterProfile, LayerAnalysis, RatioValue};
use crate::base::error::{Error, Result};
use crate::base::number::{number, p_value, percent};
use crate::base::time::{Micros, WrittenInstant};
use crate::base::{files, json};
use crate::bucket::Ratio;
use crate::cli::slices_text::slices_text;
use crate::cli::summary::coverage_warning;
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::text::path_text;
use crate::cli::values::{check_json, parse_written};
use crate::metric::Metric;
use crate::qos::QosArm;
use crate::replay::Cube;
use crate::scenario::{Overrides, Plan, Scenario};
use crate::stats::effect::{Effect, IntervalSpec, MetricForm, own_interval};
use crate::stats::quantile::QuantileEstimate;
use crate::stats::ratio::RatioEstimate;
use crate::stats::{Interval, Known, Reason};
use crate::study;
use crate::study::inputs;
use crate::words::terminal as words;
use crate::words::{Count, Lang, Number, P, Percent, Say, Text};

/// Estimate QoS, sample ratios and effects from a cube
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/analyze.txt"))]
pub(super) struct AnalyzeArgs {
    /// Cube folder, from `sluice replay`
    #[arg(long, value_name = "DIR", required_unless_present = "prometheus")]
    cube: Option<PathBuf>,
    /// Server with counters, such as http://localhost:9090, in place of a cube
    #[arg(long, value_name = "URL", conflicts_with_all = ["cube", "value_at", "breakdowns"])]
    prometheus: Option<String>,
    /// Names of the counters: of the reference policy, or of OpenTelemetry for generative AI
    #[arg(
        long,
        value_enum,
        value_name = "NAMES",
        default_value_t,
        requires = "prometheus"
    )]
    profile: ProfileArg,
    /// Label of the counters that holds the release; `version` by default. With otel-genai the first
    /// of release_id, feature_flag_result_variant, service_version and gen_ai_agent_version that does
    #[arg(long, value_name = "LABEL", value_parser = parse_label, requires = "prometheus")]
    release_label: Option<String>,
    /// Length of the windows of the counters, which are the clusters of their intervals
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = crate::base::duration::parse_duration, requires = "prometheus")]
    window: Micros,
    /// The scenario, with the plan
    #[arg(long, alias = "plan", value_name = "SCENARIO")]
    scenario: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The instant the cube was made for, if it was not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    /// State of the ramp, from `sluice schedule` or `sluice night`: its log of changes counts beside
    /// the scenario's operations
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Estimate a layer's value at another ratio, off-policy, from the stages with both releases;
    /// repeatable
    #[arg(long, value_name = "LAYER=RATIO", value_parser = parse_layer_ratio)]
    value_at: Vec<(String, Ratio)>,
    /// Show the breakdowns of analysis.breakdowns too
    #[arg(long)]
    breakdowns: bool,
    /// Show every stage, not only the current one
    #[arg(long)]
    all_stages: bool,
    /// Print the analysis as JSON
    #[arg(long)]
    json: bool,
}

/// The values of `--profile`. Their help is that of the option.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ProfileArg {
    #[default]
    Reference,
    OtelGenai,
}

impl From<ProfileArg> for CounterProfile {
    fn from(arg: ProfileArg) -> Self {
        match arg {
            ProfileArg::Reference => Self::Reference,
            ProfileArg::OtelGenai => Self::OtelGenai,
        }
    }
}

/// A name of a label that PromQL takes without quotes.
fn parse_label(text: &str) -> Result<String, String> {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_label = text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || c.is_ascii_digit());
    if is_label {
        Ok(text.to_owned())
    } else {
        Err("expected a label such as service_version: letters, digits and _".to_owned())
    }
}

pub(super) fn run(args: &AnalyzeArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("analyze");
    check_json("--out", &args.out)?;
    let mut scenario = Scenario::load(
        &args.scenario,
        &Overrides {
            as_of: args.as_of,
            ..Overrides::default()
        },
    )?;
    study::carry_state(&mut scenario, args.state.as_deref())?;
    let out = files::followed(&args.out)?;
    inputs::of_scenario(&args.scenario, &scenario)
        .reads(&args.cube)
        .reads(&args.state)
        .writes([&out])
        .check()?;
    let analysis = match (&args.cube, &args.prometheus) {
        (Some(cube), _) => study::analyze(
            &scenario,
            &Cube::read(cube)?,
            &AnalysisOptions {
                ratios: args.value_at.clone(),
            },
            &out,
        )?,
        (None, Some(address)) => from_prometheus(&scenario, address, args, &out, terminal)?,
        (None, None) => return Err(Error::usage("expected --cube or --prometheus, found neither")),
    };
    if let Some(warning) = coverage_warning(&analysis) {
        terminal.warn(warning.of(terminal.lang));
    }
    if args.json {
        print_json(&json::to_json(&analysis))?;
        return Ok(DONE);
    }
    let mut text = text(&analysis, &scenario.plan, args, terminal);
    if !analysis.values.is_empty() {
        text.push_str(&values_text(&analysis.values, &scenario, terminal));
    }
    text.push_str(&format!(
        "{}\n  {}\n",
        words::written().of(terminal.lang),
        path_text(&args.out)
    ));
    terminal.print(&text)?;
    Ok(DONE)
}

#[cfg(feature = "stores")]
fn from_prometheus(
    scenario: &Scenario,
    address: &str,
    args: &AnalyzeArgs,
    out: &Path,
    terminal: &Terminal,
) -> Result<Analysis> {
    if scenario.plan.policy.sequential == crate::scenario::Sequential::GroupSequential {
        return Err(Error::usage(
            "expected policy.sequential \"anytime\" or \"fixed\" with --prometheus, found \"group_sequential\": counters \
             have no looks of users",
        )
        .hint("analyze the cube of a log, or choose another policy"));
    }
    let windows = crate::input::Prometheus::new(address)?.windows(&crate::analysis::CounterRequest {
        scenario,
        window: args.window,
        profile: args.profile.into(),
        release_label: args.release_label.as_deref(),
    })?;
    if let Some(note) = &windows.note {
        terminal.note("counters", note);
    }
    windows.warnings.iter().for_each(|warning| terminal.warn(warning));
    let analysis = crate::analysis::analyze_counters(&windows, scenario);
    json::write_json(out, &analysis)?;
    Ok(analysis)
}

#[cfg(not(feature = "stores"))]
fn from_prometheus(_: &Scenario, _: &str, _: &AnalyzeArgs, _: &Path, _: &Terminal) -> Result<Analysis> {
    Err(Error::usage(
        "expected a program with clients of stores, found one without: Prometheus cannot be asked",
    )
    .hint("build it with `--features stores`"))
}

fn parse_layer_ratio(text: &str) -> std::result::Result<(String, Ratio), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(layer, share)| Some((layer.trim().to_owned(), share.trim().parse::<f64>().ok()?)));
    let (layer, share) =
        parsed.ok_or_else(|| format!("expected LAYER=RATIO such as early=0.5, found {text}"))?;
    Ok((layer, Ratio::try_from_share(share)?))
}

/// Layers at other ratios: QoS and the guardrails' metrics.
fn values_text(values: &[RatioValue], scenario: &Scenario, terminal: &Terminal) -> String {
    let (plan, lang) = (&scenario.plan, terminal.lang);
    let of = |title: Text| column(title.of(lang));
    let mut table = Table::new([
        of(words::column_tenant()).rank(1),
        of(words::column_layer()),
        of(words::column_at_ratio()).right(),
        of(words::column_metric()),
        of(words::column_off_policy()).right(),
        of(words::column_interval()),
    ]);
    for value in values {
        let place = [value.tenant.clone(), value.layer.clone(), value.ratio.to_string()];
        let mut add = |name: &str, estimate: Result<(f64, Interval), Reason>| {
            let cells = match estimate {
                Ok((estimate, ci)) => [number(estimate), interval_text(&ci, lang)],
                Err(reason) => [reason.say(lang), String::new()],
            };
            table.add_row(place.iter().cloned().chain([name.to_owned()]).chain(cells));
        };
        add("QoS", value.qos.result().map(|q| (q.value.qos, q.ci)));
        let guarded = |id: &str| {
            scenario
                .plan
                .guardrails
                .iter()
                .any(|guardrail| guardrail.metric == id)
        };
        for metric in value.metrics.iter().filter(|metric| guarded(&metric.metric)) {
            let form = scenario
                .metric(&metric.metric)
                .map_or(MetricForm::Proportion, Metric::form);
            // One look: the variance that intervals for every look are tuned for has no part in it.
            let levels = IntervalSpec {
                alpha: scenario.plan.policy.alpha,
                v_star: 1.0,
            };
            let own = |r: RatioEstimate| (r.estimate, own_interval(&r, form, levels, false));
            add(&metric.metric, metric.value.result().map(own));
        }
    }
    let overlap = values.iter().map(|value| {
        let layer = words::of_tenant(&value.tenant, plan.layer_name(&value.layer));
        let place = words::layer_at(layer, value.ratio);
        let what = match value.overlap {
            None => words::no_overlap(place),
            Some(o) => words::overlap(
                place,
                Number(o.ess),
                Number(o.max_weight),
                Number(o.mean_weight_z),
            ),
        };
        format!("{}\n", what.of(lang))
    });
    format!("\n{}\n{}", table.render(terminal), overlap.collect::<String>())
}

/// An interval as a cell shows it.
fn interval_text(ci: &Interval, lang: Lang) -> String {
    let text = words::from_to(number(ci.ci_lower), number(ci.ci_upper));
    text.of(lang).to_owned()
}

/// Every layer's effects: those of the current stage, or of all.
fn text(analysis: &Analysis, plan: &Plan, args: &AnalyzeArgs, terminal: &Terminal) -> String {
    let lang = terminal.lang;
    let of = |title: Text| column(title.of(lang));
    let has_tenants = analysis
        .layers
        .iter()
        .any(|layer| layer.tenant != analysis.layers[0].tenant);
    let tenant = of(words::column_tenant());
    let mut table = Table::new([
        if has_tenants { tenant } else { tenant.wide() },
        of(words::column_layer()),
        of(words::column_ratio()).right().rank(3),
        of(words::column_metric()),
        of(words::column_baseline()).right().rank(1),
        of(words::column_candidate()).right().rank(1),
        of(words::column_effect()).right(),
        of(words::column_one_look()).wide(),
        of(words::column_every_look()),
        of(words::column_p()).right().rank(2),
        of(words::column_p_bh()).right().wide(),
    ]);
    let mut notes = String::new();
    let mut note = |text: Text| notes.push_str(&format!("{}\n", text.of(lang)));
    for layer in &analysis.layers {
        let first = if args.all_stages {
            0
        } else {
            layer.stages.len().saturating_sub(1)
        };
        for stage in &layer.stages[first..] {
            let srm = stage
                .srm
                .map_or_else(|| Text::from("-"), |srm| Text::of_say(&P(srm.p_value)));
            let users = stage.users;
            note(words::stage_users(
                place_of(layer, plan),
                stage.ratio,
                Count(users.baseline),
                Count(users.candidate),
                Count(users.crossover),
                srm,
            ));
            for metric in stage
                .metrics
                .iter()
                .filter(|metric| metric.mature_share.is_some_and(|share| share < 1.0))
            {
                let share = Percent(metric.mature_share.unwrap_or(0.0));
                note(words::rows_mature(plan.term(&metric.metric), share));
            }
            for metric in &stage.metrics {
                let Some(limits) = metric.limits else { continue };
                let limit = |limit: Option<f64>| limit.map_or_else(|| "-".to_owned(), number);
                let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
                note(words::values_limited(
                    plan.term(&metric.metric),
                    limit(limits.floor),
                    limit(limits.cap),
                    share(limits.baseline_share),
                    share(limits.candidate_share),
                ));
            }
            let mut add = |name: &str,
                           control: Option<f64>,
                           treatment: Option<f64>,
                           effect: &Known<Effect>,
                           adjusted: Option<f64>| {
                let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
                let interval = |ci: &Interval| interval_text(ci, lang);
                let cells = match effect {
                    Known::Value(e) => {
                        let adjusted = adjusted.map_or_else(|| "-".to_owned(), p_value);
                        [
                            number(e.effect_size),
                            interval(&e.ci),
                            interval(&e.anytime),
                            p_value(e.p_value),
                            adjusted,
                        ]
                    }
                    Known::Unknown { reason } => [
                        "-".to_owned(),
                        String::new(),
                        reason.say(lang),
                        String::new(),
                        String::new(),
                    ],
                };
                let place = [
                    layer.tenant.clone(),
                    layer.layer.clone(),
                    stage.ratio.to_string(),
                    name.to_owned(),
                    value(control),
                    value(treatment),
                ];
                table.add_row(place.into_iter().chain(cells));
            };
            let qos = &stage.qos;
            add(
                "QoS",
                qos.baseline.value().map(|q| q.value.qos),
                qos.candidate.value().map(|q| q.value.qos),
                &qos.effect,
                None,
            );
            for metric in &stage.metrics {
                add(
                    &metric.metric,
                    metric.baseline.estimate,
                    metric.candidate.estimate,
                    &metric.effect,
                    metric.p_value_adj,
                );
            }
            let quantiles = [
                ("latency_p50_ms", &stage.latency_p50_ms),
                ("latency_p95_ms", &stage.latency_p95_ms),
                ("latency_p99_ms", &stage.latency_p99_ms),
            ];
            for (name, latency) in quantiles {
                let point = |arm: &Known<QuantileEstimate>| arm.value().map(|q| q.estimate);
                add(
                    name,
                    point(&latency.baseline),
                    point(&latency.candidate),
                    &latency.effect,
                    None,
                );
            }
            for part in stage.breakdowns.iter().filter(|_| args.breakdowns) {
                let name = |what: &str| {
                    let value = match part.value.as_str() {
                        "" => words::no_value(),
                        value => value.into(),
                    };
                    words::where_is(what, &part.column, value).of(lang).to_owned()
                };
                let qos = &part.qos;
                let point = |arm: &Known<QosArm>| arm.value().map(|q| q.value.qos);
                add(
                    &name("QoS"),
                    point(&qos.baseline),
                    point(&qos.candidate),
                    &qos.effect,
                    None,
                );
                for metric in &part.metrics {
                    add(
                        &name(&metric.metric),
                        metric.baseline.estimate,
                        metric.candidate.estimate,
                        &metric.effect,
                        metric.p_value_adj,
                    );
                }
            }
        }
    }
    for layer in &analysis.layers {
        let Some(srm) = layer.srm_first else { continue };
        let (layer, p) = (place_of(layer, plan), P(srm.test.p_value));
        let (z, every) = (Number(srm.pooled_z), P(srm.anytime_p_value));
        note(if srm.low_impact {
            words::first_exposure_low(layer, p, z, every)
        } else {
            words::first_exposure(layer, p, z, every)
        });
    }
    format!(
        "{}\n{}{}",
        table.render(terminal),
        terminal.fill(&notes),
        slices_text(analysis, terminal)
    )
}

/// A layer with its tenant.
fn place_of(layer: &LayerAnalysis, plan: &Plan) -> Text {
    words::of_tenant(&layer.tenant, plan.layer_name(&layer.layer))
}
