use super::*;
use crate::init::profile::Scalar;

fn profile(name: &str, values: &[&str]) -> ColumnProfile {
    let mut profile = ColumnProfile::new(name);
    for _ in 0..20 {
        values.iter().for_each(|value| profile.add(Scalar::Text(value)));
    }
    profile
}

fn how(kind: Kind, column: &str, name: &str, values: &[&str]) -> Option<How> {
    fit(kind, column, &profile(name, values), &Name::new(name)).map(|fit| fit.how)
}

fn derive(sql: &str) -> Option<How> {
    Some(How::Derive(sql.to_owned()))
}

#[test]
fn times_are_read_in_their_units() {
    let check = |values: &[&str], expected: Option<How>| {
        assert_eq!(
            how(Kind::Time, "event_time", "ts", values),
            expected,
            "{values:?}"
        );
    };
    check(&["2026-05-28 10:00:00"], Some(How::Plain));
    check(&["1779926400", "1779926401.5"], Some(How::Plain));
    check(&["1779926400123"], Some(How::Unit("ms")));
    check(&["1779926400123456"], Some(How::Unit("us")));
    check(&["1779926400123456789"], Some(How::Unit("ns")));
    check(&["20260528", "20260601"], Some(How::Plain));
    check(
        &["2026/05/28 10:00"],
        derive(
            r"instant(regexp_replace(regexp_replace(ts, '(?-u:\b)(\d)(?-u:\b)', '0$1'), '^(\d+)\D(\d+)\D(\d+)日?', '$1-$2-$3'))",
        ),
    );
    check(&["12", "40"], None);
    check(&["red", "blue"], None);
}

#[test]
fn lengths_of_time_are_read_in_their_units() {
    let check = |name: &str, values: &[&str], expected: Option<How>| {
        assert_eq!(
            how(Kind::Duration, "latency_ms", name, values),
            expected,
            "{name} {values:?}"
        );
    };
    check("latency", &["812", "640"], Some(How::Plain));
    check("latency", &["0.8", "1.2"], Some(How::Unit("s")));
    check("duration", &["12.5", "31.75"], Some(How::Unit("s")));
    check("latency", &["812000", "640000"], Some(How::Unit("us")));
    check("duration_s", &["12", "31"], Some(How::Unit("s")));
    check("elapsed_us", &["812000"], Some(How::Unit("us")));
    check("耗时(毫秒)", &["812"], Some(How::Plain));
    check("用时_秒", &["8"], Some(How::Unit("s")));
    check("duration_min", &["2", "3"], derive("duration_min * 60000"));
    check("latency", &["fast"], None);
    check("latency", &["-1", "-2"], None);
}

#[test]
fn money_is_read_in_its_unit() {
    let check = |name: &str, values: &[&str], expected: Option<How>| {
        assert_eq!(
            how(Kind::Money, "cost_usd", name, values),
            expected,
            "{name} {values:?}"
        );
    };
    check("cost", &["0.02", "0.03"], Some(How::Plain));
    check("cost", &["12", "33"], Some(How::Unit("cent")));
    check("cost_cents", &["0.5"], Some(How::Unit("cent")));
    check("cost_usd", &["12"], Some(How::Plain));
    check("费用(元)", &["0.12"], Some(How::Currency("CNY")));
}

#[test]
fn flags_states_and_ratings_become_expressions() {
    let check = |kind: Kind, name: &str, values: &[&str], expected: Option<How>| {
        assert_eq!(how(kind, "success", name, values), expected, "{name} {values:?}");
    };
    check(Kind::Flag, "done", &["true", "FALSE", "1"], Some(How::Plain));
    check(
        Kind::Flag,
        "done",
        &["Y", "N"],
        derive("case when done in ('Y') then true when done in ('N') then false end"),
    );
    check(
        Kind::Flag,
        "是否解决",
        &["是", "否"],
        derive("case when \"是否解决\" in ('是') then true when \"是否解决\" in ('否') then false end"),
    );
    check(Kind::Flag, "done", &["red", "blue"], None);
    check(
        Kind::Success,
        "status",
        &["200", "404", "500"],
        derive("status < 500"),
    );
    check(
        Kind::Success,
        "状态码",
        &["200", "500"],
        derive("\"状态码\" < 500"),
    );
    check(
        Kind::Success,
        "status",
        &["success", "timeout"],
        derive("case when status in ('success') then true when status in ('timeout') then false end"),
    );
    check(Kind::Success, "is_error", &["0", "1"], derive("is_error = 0"));
    check(
        Kind::Success,
        "error_message",
        &["", "bad gateway"],
        derive("error_message is null"),
    );
    check(
        Kind::Bad,
        "thumb",
        &["up", "down"],
        derive("case when thumb in ('down') then true when thumb in ('up') then false end"),
    );
    check(Kind::Bad, "rating", &["1", "5", "4"], derive("rating <= 2"));
    check(
        Kind::Bad,
        "feedback",
        &["1", "-1", "0"],
        derive("case when feedback < 0 then true when feedback > 0 then false end"),
    );
    check(Kind::Bad, "thumbs_down", &["0", "1"], Some(How::Plain));
    check(
        Kind::Acceptance,
        "acceptance",
        &["0.25", "0.5"],
        derive("acceptance * 10"),
    );
    check(Kind::Acceptance, "acceptance", &["2", "9"], Some(How::Plain));
}

#[test]
fn names_and_texts_are_quoted_in_expressions() {
    assert_eq!(sql_name("user"), "\"user\"");
    assert_eq!(sql_name("a\"b"), "\"a\"\"b\"");
    assert_eq!(sql_name("status_code"), "status_code");
    assert_eq!(sql_text("it's"), "'it''s'");
}
