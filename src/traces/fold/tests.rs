use super::*;
use crate::scenario::TraceSource;

/// A span from `id parent role key=value...`: `-` for no parent, times in seconds.
fn span(text: &str) -> Span<'_> {
    let mut words = text.split_whitespace();
    let (id, parent, role) = (
        words.next().unwrap(),
        words.next().unwrap(),
        words.next().unwrap(),
    );
    let role = ROLES.iter().find(|(_, name)| *name == role).unwrap().0;
    let mut span = Span {
        group: "t".into(),
        trace: "t".into(),
        id: id.into(),
        parent: parent.trim_matches('-').into(),
        role,
        start: Some(1_000_000_000),
        end: Some(3_000_000_000),
        ..Span::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        let number = value.parse::<f64>().ok();
        let whole = number.map(|number| number as i64);
        match key {
            "in" => span.usage.input = whole,
            "out" => span.usage.output = whole,
            "read" => span.usage.cache_read = whole,
            "write" => span.usage.cache_write = whole,
            "usd" => span.cost = number.and_then(crate::traces::sink::pico_usd),
            "start" => span.start = number.map(|seconds| (seconds * 1e9) as i64),
            "end" => span.end = number.map(|seconds| (seconds * 1e9) as i64),
            "error" => span.flags.set(Flags::ERROR, true),
            "service" => span.put(Field::Service, 1, value),
            "user" => span.put(Field::User, 1, value),
            _ => panic!("{key}"),
        }
    }
    span.version = span.end.unwrap_or(0);
    span
}

fn fold(spans: &[&str]) -> (Vec<Turn>, Coverage) {
    let settings = Settings::new(&BTreeMap::new(), &TraceSource::default()).unwrap();
    let wanted = Wanted::default();
    let ctx = FoldContext {
        settings: &settings,
        wanted: &wanted,
    };
    let mut results = Vec::new();
    // The order of records changes nothing.
    for is_reversed in [false, true] {
        let mut records: Vec<Record<'_>> = spans
            .iter()
            .map(|text| Record::Span(Box::new(span(text))))
            .collect();
        if is_reversed {
            records.reverse();
        }
        let mut coverage = Coverage::default();
        let turns = fold_group(records, &ctx, &mut coverage);
        results.push((turns, coverage));
    }
    assert_eq!(results[0], results[1], "{spans:?}");
    results.remove(0)
}

#[test]
fn tokens_and_cost_count_once() {
    let check = |what: &str, spans: &[&str], expected: (Option<i64>, Option<i64>, Option<i64>)| {
        let (turns, _) = fold(spans);
        assert_eq!(turns.len(), 1, "{what}");
        let turn = &turns[0];
        assert_eq!((turn.tokens_in, turn.tokens_out, turn.cost), expected, "{what}");
    };
    let tokens = |input, output| (Some(input), Some(output), None);
    check(
        "one request",
        &["a - agent", "b a inference in=10 out=2"],
        tokens(10, 2),
    );
    check(
        "an agent that repeats its requests",
        &[
            "a - agent in=30 out=5",
            "b a inference in=10 out=2",
            "c a inference in=20 out=3",
        ],
        tokens(30, 5),
    );
    check(
        "an agent without requests below",
        &["a - agent in=30 out=5", "b a tool"],
        tokens(30, 5),
    );
    check(
        "nested agents, the inner one with tokens of its own",
        &["a - agent in=50 out=5", "b a agent in=50 out=5"],
        tokens(50, 5),
    );
    check(
        "two agents, one with requests and one without",
        &[
            "r - agent",
            "a r agent in=30 out=3",
            "b a inference in=30 out=3",
            "c r agent in=7 out=1",
        ],
        tokens(37, 4),
    );
    check(
        "a gateway around a client",
        &[
            "a - agent",
            "b a inference in=10 out=2",
            "c b inference in=10 out=2",
        ],
        tokens(10, 2),
    );
    check(
        "a gateway whose client has no tokens",
        &[
            "a - agent",
            "b a inference in=10 out=2",
            "c b inference in=0 out=0",
        ],
        tokens(10, 2),
    );
    check(
        "a span that was sent twice",
        &[
            "a - agent",
            "b a inference in=10 out=2 end=2",
            "b a inference in=11 out=3 end=4",
        ],
        tokens(11, 3),
    );
    check(
        "cached tokens inside",
        &["b - inference in=100 out=1 read=80"],
        tokens(100, 1),
    );
    check(
        "cached tokens beside",
        &["b - inference in=20 out=1 read=80 write=5"],
        tokens(105, 1),
    );
    check(
        "cached tokens beside, more written than read",
        &["b - inference in=20 out=1 read=5 write=80"],
        tokens(105, 1),
    );
    check(
        "judges are no part of the turn",
        &[
            "a - agent",
            "b a inference in=10 out=2",
            "j a evaluator",
            "k j inference in=500 out=50",
        ],
        tokens(10, 2),
    );
    check(
        "embeddings have a cost and no tokens",
        &[
            "a - agent",
            "b a inference in=10 out=2 usd=0.001",
            "e a embedding in=500 usd=0.0001",
        ],
        (Some(10), Some(2), Some(1_100_000)),
    );
    check(
        "rows of cost win over other rows of their service",
        &[
            "a - agent service=x",
            "b a inference in=10 out=2 service=x",
            "c a inference in=10 out=2 usd=0.001 service=x",
            "d a inference in=5 out=1 service=y",
        ],
        (Some(15), Some(3), None),
    );
    check(
        "an unknown cost of one span makes the sum unknown",
        &[
            "a - agent usd=0.5",
            "b a inference in=10 out=2 usd=0.001",
            "c a inference in=10 out=2",
        ],
        tokens(20, 4),
    );
    check(
        "a sum is rounded once",
        &[
            "a - agent",
            "b a inference in=1 out=1 usd=0.0000000004",
            "c a inference in=1 out=1 usd=0.0000000004",
        ],
        (Some(2), Some(2), Some(1)),
    );
    check(
        "a failed request of 0 tokens",
        &["b - inference in=0 out=0 usd=0"],
        (Some(0), Some(0), Some(0)),
    );
    check("no request", &["a - agent", "b a tool"], (None, None, None));
}

#[test]
fn turns_are_roots_and_tools_are_calls() {
    // Each turn: calls, successes, success, latency in ms.
    type Expected = (i64, i64, bool, Option<i64>);
    let check = |what: &str, spans: &[&str], expected: &[Expected]| {
        let (turns, _) = fold(spans);
        let found: Vec<Expected> = turns
            .iter()
            .map(|turn| {
                let latency = turn.latency.map(|nanos| nanos / 1_000_000);
                (
                    turn.tool_calls,
                    turn.tool_successes,
                    turn.success == Some(true),
                    latency,
                )
            })
            .collect();
        assert_eq!(found, expected, "{what}");
    };
    let ms = Some(2_000);
    check("a request of other software", &["a - other", "b a other"], &[]);
    check(
        "a request of other software around an agent",
        &["a - other", "b a agent"],
        &[(0, 0, true, ms)],
    );
    check(
        "a child that failed and was made good",
        &["a - agent", "b a inference error=1"],
        &[(0, 0, true, ms)],
    );
    check(
        "a root that failed",
        &["a - agent error=1", "b a inference"],
        &[(0, 0, false, ms)],
    );
    check(
        "a duration below 0",
        &["a - agent start=5 end=4"],
        &[(0, 0, true, None)],
    );
    check(
        "two roots",
        &["a - agent", "b - agent end=2", "c b tool"],
        &[(0, 0, true, ms), (1, 1, true, Some(1_000))],
    );
    check(
        "a root that is not there",
        &["b gone agent", "c b tool"],
        &[(1, 1, true, ms)],
    );
    check(
        "failed calls",
        &["a - agent", "b a tool error=1", "c a tool"],
        &[(2, 1, true, ms)],
    );
    check(
        "a client within a call",
        &["a - agent", "b a tool", "c b tool"],
        &[(1, 1, true, ms)],
    );
    check(
        "an agent within a call",
        &["a - agent", "b a tool", "c b agent", "d c tool"],
        &[(2, 2, true, ms)],
    );
    check(
        "a call that asks a model and calls",
        &["a - agent", "b a tool", "c b inference", "d b tool"],
        &[(2, 2, true, ms)],
    );
}

#[test]
fn a_trace_of_many_roots_and_a_deep_one_take_linear_time() {
    let n = 50_000;
    let roots: Vec<String> = (0..n).map(|idx| format!("s{idx} - agent")).collect();
    let texts: Vec<&str> = roots.iter().map(String::as_str).collect();
    assert_eq!(fold(&texts).0.len(), n);
    let deep: Vec<String> = (0..n).map(|idx| format!("s{idx} s{} tool", idx + 1)).collect();
    let texts: Vec<&str> = deep.iter().map(String::as_str).collect();
    let (turns, coverage) = fold(&texts);
    assert_eq!((turns.len(), turns[0].tool_calls), (1, 1));
    assert_eq!(coverage.n_traces_without_root, 1);
}
