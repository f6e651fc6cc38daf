//! `sluice notify`: tries the sinks of notifications.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use serde_json::json;
use std::path::PathBuf;

use crate::base::apart::Apart;
use crate::base::error::{Error, Result, exit_code};
use crate::base::json::to_json;
use crate::cli::notified;
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::notify::{Origin, SendLimits, of_test, parse_sinks, send};
use crate::scenario::{NotifyEvent, Overrides, Scenario};

/// Send a test notification to chats, mail, webhooks and files
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/notify.txt"))]
pub(super) struct NotifyArgs {
    /// Sink; may be given several times
    #[arg(long, value_name = "SINK", required_unless_present = "scenario")]
    to: Vec<String>,
    /// Event of the test: only sinks of the scenario that take it get the test
    #[arg(long, value_name = "EVENT", value_parser = event_parser(), default_value = "rollback")]
    event: NotifyEvent,
    /// Scenario, for the plan's id, the candidate and the sinks of [[notify]]
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Print the outcomes as JSON
    #[arg(long)]
    json: bool,
}

fn event_parser() -> impl TypedValueParser<Value = NotifyEvent> {
    let names = NotifyEvent::ALL.map(|(name, _)| name);
    PossibleValuesParser::new(names).map(|text| {
        let is_named = |(name, _): &&(&str, NotifyEvent)| *name == text;
        let named = NotifyEvent::ALL.iter().find(is_named);
        // The parser lets only these names through.
        named.map_or(NotifyEvent::Failure, |(_, event)| *event)
    })
}

pub(super) fn run(args: &NotifyArgs, terminal: &Terminal) -> Result<u8> {
    let mut sinks = parse_sinks("--to", &args.to, terminal.lang)?;
    let mut origin = Origin::default();
    if let Some(path) = &args.scenario {
        let scenario = Scenario::load(path, &Overrides::default())?;
        origin.plan_id = Some(scenario.plan.id);
        origin.candidate = Some(scenario.plan.candidate);
        origin.as_of = Some(scenario.as_of);
        origin.zone = scenario.time_zone;
        sinks.extend(scenario.notify);
    }
    Apart::new()
        .reads(&args.scenario)
        .writes(sinks.iter().filter_map(|sink| sink.to.file()))
        .check()?;
    sinks.retain(|sink| sink.on.contains(&args.event));
    if sinks.is_empty() {
        return Err(Error::usage(format!(
            "expected a sink that takes the event {}, found none in --to and in the scenario's [[notify]]",
            args.event.name()
        ))
        .hint("name one: --to 'slack:$SLACK_WEBHOOK', --to mailto:USER@HOST or --to file:PATH"));
    }
    let test = of_test(args.event, &origin, Timestamp::now().as_microsecond());
    let outcomes = send(&[test], &sinks, &|_, _| false, &SendLimits::default());
    if args.json {
        print_json(&to_json(&json!(outcomes)))?;
    } else {
        let lines: String = outcomes
            .iter()
            .map(|one| terminal.text(&notified::line(one)) + "\n")
            .collect();
        terminal.print(&lines)?;
    }
    if outcomes.iter().all(|one| one.is_sent) {
        Ok(DONE)
    } else {
        Ok(exit_code::TARGET)
    }
}
