//! Tests of the reasons why `sluice finops` does not know a cost: one row a reason.

use serde_json::{Value, json};
use std::fs;

use crate::support::{fails, ok, ok_json, text};

const HEAD: &str = "event_time,model_ref,tokens_in,tokens_out,cached_tokens_in,cache_write_tokens_in,\
    cache_write_1h_tokens_in,is_batch,cost_usd,tool_cost_usd,tool_calls,success";

const PRICES: &str = "[[price]]\nmodel = 'bare'\ninput = 1\noutput = 2\n\
    [[price]]\nmodel = 'read'\ninput = 1\noutput = 2\ncached_input = 0.1\n\
    [[price]]\nmodel = 'write'\ninput = 1\noutput = 2\ncached_input = 0.1\ncache_write = 1.25\n\
    [[price]]\nmodel = 'full'\ninput = 1\noutput = 2\ncached_input = 0.1\ncache_write = 1.25\ncache_write_1h = 2\n\
    [[price]]\nmodel = 'later'\nfrom = '2026-07-01'\ninput = 1\noutput = 2\n";

/// The bill of rows, with or without prices.
fn bill(head: &str, rows: &[&str], with_prices: bool, json: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (log, prices) = (folder.path().join("log.csv"), folder.path().join("prices.toml"));
    fs::write(&log, format!("{head}\n{}\n", rows.join("\n"))).unwrap();
    fs::write(&prices, PRICES).unwrap();
    let mut args = vec!["finops", "--traffic", text(&log), "--by", "model_ref"];
    args.extend(
        with_prices
            .then_some(["--prices", text(&prices)])
            .into_iter()
            .flatten(),
    );
    args.extend(json.then_some("--json"));
    ok(&args)
}

#[test]
fn a_row_without_a_cost_has_one_reason() {
    // The expected reason, or the cost in nano-USD.
    let check_of = |head: &str, row: &str, with_prices: bool, expected: Value| {
        let bill: Value = serde_json::from_str(&bill(head, &[row], with_prices, true)).unwrap();
        let total = &bill["total"];
        match expected.as_str() {
            Some(reason) => {
                assert_eq!(total["cost_unknown_reasons"], json!({reason: 1}), "{row}");
                assert_eq!(total["n_cost_unknown"], 1, "{row}");
                assert_eq!(total["cost_nano_usd"], 0, "{row}");
            }
            None => {
                assert_eq!(total["cost_unknown_reasons"], json!({}), "{row}");
                assert_eq!(total["cost_nano_usd"], expected, "{row}");
            }
        }
        assert_eq!(total["repriced_unknown_reasons"].is_null(), !with_prices, "{row}");
    };
    let check = |row: &str, expected: Value| check_of(HEAD, &format!("2026-06-01,{row}"), true, expected);
    check("bare,10,5,,,,,,0,,", json!(20_000));
    check("bare,10,5,0,0,0,,,0,,", json!(20_000));
    check("bare,0,0,,,,,,0,,", json!(0));
    check("bare,10,5,4,,,,,0,,", json!("no_cached_input_price"));
    check("bare,10,5,,4,,,,0,,", json!("no_cache_write_price"));
    check("bare,10,5,,4,4,,,0,,", json!("no_cache_write_1h_price"));
    check("read,10,5,4,,,,,0,,", json!(6_000 + 400 + 10_000));
    check("read,10,5,4,4,,,,0,,", json!("no_cache_write_price"));
    check("write,10,5,4,4,,,,0,,", json!(2_000 + 400 + 5_000 + 10_000));
    check("write,10,5,4,4,1,,,0,,", json!("no_cache_write_1h_price"));
    check(
        "full,10,5,4,4,1,,,0,,",
        json!(2_000 + 400 + 3_750 + 2_000 + 10_000),
    );
    check("full,10,5,8,4,,,,0,,", json!("impossible_tokens"));
    check("full,10,5,,4,5,,,0,,", json!("impossible_tokens"));
    check("full,,5,,,,,,0,,", json!("no_tokens"));
    check("full,10,,,,,,,0,,", json!("no_tokens"));
    check("full,,,,,,,,0,,1", json!("no_tokens"));
    check("full,10,5,,,,true,,0,,", json!("no_batch_price"));
    check("later,10,5,,,,,,0,,", json!("no_price_yet"));
    check("other,10,5,,,,,,0,,", json!("no_model_price"));
    check("other,,,,,,,,0,,", json!("no_model_price"));
    check(",10,5,,,,,,0,,", json!("no_model"));
    check("full,,,,,,,,0,,0", json!("failed_turn"));
    check("other,,,,,,,,0,,0", json!("failed_turn"));
    check(",,,,,,,,0,,0", json!("failed_turn"));
    // A failed turn with tokens or a cost is charged.
    check("full,10,0,,,,,,0,,0", json!(10_000));
    check("full,,,,,,,0.000001,0,,0", json!(1_000));
    // The logged cost counts, whatever the table says.
    check("bare,10,5,4,,,,0.000001,0,,", json!(1_000));
    check("full,10,5,,,,,0.000001,,3,", json!("no_tool_cost"));
    check("full,10,5,,,,,,,,", json!("no_tool_cost"));
    check("full,10,5,,,,,0.000001,,0,", json!(1_000));
    check("other,10,5,,,,,,,3,", json!("no_model_price"));
    let plain = |head: &str, row: &str, expected: Value| check_of(head, row, false, expected);
    plain(
        "model_ref,cost_usd,tokens_in,tokens_out,success",
        "full,,10,5,1",
        json!("no_cost"),
    );
    plain(
        "model_ref,cost_usd,tokens_in,tokens_out,success",
        "full,,,,0",
        json!("failed_turn"),
    );
    plain(
        "model_ref,tokens_in,tokens_out",
        "full,10,5",
        json!("no_cost_column"),
    );
    plain("model_ref,cost_usd", "full,0", json!(0));
}

#[test]
fn re_priced_costs_have_reasons_of_their_own() {
    let rows = [
        "2026-06-01,bare,10,5,,4,,,0.5,0,,",
        "2026-06-01,bare,10,5,,,,,0.5,0,,",
    ];
    let found: Value = serde_json::from_str(&bill(HEAD, &rows, true, true)).unwrap();
    let total = &found["total"];
    assert_eq!(total["cost_unknown_reasons"], json!({}));
    assert_eq!(
        total["repriced_unknown_reasons"],
        json!({"no_cache_write_price": 1})
    );
    assert_eq!(
        (&total["n_repriced"], &total["repriced_nano_usd"]),
        (&json!(1), &json!(20_000))
    );
    let text = bill(HEAD, &rows, true, false);
    assert!(
        text.contains("1 rows with a logged cost have no re-priced one:"),
        "{text}"
    );
    assert!(text.contains("no price of them: `cache_write`"), "{text}");
}

#[test]
fn people_read_the_reasons_with_what_to_do() {
    let rows = [
        "2026-06-01,other,10,5,,,,,,0,,",
        "2026-06-01,bare,10,5,,4,,,,0,,",
        "2026-06-01,,,,,,,,,0,,0",
    ];
    let text = bill(HEAD, &rows, true, false);
    for part in [
        "3 rows have no known cost, and the sums leave them out:",
        "1: no price of the model in --prices",
        "1: tokens written to a cache, and no price of them: `cache_write` in --prices",
        "1: the turn failed, and has neither a cost nor tokens",
        "no price: other (1 rows)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn failed_calls_without_a_user_are_counted_and_negative_costs_are_bad_rows() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    let head = "user_id,team,model,spend,prompt_tokens,completion_tokens,success\n";
    fs::write(&log, format!("{head}u,a,m,0.5,10,5,1\n,a,m,0,0,0,0\n,a,m,,,,0\n")).unwrap();
    let asked = [
        "finops",
        "--traffic",
        text(&log),
        "--by",
        "tenant_id,model_ref",
        "--column",
        "tenant_id=team",
        "--column",
        "model_ref=model",
        "--column",
        "cost_usd=spend",
        "--column",
        "tokens_in=prompt_tokens",
        "--column",
        "tokens_out=completion_tokens",
    ];
    let found = ok_json(&[&asked[..], &["--json"]].concat());
    let total = &found["total"];
    assert_eq!(
        (&total["n_rows"], &total["n_without_user"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(total["cost_nano_usd"], 500_000_000);
    assert_eq!(total["cost_unknown_reasons"], json!({"failed_turn": 1}));
    fs::write(
        &log,
        format!("{head}u,a,m,-0.5,10,5,1\nu,a,m,0.5,-10,5,1\n,a,m,1,,,\n"),
    )
    .unwrap();
    let refused = fails(&asked, 3);
    assert!(refused.contains("column `spend`"), "{refused}");
    assert!(
        refused.contains("--on-bad-row drop") && refused.contains("found -"),
        "{refused}"
    );
    let dropped = ok_json(&[&asked[..], &["--on-bad-row", "drop", "--json"]].concat());
    assert_eq!(dropped["bad_rows"].as_object().unwrap().len(), 2, "{dropped}");
    assert_eq!(dropped["total"]["cost_nano_usd"], 1_000_000_000);
    assert_eq!(dropped["total"]["cost_unknown_reasons"], json!({}));
}

#[test]
fn cache_writes_of_traces_are_never_priced_as_plain_input() {
    let folder = tempfile::tempdir().unwrap();
    let [traces, prices] = ["traces.jsonl", "prices.toml"].map(|name| folder.path().join(name));
    let bill = |key: &str, price: &str| {
        let attribute = |name: &str, value: Value| json!({"key": name, "value": value});
        let span = json!({"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "chat",
            "startTimeUnixNano": "1780000000000000000", "endTimeUnixNano": "1780000001000000000", "attributes": [
                attribute("gen_ai.operation.name", json!({"stringValue": "chat"})),
                attribute("gen_ai.request.model", json!({"stringValue": "m"})),
                attribute("gen_ai.usage.input_tokens", json!({"intValue": "10"})),
                attribute(key, json!({"intValue": "4"})),
                attribute("gen_ai.usage.output_tokens", json!({"intValue": "5"}))]});
        let spans = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
        fs::write(&traces, format!("{spans}\n")).unwrap();
        fs::write(
            &prices,
            format!("[[price]]\nmodel = 'm'\ninput = 1\noutput = 2\n{price}\n"),
        )
        .unwrap();
        let args = [
            "finops",
            "--traffic",
            text(&traces),
            "--format",
            "otlp",
            "--prices",
            text(&prices),
            "--json",
        ];
        ok_json(&args)["total"].clone()
    };
    for key in [
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
    ] {
        let total = bill(key, "");
        assert_eq!(
            total["cost_unknown_reasons"],
            json!({"no_cache_write_price": 1}),
            "{key}"
        );
        assert_eq!(total["cost_nano_usd"], 0, "{key}");
        let total = bill(key, "cache_write = 1.25");
        assert_eq!(total["cost_nano_usd"], 6_000 + 5_000 + 10_000, "{key}");
        assert_eq!(total["repriced_nano_usd"], 6_000 + 5_000 + 10_000, "{key}");
    }
}
