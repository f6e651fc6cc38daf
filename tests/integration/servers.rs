//! Real servers for tests. Each listens on a free port, uses its own folder, and stops with its
//! test.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Returns a free local port. The port 10,000 above it is free, too: a node of a Redis cluster listens
/// there, and does not start if there is no such port.
pub(crate) fn free_port() -> u16 {
    // Ports that do not serve are held, so that the system offers others.
    let mut held = Vec::new();
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let above = port.checked_add(10_000);
        if above.is_some_and(|above| TcpListener::bind(("127.0.0.1", above)).is_ok()) {
            return port;
        }
        held.push(listener);
    }
}

/// Waits until a server accepts connections on a port.
pub(crate) fn wait_for_port(port: u16, what: &str) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{what} does not answer"
        );
        sleep(Duration::from_millis(20));
    }
}

/// A Redis server that stops when the value is dropped.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    folder: TempDir,
    more: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server with more settings.
    pub(crate) fn start(more: &[&str]) -> Self {
        let mut server = Self {
            port: free_port(),
            folder: tempfile::tempdir().unwrap(),
            more: more.iter().map(|text| (*text).to_owned()).collect(),
            child: None,
        };
        server.restart();
        server
    }

    /// Kills the server and starts it again in the same folder.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--dir",
                self.folder.path().to_str().unwrap(),
                "--save",
                "",
            ])
            .args(["--logfile", "redis.log"])
            .args(&self.more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("hint: scripts/test installs redis-server");
        self.child = Some(child);
        wait_for_port(self.port, "redis-server");
        // A server that loads its data answers with errors.
        let start = Instant::now();
        while self
            .try_ask(&["PING"])
            .is_none_or(|answer| answer.contains("LOADING"))
        {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "redis-server does not load: {}",
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends the server with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    fn try_ask(&self, parts: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(parts)
            .output()
            .ok()?;
        Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
    }

    /// The answer of the server's own client.
    pub(crate) fn ask(&self, parts: &[&str]) -> String {
        self.try_ask(parts)
            .expect("hint: scripts/test installs redis-tools")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
