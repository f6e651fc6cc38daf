//! Tests of `sluice finops --prices`: caches, batch requests, sizes of requests and dated models.

use std::fs;

use crate::support::{ok, ok_json, text};

const PRICES: &str = "model,input,output,cached_input,cache_write,batch,above_input_tokens\n\
    m-large,2,12,0.2,2.5,,\n\
    m-large,4,18,0.4,5,,200000\n\
    m-large,1,6,,,TRUE,\n\
    m-small,0.1,0.4,,,,\n";

const LOG: &str = "event_time,user_id,release_id,model_ref,tokens_in,cached_tokens_in,\
    cache_write_tokens_in,tokens_out,is_batch\n\
    2026-05-25,u,r,m-large,1000,400,100,50,false\n\
    2026-05-25,u,r,m-large,300000,,,10,false\n\
    2026-05-25,u,r,m-large,1000,,,100,true\n\
    2026-05-25,u,r,gateway:main=m-large-2026-01-15@sha256:00,1000,,,0,\n\
    2026-05-25,u,r,m-small,1000,,,0,true\n\
    2026-05-25,u,r,m-small,1000,600,500,0,\n";

#[test]
fn each_request_has_the_price_of_its_kind_and_size() {
    let folder = tempfile::tempdir().unwrap();
    let [log, prices] = [("log.csv", LOG), ("prices.csv", PRICES)].map(|(name, content)| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    });
    let asked = ["finops", "--traffic", text(&log), "--prices", text(&prices)];
    let bill = ok_json(&[&asked[..], &["--by", "model_ref", "--json"]].concat());
    let cost = |model: &str| {
        let lines = bill["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["model_ref"] == model).unwrap();
        (
            line["cost_nano_usd"].as_i64().unwrap(),
            line["n_cost_unknown"].as_u64().unwrap(),
        )
    };
    // 500 * 2,000 + 400 * 200 + 100 * 2,500 + 50 * 12,000 nano-USD; above 200,000 tokens
    // 300,000 * 4,000 + 10 * 18,000; by the batch API 1,000 * 1,000 + 100 * 6,000.
    let large = (1_000_000 + 80_000 + 250_000 + 600_000) + (1_200_000_000 + 180_000) + (1_000_000 + 600_000);
    assert_eq!(cost("m-large"), (large, 0));
    // The price of the model without its date: 1,000 * 2,000.
    assert_eq!(cost("gateway:main=m-large-2026-01-15@sha256:00"), (2_000_000, 0));
    // One request has no price. The other has more tokens of caches than input tokens.
    assert_eq!(cost("m-small"), (0, 2));
    let unpriced = bill["unpriced"].as_array().unwrap();
    assert_eq!(unpriced.len(), 1, "{unpriced:?}");
    assert_eq!(
        (&unpriced[0]["model_ref"], &unpriced[0]["n_rows"]),
        (&"m-small".into(), &1.into())
    );
    assert!(ok(&asked).contains("no price: m-small (1 rows)"));
}
