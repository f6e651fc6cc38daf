//! Tests with targets that fail in every way, without servers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::base::error::Error;
use crate::base::error::Result;
use crate::publish::publication::Publication;
use crate::publish::target::{Applied, Desired, Inspection, PlannedChange};

/// What a target does when it is inspected and when it is written.
#[derive(Clone, Copy, PartialEq)]
enum Behavior {
    Takes,
    Refuses,
    Panics,
    Hangs,
}

use Behavior::{Hangs, Panics, Refuses, Takes};

struct Fake {
    name: &'static str,
    inspect: Behavior,
    apply: Behavior,
    is_written: Arc<AtomicBool>,
}

impl Behavior {
    fn act(self) -> Result<()> {
        match self {
            Takes => Ok(()),
            Refuses => Err(Error::target("fake", "expected content of Sluice, found another")),
            Panics => panic!("a value of another type"),
            Hangs => loop {
                thread::park();
            },
        }
    }
}

impl Target for Fake {
    fn address(&self) -> String {
        self.name.to_owned()
    }

    fn server(&self) -> String {
        self.name.split('/').next().unwrap_or_default().to_owned()
    }

    fn held(&mut self, _: &str) -> Result<Option<Publication>> {
        self.inspect.act().map(|()| None)
    }

    fn inspect(&mut self, _: &Desired<'_>, _: bool, _: &Progress) -> Result<Inspection> {
        self.inspect.act()?;
        Ok(Inspection {
            changes: vec![PlannedChange::new("key", None, None)],
            ..Inspection::default()
        })
    }

    fn apply(&mut self, _: &Desired<'_>, _: Option<&Publication>, _: &Progress) -> Result<Applied> {
        self.apply.act()?;
        self.is_written.store(true, Ordering::SeqCst);
        Ok(Applied::default())
    }
}

fn source() -> PublicationSource {
    let publication = serde_json::json!({
        "schema": "sluice.publication/1", "version": "", "plan_id": "p", "plan_name": "p", "baseline": "a",
        "candidate": "b", "as_of": 0, "status": "running", "rolled_back_at": null, "profile": "sluice", "salt": "s",
        "flag": null, "evidence_digest": "", "layers_digest": null, "ratios": []
    });
    PublicationSource {
        dir: Some(".".into()),
        changes: None,
        publication: Publication::from_json(&publication.to_string(), "test").unwrap(),
        gate: None,
        layers: None,
        manifest: None,
        consent: None,
    }
}

fn fakes(
    targets: &[(&'static str, Behavior, Behavior)],
    written: &[Arc<AtomicBool>],
) -> Vec<Box<dyn Target>> {
    let fake = |((name, inspect, apply), is_written): (&(&'static str, Behavior, Behavior), _)| {
        Box::new(Fake {
            name,
            inspect: *inspect,
            apply: *apply,
            is_written: Arc::clone(is_written),
        }) as Box<dyn Target>
    };
    targets.iter().zip(written).map(fake).collect()
}

/// Publishes to targets with these names and behaviors. Returns the outcomes, the names in the order
/// in which they were finished, and the targets that were written.
fn run(
    rollback: bool,
    targets: &[(&'static str, Behavior, Behavior)],
) -> (PublishReport, Vec<String>, Vec<&'static str>) {
    let written: Vec<Arc<AtomicBool>> = targets.iter().map(|_| Arc::default()).collect();
    let fakes = fakes(targets, &written);
    let options = Options {
        rollback,
        target_timeout: Some(Duration::from_millis(1_500)),
        ..Options::at(1)
    };
    let mut finished = Vec::new();
    let report = publish(&source(), fakes, &options, &Progress::silent(), &mut |report| {
        finished.push(report.target.clone());
    });
    let names = targets
        .iter()
        .zip(&written)
        .filter(|(_, is_written)| is_written.load(Ordering::SeqCst));
    let names = names.map(|((name, _, _), _)| *name).collect();
    for target in &report.targets {
        assert_eq!(
            target.applied_at.is_some(),
            target.outcome == TargetOutcome::Applied,
            "{target:?}"
        );
    }
    (report, finished, names)
}

#[test]
fn one_target_delays_no_other() {
    for rollback in [false, true] {
        let (report, finished, written) = run(
            rollback,
            &[
                ("hangs", Hangs, Takes),
                ("hangs late", Takes, Hangs),
                ("panics", Panics, Takes),
                ("panics late", Takes, Panics),
                ("refuses late", Takes, Refuses),
                ("takes", Takes, Takes),
            ],
        );
        assert_eq!(written, ["takes"]);
        let names: Vec<&str> = report
            .targets
            .iter()
            .map(|target| target.target.as_str())
            .collect();
        assert_eq!(
            names[..2],
            ["hangs", "hangs late"],
            "reports are in the order of the command line"
        );
        let n_open = if rollback { 5 } else { 0 };
        assert_eq!(report.still_open.len(), n_open);
        for (target, text) in
            report
                .targets
                .iter()
                .zip(["1.5 s", "1.5 s", "another type", "another type", "content"])
        {
            assert!(
                target.error.as_ref().is_some_and(|error| error.contains(text)),
                "{target:?}"
            );
        }
        // Those that hang are finished last.
        let mut last = finished[4..].to_vec();
        last.sort();
        assert_eq!(last, ["hangs", "hangs late"]);
    }
}

#[test]
fn a_rollback_writes_to_what_it_cannot_inspect() {
    let targets = [("unreadable", Refuses, Takes), ("readable", Takes, Takes)];
    let (report, _, written) = run(true, &targets);
    assert_eq!(written, ["unreadable", "readable"]);
    assert!(report.still_open.is_empty() && report.targets[0].warnings[0].contains("could not be inspected"));
    let (report, _, written) = run(false, &targets);
    assert_eq!(written, ["readable"]);
    assert!(report.has_failed() && report.still_open.is_empty());
}

#[test]
fn targets_of_a_server_follow_each_other_even_after_one_that_hangs() {
    let targets = [
        ("s/1", Takes, Takes),
        ("s/2", Hangs, Takes),
        ("s/3", Takes, Takes),
    ];
    let (_, finished, written) = run(false, &targets);
    assert_eq!(
        (finished, written),
        (vec!["s/1".into(), "s/2".into(), "s/3".into()], vec!["s/1", "s/3"])
    );
    let (_, finished, _) = run(true, &targets);
    assert_eq!(finished, ["s/3", "s/2", "s/1"]);
}

#[test]
fn every_target_is_read_back_within_its_limit() {
    let targets = [
        ("s/1", Hangs, Takes),
        ("panics", Panics, Takes),
        ("refuses", Refuses, Takes),
        ("s/2", Takes, Takes),
    ];
    let options = Options {
        target_timeout: Some(Duration::from_millis(300)),
        ..Options::at(1)
    };
    let states = read_back("p", fakes(&targets, &targets.map(|_| Arc::default())), &options);
    let expected = [
        Some("0.3 s"),
        Some("another type"),
        Some("content of Sluice"),
        None,
    ];
    for ((state, (name, ..)), expected) in states.iter().zip(targets).zip(expected) {
        assert_eq!(state.target, name);
        match (&state.held, expected) {
            (Ok(None), None) => {}
            (Err(error), Some(text)) => assert!(error.contains(text), "{error}"),
            _ => panic!("{state:?}"),
        }
    }
}
