//! A tab of headless Chromium, through the pipes of its DevTools protocol.

use serde_json::{Value, json};
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use tempfile::TempDir;

use crate::support::ecommerce;

const PATIENCE: Duration = Duration::from_secs(60);
const NO_BROWSER: &str = "Chromium answers: run scripts/test, which installs it";

/// A tab in its own browser process.
pub(crate) struct Tab {
    child: Child,
    to: ChildStdin,
    from: Receiver<Vec<u8>>,
    session: Option<String>,
    next_id: u64,
    events: Vec<Value>,
    page: String,
    _profile: TempDir,
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Tab {
    pub(crate) fn new() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // File descriptors 3 and 4 are the pipes of the protocol. No port and no handshake are
        // needed.
        let mut child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
                "--no-first-run",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (send, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0) {
                if message.is_err() || send.send(message.unwrap()).is_err() {
                    break;
                }
            }
        });
        let mut tab = Self {
            child,
            to,
            from,
            session: None,
            next_id: 0,
            events: Vec::new(),
            page: String::new(),
            _profile: profile,
        };
        let target = tab.call("Target.createTarget", json!({"url": "about:blank"}));
        let session = tab.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        tab.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab.size(1200, 900);
        tab
    }

    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let mut message = json!({"id": self.next_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to
            .write_all(format!("{message}\0").as_bytes())
            .expect(NO_BROWSER);
        loop {
            let answer = self.read();
            if answer["id"] == self.next_id {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    fn read(&mut self) -> Value {
        let message = self.from.recv_timeout(PATIENCE).expect(NO_BROWSER);
        let message: Value = serde_json::from_slice(&message).unwrap();
        if message["method"].is_string() {
            self.events.push(message.clone());
        }
        message
    }

    pub(crate) fn size(&mut self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
    }

    pub(crate) fn media(&mut self, media: &str, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"media": media, "features": features}),
        );
    }

    pub(crate) fn open(&mut self, path: &Path) {
        self.page = format!("file://{}", path.display());
        self.events.clear();
        self.call("Page.navigate", json!({"url": self.page}));
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            self.read();
        }
    }

    pub(crate) fn eval(&mut self, script: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({"expression": script, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(
            answer["exceptionDetails"].is_null(),
            "{script}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    pub(crate) fn holds(&mut self, condition: &str) {
        let since = Instant::now();
        while self.eval(condition) != json!(true) {
            assert!(since.elapsed() < PATIENCE, "never true: {condition}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Errors, warnings, and requests for anything other than the page itself.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.eval("1");
        let complaint = |event: &Value| {
            let params = &event["params"];
            let bad = match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => ["error", "warning", "assert"]
                    .iter()
                    .any(|kind| params["type"] == *kind),
                "Log.entryAdded" => ["error", "warning"]
                    .iter()
                    .any(|level| params["entry"]["level"] == *level),
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str().unwrap_or_default();
                    url != self.page && !url.starts_with("data:") && !url.starts_with("blob:")
                }
                _ => false,
            };
            bad.then(|| params.to_string())
        };
        self.events.iter().filter_map(complaint).collect()
    }

    /// Opens every folded part, and scrolls over the page so that every chart is drawn.
    pub(crate) fn draw_all(&mut self) {
        self.eval("document.querySelectorAll('details').forEach((part) => { part.open = true; })");
        self.eval("(async () => { for (let y = 0; y < document.documentElement.scrollHeight; y += 500) { scrollTo(0, y); await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20))); } scrollTo(0, 0); })()");
        self.holds("[...document.querySelectorAll('figure')].every((f) => !f.querySelector('script.curves') || f.classList.contains('drawn') || f.closest('.out'))");
    }

    /// The number of charts with fewer than 300 painted pixels.
    pub(crate) fn empty_charts(&mut self) -> Value {
        self.eval(
            "[...document.querySelectorAll('.live')].filter((live) => { const c = live.querySelector('canvas'); \
             const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0; \
             for (let k = 3; k < d.length; k += 4) if (d[k] > 40) n += 1; return n < 300; }).length",
        )
    }

    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" && key.len() == 1 {
                key
            } else {
                ""
            };
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "text": text}),
            );
        }
    }

    pub(crate) fn choose(&mut self, key: &str, value: &str) {
        let value = json!(value);
        self.eval(&format!(
            "(() => {{ const s = document.getElementById('filter-{key}'); s.value = {value}; s.dispatchEvent(new Event('change')); }})()"
        ));
    }

    /// Findings of axe-core with impact `serious` or `critical`.
    pub(crate) fn barriers(&mut self) -> Vec<String> {
        let path =
            env::var("SLUICE_AXE").expect("SLUICE_AXE names axe-core: run scripts/test, which installs it");
        let axe = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{path}: {error}: run scripts/test, which installs it"));
        self.eval(&format!("{axe}\n1"));
        let found = self.eval(
            "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations \
             .filter((v) => ['serious', 'critical'].includes(v.impact)) \
             .map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + ' ' + n.failureSummary).join(' | ')}`))",
        );
        found.as_array().unwrap().iter().map(Value::to_string).collect()
    }
}

/// Copies the documents of the case study, so that a test can change them before it draws the
/// report.
pub(crate) fn copy_of_documents(folder: &Path) {
    for name in [
        "study.json",
        "layers.summary.json",
        "analysis.json",
        "schedule.json",
        "gate_report.json",
    ] {
        fs::copy(ecommerce().join(name), folder.join(name)).unwrap();
    }
}

pub(crate) fn write(path: &Path, value: &Value) {
    fs::write(path, serde_json::to_vec(value).unwrap()).unwrap();
}
