//! Tests of notifications: bodies and signatures at a real HTTP server, retries, limits, secrets, and
//! e-mail by a program in the place of sendmail.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sluice::base::time::Zone;
use sluice::notify::{Delivery, Notification, Origin, SendLimits, of_failure, of_guard, of_schedule, send};
use sluice::ramp::Schedule;
use sluice::scenario::{Notify, NotifyEvent, SinkAddress};
use sluice::words::{Lang, Text};

use crate::support::{ecommerce, fails, json as read_json, ok, root, text};

/// A request that a server received.
#[derive(Debug, Clone)]
struct Request {
    /// The path with its query.
    path: String,
    /// Headers as lines in lower case.
    headers: Vec<String>,
    body: String,
}

impl Request {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What a server does with a request.
#[derive(Debug, Clone)]
enum Reply {
    /// Status, a header line, and the body.
    Answer(u16, String, String),
    /// Reads the request and does not answer.
    Silence,
    /// An answer without an end.
    Endless,
}

fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "x-test: 1".into(), body.into())
}

/// A server that gives its replies in turn, the last one for all further requests.
struct Server {
    port: u16,
    received: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let received: Arc<Mutex<Vec<Request>>> = Arc::default();
        let shared = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                let replies = replies.clone();
                thread::spawn(move || serve(&stream, &replies, &shared));
            }
        });
        Self { port, received }
    }

    /// The address of a sink at this server. The path is secret.
    fn address(&self, kind: &str) -> String {
        format!(
            "{kind}:http://127.0.0.1:{}/services/{SECRET}?token={SECRET}2",
            self.port
        )
    }

    fn received(&self) -> Vec<Request> {
        self.received.lock().unwrap().clone()
    }
}

/// The secret in the addresses of sinks.
const SECRET: &str = "B0-s3cret";

fn serve(stream: &TcpStream, replies: &[Reply], received: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            match header.trim() {
                "" => break,
                header => headers.push(header.to_ascii_lowercase()),
            }
        }
        let length = headers
            .iter()
            .find_map(|header| header.strip_prefix("content-length:"))
            .map_or(0, |n| n.trim().parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let body = String::from_utf8(body).unwrap();
        let n = {
            let mut received = received.lock().unwrap();
            received.push(Request { path, headers, body });
            received.len()
        };
        let mut writer = stream;
        match &replies[n.min(replies.len()) - 1] {
            Reply::Silence => thread::sleep(Duration::from_secs(60)),
            Reply::Endless => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                let mut is_open = writer.write_all(head.as_bytes()).is_ok();
                while is_open {
                    is_open = writer.write_all(chunk.as_bytes()).is_ok();
                }
                return;
            }
            Reply::Answer(status, header, body) => {
                let n = body.len();
                let text = format!("HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: {n}\r\n\r\n{body}");
                if writer.write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
        }
    }
}

fn sinks(addresses: &[String]) -> Vec<Notify> {
    addresses
        .iter()
        .map(|address| Notify::new(SinkAddress::parse(address).unwrap()))
        .collect()
}

fn origin() -> Origin {
    Origin {
        plan_id: Some("ramp-7".into()),
        candidate: Some("agent-2".into()),
        as_of: Some(1_779_926_400_000_000),
        zone: Zone::UTC,
        report: Some("/srv/ramp/report.html".into()),
    }
}

/// Limits that keep a test short.
const LIMITS: SendLimits = SendLimits {
    attempt: Duration::from_millis(400),
    total: Duration::from_secs(5),
    n_attempts: 3,
    first_pause: Duration::from_millis(20),
};

fn send_all(notifications: &[Notification], addresses: &[String]) -> Vec<Delivery> {
    let outcomes = send(notifications, &sinks(addresses), &|_, _| false, &LIMITS);
    for outcome in &outcomes {
        assert!(!format!("{outcome:?}").contains("s3cret"), "{outcome:?}");
    }
    outcomes
}

/// Sends one notification to one sink of a server with these replies.
fn send_one(kind: &str, replies: Vec<Reply>) -> (Delivery, Vec<Request>) {
    let server = Server::start(replies);
    let notification = of_guard(
        &origin(),
        "max_moved",
        &"31 % of the users moved, the limit is 10 %".into(),
    );
    let mut outcomes = send_all(&[notification], &[server.address(kind)]);
    assert_eq!(outcomes.len(), 1);
    (outcomes.remove(0), server.received())
}

#[test]
fn answers_decide_about_further_attempts() {
    let check = |kind: &str, replies: Vec<Reply>, n_attempts: u32, expected: Option<&str>| {
        let (outcome, received) = send_one(kind, replies.clone());
        let found = outcome.reason.as_deref();
        assert_eq!(
            (outcome.is_sent, outcome.n_attempts, received.len() as u32),
            (expected.is_none(), n_attempts, n_attempts),
            "{kind} {replies:?}: {outcome:?}"
        );
        match (found, expected) {
            (Some(found), Some(expected)) => assert!(found.contains(expected), "{found} / {expected}"),
            (found, expected) => assert_eq!(found, expected),
        }
        if let [first, second, ..] = received.as_slice() {
            assert_eq!(first.json(), second.json(), "attempts differ");
        }
    };
    let ok = || answer(200, "ok");
    check("slack", vec![ok()], 1, None);
    check("webhook", vec![answer(204, "")], 1, None);
    check("webhook", vec![answer(500, "down"), ok()], 2, None);
    check("webhook", vec![answer(503, ""), answer(502, ""), ok()], 3, None);
    check(
        "webhook",
        vec![answer(500, "down"), answer(500, "busy")],
        3,
        Some("status 500: busy"),
    );
    check(
        "slack",
        vec![answer(404, "no_service")],
        1,
        Some("status 404: no_service"),
    );
    check(
        "slack",
        vec![answer(403, "action_prohibited")],
        1,
        Some("status 403: action_prohibited"),
    );
    // The answer quotes the path, as many servers do.
    let quoted = format!("Cannot POST /services/{SECRET}?token={SECRET}2");
    check(
        "webhook",
        vec![answer(400, &quoted)],
        1,
        Some("status 400: Cannot POST ..."),
    );
    check("webhook", vec![Reply::Silence], 3, Some("no answer within 1 s"));
    check("webhook", vec![Reply::Silence, ok()], 2, None);
    check("webhook", vec![Reply::Endless], 1, None);
    let moved = Reply::Answer(
        302,
        "location: http://127.0.0.1:1/elsewhere".into(),
        String::new(),
    );
    check(
        "webhook",
        vec![moved],
        1,
        Some("redirect (status 302), which is not followed"),
    );
    let moved = Reply::Answer(307, "location: /elsewhere".into(), String::new());
    check("slack", vec![moved], 1, Some("redirect (status 307)"));
    let later = |header: &str| Reply::Answer(429, header.into(), "slow down".into());
    check("slack", vec![later("retry-after: 1"), ok()], 2, None);
    check(
        "slack",
        vec![later("retry-after: 90")],
        1,
        Some("the next attempt, in 90 s, is beyond the limit"),
    );
    check(
        "slack",
        vec![later("retry-after: Wed, 21 Oct 2099 07:28:00 GMT")],
        1,
        Some("beyond the limit"),
    );
    check(
        "slack",
        vec![later("retry-after: Wed, 21 Oct 2015 07:28:00 GMT"), ok()],
        2,
        None,
    );
    check("slack", vec![later("retry-after: soon"), ok()], 2, None);

    let feishu = |code: i64, message: &str| answer(200, &json!({"code": code, "msg": message}).to_string());
    check("feishu", vec![feishu(0, "success")], 1, None);
    check("feishu", vec![answer(200, "{\"StatusCode\": 0}")], 1, None);
    check(
        "feishu",
        vec![feishu(11232, "frequency limited"), feishu(0, "")],
        2,
        None,
    );
    check(
        "feishu",
        vec![feishu(19021, "sign match fail")],
        1,
        Some("code 19021: sign match fail"),
    );
    check(
        "feishu",
        vec![answer(200, "ok")],
        1,
        Some("expected `code` in the answer, found: ok"),
    );
    check(
        "feishu",
        vec![Reply::Endless],
        1,
        Some("one of more than 65536 bytes"),
    );
    let dingtalk =
        |code: i64, message: &str| answer(200, &json!({"errcode": code, "errmsg": message}).to_string());
    check("dingtalk", vec![dingtalk(0, "ok")], 1, None);
    check(
        "dingtalk",
        vec![dingtalk(130_101, "send too fast"), dingtalk(0, "ok")],
        2,
        None,
    );
    check(
        "dingtalk",
        vec![dingtalk(310_000, "sign not match")],
        1,
        Some("code 310000: sign not match"),
    );
}

#[test]
fn retry_after_is_waited_for() {
    let start = Instant::now();
    let wait = Reply::Answer(429, "retry-after: 1".into(), String::new());
    let (outcome, _) = send_one("slack", vec![wait, answer(200, "ok")]);
    assert!(outcome.is_sent && start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn sinks_work_side_by_side_within_the_limit() {
    let silent = Server::start(vec![Reply::Silence]);
    let works = Server::start(vec![answer(200, "ok")]);
    // A port that is not listened on.
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let addresses = [
        silent.address("webhook"),
        format!("slack:http://127.0.0.1:{port}/{SECRET}"),
        works.address("slack"),
        works.address("slack"),
    ];
    let notifications = [
        of_guard(&origin(), "max_moved", &"a reason".into()),
        of_failure(&origin(), "publish", &"a reason".into()),
    ];
    let limits = SendLimits {
        attempt: Duration::from_secs(10),
        total: Duration::from_secs(1),
        ..LIMITS
    };
    let start = Instant::now();
    let outcomes = send(&notifications, &sinks(&addresses), &|_, _| false, &limits);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let found: Vec<(bool, u32, &str)> = outcomes
        .iter()
        .map(|one| {
            (
                one.is_sent,
                one.n_attempts,
                one.reason.as_deref().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        found[..2],
        [
            (
                false,
                1,
                "no answer within 1 s; the next attempt, in 1 s, is beyond the limit of 1 s for all"
            ),
            (false, 0, "the time limit of 1 s for all attempts is over"),
        ]
    );
    assert_eq!(found[2], (false, 3, "the connection was refused"));
    assert_eq!(found[4..], [(true, 1, ""); 4]);
    let names: Vec<&str> = outcomes.iter().map(|one| one.sink.as_str()).collect();
    let slack = format!("slack:http://127.0.0.1:{}/...", works.port);
    assert_eq!(
        names[4..],
        [&slack, &slack, &format!("{slack} (2)"), &format!("{slack} (2)")]
    );
    // Notifications that were sent before are left out.
    let sent = outcomes.clone();
    let is_sent = |sink: &str, id: &str| {
        sent.iter()
            .any(|one| one.is_sent && one.sink == sink && one.id == id)
    };
    let n_before = works.received().len();
    let again = send(&notifications, &sinks(&addresses[2..]), &is_sent, &limits);
    assert_eq!((again.len(), works.received().len()), (0, n_before));
}

/// The schedule of the case study: one promotion and one rollback.
fn schedule() -> Schedule {
    serde_json::from_value(read_json(&ecommerce().join("schedule.json"))).unwrap()
}

#[test]
fn a_schedule_gives_one_notification_an_event() {
    let mut schedule = schedule();
    let found = of_schedule(&schedule, &Zone::UTC, Some("out/report.html"));
    let events: Vec<NotifyEvent> = found.iter().map(|one| one.event).collect();
    assert_eq!(events, [NotifyEvent::Rollback, NotifyEvent::Promotion]);
    let rollback = &found[0];
    let layer = schedule
        .layers
        .iter()
        .find(|layer| layer.layer == "regular")
        .unwrap();
    let reason = &layer.reason;
    assert_eq!(
        serde_json::to_value(rollback).unwrap(),
        json!({
            "schema": "sluice.notification/1",
            "id": rollback.id,
            "event": "rollback",
            "is_test": false,
            "plan_id": schedule.plan_id,
            "candidate": "cs-agent-2026.05",
            "as_of": "2026-05-29T00:00:00Z",
            "n_layers": 1,
            "n_tenants": 1,
            "layers": [{
                "tenant": "default",
                "layer": "regular",
                "verdict": "rollback",
                "from": 0.01,
                "to": 0.0,
                "check": "guardrail:task_completion_rate",
                "reason": reason,
                "reason_zh": layer.reason_zh,
            }],
            "check": null,
            "reason": null,
            "report": "out/report.html",
            "title": "Rollback of cs-agent-2026.05: layer regular",
            "text": format!(
                "Rollback of cs-agent-2026.05: layer regular\nplan {}, as of 2026-05-29 00:00 UTC\n\
                 regular: {reason}\nreport: out/report.html",
                schedule.plan_id
            ),
        })
    );
    assert!(
        reason.starts_with("The task completion rate fell from ")
            && reason.ends_with("Rolled back from 1% to 0%."),
        "{reason}"
    );
    // The same night has the same ids, wherever its report lies; another verdict has another id.
    let ids = |schedule: &Schedule| -> Vec<String> {
        of_schedule(schedule, &Zone::UTC, None)
            .into_iter()
            .map(|one| one.id)
            .collect()
    };
    assert_eq!(
        ids(&schedule),
        found.iter().map(|one| one.id.clone()).collect::<Vec<_>>()
    );
    let before = ids(&schedule);
    schedule.as_of += 1;
    assert!(ids(&schedule).iter().zip(&before).all(|(a, b)| a != b));

    // Many layers of many tenants are one message, with the first twenty.
    let layer = schedule
        .layers
        .iter()
        .find(|layer| layer.layer == "regular")
        .unwrap()
        .clone();
    schedule.layers = (0..300)
        .map(|idx| {
            let mut layer = layer.clone();
            layer.tenant = format!("tenant-{idx}");
            layer.reason = "x".repeat(5_000);
            layer
        })
        .collect();
    let found = of_schedule(&schedule, &Zone::UTC, None);
    assert_eq!(
        (found.len(), found[0].n_layers, found[0].n_tenants),
        (1, 300, 300)
    );
    assert_eq!(found[0].layers.len(), 20);
    assert_eq!(
        found[0].title,
        "Rollback of cs-agent-2026.05: 300 layers of 300 tenants"
    );
    assert!(found[0].text.ends_with("further layers: 280") && found[0].text.len() < 12_000);
    schedule.layers.truncate(299);
    assert_ne!(
        of_schedule(&schedule, &Zone::UTC, None)[0].id,
        found[0].id,
        "layers beyond the first count"
    );
    schedule.layers.clear();
    assert!(of_schedule(&schedule, &Zone::UTC, None).is_empty());
}

#[test]
fn a_sink_has_its_language() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.jsonl");
    let server = Server::start(vec![answer(200, r#"{"code": 0}"#); 2]);
    let shanghai = Zone::by_name("Asia/Shanghai").unwrap();
    let addresses = [server.address("feishu"), format!("file:{}", path.display())];
    let mut sinks = sinks(&addresses);
    for sink in &mut sinks {
        sink.lang = Lang::Zh;
    }
    let notifications = [
        of_schedule(&schedule(), &shanghai, None).remove(0),
        of_guard(
            &Origin {
                zone: shanghai,
                ..origin()
            },
            "max_moved",
            &Text {
                en: "31% of the users moved".into(),
                zh: "31% 的用户更换了分层".into(),
            },
        ),
    ];
    let outcomes = send(&notifications, &sinks, &|_, _| false, &LIMITS);
    assert!(outcomes.iter().all(|outcome| outcome.is_sent), "{outcomes:?}");
    let card: Value = serde_json::from_str(&server.received()[0].body).unwrap();
    assert_eq!(
        card["card"]["header"]["title"]["content"],
        "cs-agent-2026.05 回滚：分层 regular"
    );
    let body = card["card"]["elements"][0]["text"]["content"].as_str().unwrap();
    assert!(
        body.contains("数据截至 2026 年 5 月 29 日 08:00（北京时间）"),
        "{body}"
    );
    assert!(
        body.contains("regular：任务完成率由 ") && body.contains("由 1% 回滚至 0%。"),
        "{body}"
    );
    let lines = fs::read_to_string(&path).unwrap();
    let guard: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!(guard["reason"], "31% of the users moved");
    assert_eq!(guard["reason_zh"], "31% 的用户更换了分层");
    assert_eq!(guard["title"], "夜间守卫 max_moved 中止了 agent-2 的夜间任务");
    assert_eq!(
        guard["text"],
        "夜间守卫 max_moved 中止了 agent-2 的夜间任务\n计划 ramp-7，数据截至 2026 年 5 月 28 日 08:00（北京时间）\n\
         31% 的用户更换了分层\n报告：/srv/ramp/report.html"
    );
}

/// Runs the program with these variables and no others of sinks.
fn notify(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice"))
        .arg("notify")
        .args(args)
        .current_dir(root())
        .env_remove("SLUICE_FEISHU_SECRET")
        .env_remove("SLUICE_DINGTALK_SECRET")
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

/// Runs a test that must be sent, and returns the only request.
fn sent(server: &Server, kind: &str, more: &[&str], env: &[(&str, &str)]) -> Request {
    let address = server.address(kind);
    let url = address.split_once(':').unwrap().1;
    let to = format!("{kind}:$SINK_URL");
    let output = notify(
        &[&["--to", &to], more].concat(),
        &[&[("SINK_URL", url)], env].concat(),
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout, format!("sent to {kind}:$SINK_URL (1 attempt)\n"));
    assert!(output.status.success() && output.stderr.is_empty());
    let mut received = server.received();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

const TEST_TITLE: &str = "Test of notifications (rollback): nothing happened";
const TEST_BODY: &str = "sluice notify sent this message to try the sink; no ratio changed.";

#[test]
fn bodies_are_those_of_the_systems() {
    let server = Server::start(vec![answer(200, "ok")]);
    let request = sent(&server, "webhook", &[], &[]);
    let body = request.json();
    assert_eq!(request.path, format!("/services/{SECRET}?token={SECRET}2"));
    assert_eq!(body["schema"], "sluice.notification/1");
    assert_eq!(
        (&body["is_test"], &body["title"]),
        (&json!(true), &json!(TEST_TITLE))
    );
    let headers = &request.headers;
    assert!(
        headers.contains(&"content-type: application/json; charset=utf-8".to_owned()),
        "{headers:?}"
    );
    let key = format!("idempotency-key: {}", body["id"].as_str().unwrap());
    assert!(headers.contains(&key), "{headers:?}");

    let server = Server::start(vec![answer(200, "ok")]);
    assert_eq!(
        sent(&server, "slack", &[], &[]).json(),
        json!({
            "text": format!("{TEST_TITLE}\n{TEST_BODY}"),
            "mrkdwn": false,
            "unfurl_links": false,
            "unfurl_media": false,
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": TEST_TITLE, "emoji": false}},
                {"type": "section", "text": {"type": "plain_text", "text": TEST_BODY, "emoji": false}},
            ],
        })
    );

    let feishu = json!({
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": true},
            "header": {"template": "grey", "title": {"tag": "plain_text", "content": TEST_TITLE}},
            "elements": [{"tag": "div", "text": {"tag": "plain_text", "content": TEST_BODY}}],
        },
    });
    let server = Server::start(vec![answer(200, "{\"code\": 0}")]);
    assert_eq!(sent(&server, "feishu", &[], &[]).json(), feishu);
    let server = Server::start(vec![answer(200, "{\"code\": 0}")]);
    let mut signed = sent(&server, "feishu", &[], &[("SLUICE_FEISHU_SECRET", "k\u{e4}y")]).json();
    let timestamp = signed["timestamp"].take();
    let sign = signed["sign"].take();
    let timestamp = timestamp.as_str().unwrap();
    assert_eq!(sign, hmac_of(&format!("{timestamp}\nk\u{e4}y"), ""));
    assert!(timestamp.len() == 10, "seconds: {timestamp}");
    assert_eq!(signed["card"], feishu["card"]);

    let dingtalk = json!({
        "msgtype": "text",
        "text": {"content": format!("{TEST_TITLE}\n{TEST_BODY}")},
        "at": {"atMobiles": [], "atUserIds": [], "isAtAll": false},
    });
    let server = Server::start(vec![answer(200, "{\"errcode\": 0}")]);
    assert_eq!(sent(&server, "dingtalk", &[], &[]).json(), dingtalk);
    let server = Server::start(vec![answer(200, "{\"errcode\": 0}")]);
    let request = sent(&server, "dingtalk", &[], &[("SLUICE_DINGTALK_SECRET", "SECkey")]);
    assert_eq!(request.json(), dingtalk);
    let start = format!("/services/{SECRET}?token={SECRET}2&timestamp=");
    let (timestamp, sign) = request
        .path
        .strip_prefix(&start)
        .unwrap()
        .split_once("&sign=")
        .unwrap();
    assert!(timestamp.len() == 13, "milliseconds: {timestamp}");
    let sign = sign.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    assert_eq!(sign, hmac_of("SECkey", &format!("{timestamp}\nSECkey")));
    assert!(!request.path.contains(['+', '=']) || request.path.matches('=').count() == 3);
}

/// HMAC-SHA256 in Base64, as Python computes it.
fn hmac_of(key: &str, message: &str) -> String {
    let program = "import base64, hashlib, hmac, sys\n\
        key, message = (text.encode() for text in sys.argv[1:])\n\
        print(base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode())";
    let output = Command::new("python3")
        .args(["-c", program, key, message])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn text_of_others_is_text_in_every_chat() {
    let mut schedule = schedule();
    let layer = schedule
        .layers
        .iter_mut()
        .find(|layer| layer.layer == "regular")
        .unwrap();
    layer.tenant = "<!channel> & *a* [x](http://b) <at id=all></at>\nBcc: c@d".into();
    let shown = "<!channel> & *a* [x](http://b) <at id=all></at>\\nBcc: c@d";
    let rollback = of_schedule(&schedule, &Zone::UTC, None).remove(0);
    let server = Server::start(vec![answer(200, "{\"code\": 0, \"errcode\": 0}")]);
    let outcomes = send_all(&[rollback], &[server.address("slack")]);
    let outcomes = [
        outcomes,
        send_all(
            &of_schedule(&schedule, &Zone::UTC, None)[..1],
            &[server.address("feishu")],
        ),
        send_all(
            &of_schedule(&schedule, &Zone::UTC, None)[..1],
            &[server.address("dingtalk")],
        ),
    ]
    .concat();
    assert!(outcomes.iter().all(|one| one.is_sent), "{outcomes:?}");
    let received: Vec<Value> = server.received().iter().map(Request::json).collect();
    let escaped =
        "&lt;!channel&gt; &amp; *a* [x](http://b) &lt;at id=all&gt;&lt;/at&gt;\\nBcc: c@d / regular";
    assert!(
        received[0]["text"].as_str().unwrap().contains(escaped),
        "{received:?}"
    );
    let plain = format!("{shown} / regular");
    for (text, kind) in [
        (&received[0]["blocks"][1]["text"], "plain_text"),
        (&received[1]["card"]["elements"][0]["text"], "plain_text"),
        (&received[2]["text"], ""),
    ] {
        let content = text["text"].as_str().or(text["content"].as_str()).unwrap();
        assert!(content.contains(&plain), "{content}");
        let found = text["type"].as_str().or(text["tag"].as_str()).unwrap_or_default();
        assert_eq!(found, kind);
    }
}

#[test]
fn long_messages_fit_what_chats_take() {
    let mut schedule = schedule();
    let layer = schedule
        .layers
        .iter()
        .find(|layer| layer.layer == "regular")
        .unwrap()
        .clone();
    schedule.candidate = "候".repeat(300);
    schedule.layers = (0..100)
        .map(|idx| {
            let mut layer = layer.clone();
            (layer.tenant, layer.reason) = (format!("{idx}{}", "租".repeat(500)), "由".repeat(5_000));
            layer
        })
        .collect();
    let long = of_schedule(&schedule, &Zone::UTC, None);
    let server = Server::start(vec![answer(200, "{\"code\": 0, \"errcode\": 0}")]);
    for kind in ["slack", "feishu", "dingtalk"] {
        assert!(send_all(&long, &[server.address(kind)])[0].is_sent);
    }
    let received = server.received();
    let slack = received[0].json();
    let length = |text: &Value| text.as_str().unwrap().chars().count();
    assert!(length(&slack["blocks"][0]["text"]["text"]) <= 150);
    assert!(length(&slack["blocks"][1]["text"]["text"]) <= 3_000);
    assert!(
        slack["blocks"][1]["text"]["text"]
            .as_str()
            .unwrap()
            .ends_with("...")
    );
    assert!(received[1..].iter().all(|request| request.body.len() < 20_000));
}

/// A program in the place of sendmail: writes its arguments and its input to a folder.
fn fake_sendmail(folder: &Path, more: &str) -> String {
    let path = folder.join("sendmail");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > '{0}/args'\ncat > '{0}/mail'\necho x >> '{0}/runs'\n{more}\n",
        folder.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    text(&path).to_owned()
}

/// Reads a message with Python's parser of RFC 5322. Returns headers and body.
fn parsed_mail(path: &Path) -> Value {
    let program = "import email, email.policy, json, sys\n\
        mail = email.message_from_file(open(sys.argv[1]), policy=email.policy.default)\n\
        print(json.dumps({'headers': {k: str(v) for k, v in mail.items()}, 'body': mail.get_content(),\
                          'defects': [str(d) for d in mail.defects]}))";
    let output = Command::new("python3")
        .args(["-c", program, text(path)])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn mail_is_a_message_that_other_programs_read() {
    let dir = tempfile::tempdir().unwrap();
    let sendmail = fake_sendmail(dir.path(), "");
    let schedule = dir.path().join("scenario.toml");
    let scenario = fs::read_to_string(root().join("scenarios/ecommerce.toml")).unwrap();
    fs::write(&schedule, scenario).unwrap();
    let env = [
        ("SLUICE_SENDMAIL", sendmail.as_str()),
        ("SLUICE_MAIL_FROM", "sluice@ops.example"),
    ];
    let output = notify(&["--to", "mailto:a@b.example,d+e@f.example"], &env);
    assert!(output.status.success(), "{output:?}");
    let args = fs::read_to_string(dir.path().join("args")).unwrap();
    assert_eq!(args, "-i\n-f\nsluice@ops.example\na@b.example\nd+e@f.example\n");
    let mail = parsed_mail(&dir.path().join("mail"));
    assert_eq!(mail["defects"], json!([]));
    let headers = mail["headers"].as_object().unwrap();
    let check = |name: &str, expected: &str| assert_eq!(headers[name], expected, "{name}");
    check("From", "sluice <sluice@ops.example>");
    check("To", "a@b.example, d+e@f.example");
    check("Subject", TEST_TITLE);
    check("MIME-Version", "1.0");
    check("Auto-Submitted", "auto-generated");
    check("X-Sluice-Event", "rollback");
    check("Content-Type", "text/plain; charset=\"utf-8\"");
    assert!(headers["Date"].as_str().unwrap().ends_with("+0000"));
    assert!(
        headers["Message-ID"]
            .as_str()
            .unwrap()
            .ends_with("@sluice.invalid>")
    );
    assert_eq!(headers.len(), 10);
    assert_eq!(mail["body"].as_str().unwrap(), format!("{TEST_BODY}\n"));
}

#[test]
fn failures_of_sendmail_are_outcomes() {
    let check = |more: &str, n_runs: usize, expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let sendmail = fake_sendmail(dir.path(), more);
        let output = notify(&["--to", "mailto:a@b.example"], &[("SLUICE_SENDMAIL", &sendmail)]);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(4), "{stdout}");
        assert!(stdout.contains(expected), "{stdout}");
        let runs = fs::read_to_string(dir.path().join("runs")).unwrap_or_default();
        assert_eq!(runs.lines().count(), n_runs, "{stdout}");
        let args = fs::read_to_string(dir.path().join("args")).unwrap();
        assert_eq!(args, "-i\na@b.example\n");
    };
    check("echo no route >&2; exit 69", 1, "(1 attempt): ");
    check("echo no route >&2; exit 69", 1, "ended with code 69: no route");
    check("exit 75", 3, "ended with code 75");
    check("kill -9 $$", 1, "ended with a signal");
    // A child that keeps stderr open does not hold the job.
    check("sleep 60 & exit 1", 1, "ended with code 1");
    let output = notify(
        &["--to", "mailto:a@b.example"],
        &[("SLUICE_SENDMAIL", "/no/such/program")],
    );
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("expected a program that runs, found: No such file")
    );
    let env = [("SLUICE_MAIL_FROM", "a@b\nBcc: c@d")];
    let output = notify(
        &["--to", "mailto:a@b.example"],
        &[&env[..], &[("SLUICE_SENDMAIL", "/bin/true")]].concat(),
    );
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("one address such as USER@HOST in SLUICE_MAIL_FROM")
    );
}

#[test]
fn files_get_one_line_a_notification() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.jsonl");
    let to = format!("file:{}", path.display());
    for event in ["guard", "failure"] {
        assert_eq!(
            ok(&["notify", "--to", &to, "--event", event]),
            format!("sent to {to} (1 attempt)\n")
        );
    }
    let lines = fs::read_to_string(&path).unwrap();
    let events: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone())
        .collect();
    assert_eq!(events, ["guard", "failure"]);
    let wrong = format!("file:{}/no/such/folder", dir.path().display());
    let output = notify(&["--to", &wrong, "--json"], &[]);
    assert_eq!(output.status.code(), Some(4));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        found[0],
        json!({
            "sink": wrong, "event": "rollback", "id": found[0]["id"], "is_sent": false, "n_attempts": 1,
            "reason": "could not be written: No such file or directory (os error 2)",
        })
    );
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(
        notify(&["--to", &format!("file:{}", link.display())], &[])
            .status
            .code(),
        Some(4)
    );
}

#[test]
fn addresses_and_secrets_come_from_the_environment() {
    let check = |args: &[&str], env: &[(&str, &str)], expected: &str| {
        let output = notify(args, env);
        let all = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!output.status.success() && all.contains(expected), "{all}");
        assert!(!all.contains("s3cret"), "{all}");
    };
    let url = "http://127.0.0.1:1/s3cret";
    check(
        &["--to", "slack:$NO_SUCH"],
        &[],
        "(0 attempts): expected the address in NO_SUCH, found no such variable",
    );
    check(
        &["--to", "slack:$SINK"],
        &[("SINK", "s3cret")],
        "SINK: expected a URL",
    );
    check(
        &["--to", "slack:https://u:s3cret@h/"],
        &[],
        "without user and password",
    );
    check(
        &["--to", "slack:$SINK"],
        &[("SINK", url)],
        "not sent to slack:$SINK (3 attempts)",
    );
    check(
        &["--to", &format!("slack:{url}")],
        &[],
        "not sent to slack:http://127.0.0.1:1/... (3 attempts)",
    );
    check(&[], &[], "--to <SINK>");
    check(
        &["--scenario", "scenarios/ecommerce.toml"],
        &[],
        "expected a sink that takes the event rollback",
    );
    let dir = tempfile::tempdir().unwrap();
    let scenario = fs::read_to_string(root().join("scenarios/ecommerce.toml")).unwrap();
    let path = dir.path().join("ramp.toml");
    let with = |entry: &str| fs::write(&path, format!("{scenario}\n[[notify]]\n{entry}\n")).unwrap();
    with("to = 'feishu:$SINK'\nsecret_env = 'NO_SUCH'\non = ['guard']");
    check(
        &["--scenario", text(&path)],
        &[],
        "expected a sink that takes the event rollback",
    );
    let args = ["--scenario", text(&path), "--event", "guard"];
    check(
        &args,
        &[("SINK", url)],
        "expected the signing secret in NO_SUCH, found no such variable",
    );
    let wrong = [
        (
            "to = 'slack:https://hooks.slack.com/s3cret'",
            "notify[1].to: expected an environment variable",
        ),
        ("to = 's3cret'", "notify[1].to: expected webhook:URL"),
        (
            "to = 'slack:$A'\non = ['fire']",
            "notify[1].on: expected \"rollback\" or",
        ),
        (
            "to = 'slack:$A'\non = []",
            "notify[1].on: expected at least one event",
        ),
        (
            "to = 'slack:$A'\nsecret_env = 'B'",
            "notify[1].secret_env: expected a sink of feishu or dingtalk",
        ),
        (
            "to = 'feishu:$A'\nsecret_env = 's3cret-'",
            "notify[1].secret_env: expected the name",
        ),
        (
            "to = 'file:a'\n[[notify]]\nto = 'file:a'",
            "notify[2].to: expected every sink once",
        ),
        ("on = ['guard']", "notify[1].to: expected the address of a sink"),
    ];
    for (entry, expected) in wrong {
        with(entry);
        check(&["--scenario", text(&path)], &[], expected);
    }
    // A relative path starts at the scenario's folder, and the test names plan and candidate.
    with("to = 'file:notes.jsonl'");
    assert!(ok(&["notify", "--scenario", text(&path)]).starts_with("sent to file:"));
    let line: Value = serde_json::from_slice(&fs::read(dir.path().join("notes.jsonl")).unwrap()).unwrap();
    assert_eq!(line["candidate"], "cs-agent-2026.05");
}

#[test]
fn run_and_schedule_notify_only_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let to = |name: &str| format!("file:{}", dir.path().join(name).display());
    let lines = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(dir.path().join(name)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let analysis = ecommerce().join("analysis.json");
    let decide = |out: &str, more: &[&str]| -> Output {
        let out = dir.path().join(out);
        let fixed = [
            "schedule",
            "--scenario",
            "scenarios/ecommerce.toml",
            "--analysis",
            text(&analysis),
        ];
        crate::support::sluice(&[&fixed[..], &["--out", text(&out)], more].concat())
    };
    assert!(decide("a", &["--notify", &to("sent.jsonl")]).status.success());
    let events: Vec<Value> = lines("sent.jsonl")
        .iter()
        .map(|line| line["event"].clone())
        .collect();
    assert_eq!(events, ["rollback", "promotion"]);
    // A sink that fails is a warning.
    let output = decide("b", &["--notify", "file:/no/such/folder/x"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success());
    assert!(
        stderr.contains("warning: notification of a rollback: not sent to file:/no/such"),
        "{stderr}"
    );
    assert_eq!(
        fs::read(dir.path().join("a/schedule.json")).unwrap(),
        fs::read(dir.path().join("b/schedule.json")).unwrap()
    );
    let error = fails(
        &[
            "run",
            "scenarios/ecommerce.toml",
            "--out",
            "x",
            "--notify",
            "slack:s3cret",
        ],
        2,
    );
    assert!(error.contains("expected a URL"), "{error}");
}
