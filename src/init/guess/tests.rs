use super::*;
use crate::init::profile::Scalar;

/// The profiles of a file: a header, and rows of values.
fn profiles(header: &str, rows: &[String]) -> Vec<ColumnProfile> {
    let mut profiles: Vec<ColumnProfile> = header.split(',').map(ColumnProfile::new).collect();
    for row in rows {
        for (profile, value) in profiles.iter_mut().zip(row.split(',')) {
            profile.add(Scalar::Text(value));
        }
    }
    profiles
}

/// Rows of a function of the row's number.
fn rows(row: impl Fn(usize) -> String) -> Vec<String> {
    (0..200).map(row).collect()
}

fn check(role: Role, header: &str, rows: &[String], expected: &str) -> Guesses {
    let guesses = guess(role, &profiles(header, rows));
    let found: Vec<String> = guesses
        .used
        .iter()
        .map(|guess| format!("{}={}", guess.column, guess.file_column))
        .collect();
    assert_eq!(found.join(" "), expected, "{header}");
    guesses
}

#[test]
fn columns_of_logs_are_found_in_english_and_chinese() {
    check(
        Role::Traffic,
        "ts,uid,model,prompt_tokens,completion_tokens,latency,cost,status",
        &rows(|n| {
            format!(
                "17799264{:02}123,u{},gpt-4.{},{n},7,0.8,0.02,200",
                n % 100,
                n % 50,
                n % 2
            )
        }),
        "event_time=ts user_id=uid release_id=model success=status latency_ms=latency tokens_in=prompt_tokens \
         tokens_out=completion_tokens cost_usd=cost",
    );
    check(
        Role::Traffic,
        "时间,用户ID,版本号,会话编号,耗时,状态码,是否投诉,点踩",
        &rows(|n| {
            format!(
                "2026-05-28 10:00:{:02},用户{},v{},s{n},812,200,0,1",
                n % 60,
                n % 50,
                n % 2 + 1
            )
        }),
        "event_time=时间 user_id=用户ID release_id=版本号 session_id=会话编号 success=状态码 latency_ms=耗时 bad=点踩 complaint=是否投诉",
    );
    check(
        Role::Traffic,
        "eventTime,userId,appVersion,requestId,isResolved",
        &rows(|n| format!("2026-05-28T10:00:{:02}Z,{},1.{},r{n},true", n % 60, n % 50, n % 2)),
        "event_time=eventTime user_id=userId release_id=appVersion trace_id=requestId task_completed=isResolved",
    );
}

#[test]
fn columns_of_users_are_found() {
    let found = check(
        Role::Users,
        "customer_id,gender,age,last_login,orders,total_spent,consent,signup_date",
        &rows(|n| format!("c{n},f,30,2026-05-{:02},{n},{n}.5,yes,2020-01-01", n % 28 + 1)),
        "user_id=customer_id last_use_time=last_login use_count=orders user_value=total_spent is_allow_gray=consent",
    );
    let sensitive: Vec<&str> = found.sensitive.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(sensitive, ["gender", "age"]);
    assert_eq!(found.unused, ["signup_date"]);
    check(
        Role::Users,
        "会员编号,最近登录时间,订单数,消费金额,性别",
        &rows(|n| format!("m{n},2026-05-{:02},{n},{n}.5,男", n % 28 + 1)),
        "user_id=会员编号 last_use_time=最近登录时间 use_count=订单数 user_value=消费金额",
    );
}

#[test]
fn values_decide_where_names_do_not() {
    check(
        Role::Traffic,
        "a,b,key,d",
        &rows(|n| {
            format!(
                "2026-05-28 10:00:{:02},{},k{},v{}",
                n % 60,
                n % 7,
                n % 50,
                n % 2 + 1
            )
        }),
        "event_time=a user_id=key release_id=d",
    );
    let found = guess(
        Role::Users,
        &profiles("shade,size", &rows(|n| format!("{},{}", n % 3, n % 4))),
    );
    assert!(found.used.is_empty());
}

#[test]
fn a_key_of_things_is_no_user() {
    let found = guess(
        Role::Traffic,
        &profiles(
            "ts,item_id,user_feature_1",
            &rows(|n| format!("2026-05-28 10:00:{:02},{},{}", n % 60, n % 50, n % 3)),
        ),
    );
    assert!(found.get("user_id").is_none(), "{:?}", found.used);
}

#[test]
fn a_birthday_is_no_time_of_a_log() {
    let found = guess(
        Role::Traffic,
        &profiles(
            "birthday,uid",
            &rows(|n| format!("1980-01-{:02},{}", n % 28 + 1, n % 9)),
        ),
    );
    assert!(found.get("event_time").is_none());
}
