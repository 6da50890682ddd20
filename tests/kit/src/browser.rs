//! A real browser, driven by WebDriver (W3C) over loopback: as much of it as tests here need.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::skip;

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser with one page open; it ends with this value. What it is asked for and does not come
/// to be within twenty seconds fails the test.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one, or says that the test is skipped, since there is no chromedriver here.
    pub fn or_skip() -> Option<Self> {
        let browser = Self::start();
        if browser.is_none() {
            skip("there is no chromedriver: 'scripts/setup browser' installs it");
        }
        browser
    }

    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
        let port = port.port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        browser.wait("the driver", |browser| {
            let status = browser.try_ask("GET", "/status", &Value::Null)?;
            status["value"]["ready"].as_bool().filter(|ready| *ready).map(drop)
        });
        let mut arguments = vec![format!("--user-data-dir={}", browser._profile.path().display())];
        arguments.extend(
            [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ]
            .map(str::to_owned),
        );
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = browser.ask("POST", "/session", &wanted);
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        // The driver leaves the connection open, whatever it is asked.
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).ok()?;
        serde_json::from_slice(&answer).ok()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.try_ask(method, path, body).expect("an answer of the driver");
        let value = answer["value"].clone();
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value
    }

    fn here(&self, path: &str) -> String {
        format!("/session/{}{path}", self.session)
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &self.here(path), body)
    }

    fn wait<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        self.wait_for(PATIENCE, what, look)
    }

    fn wait_for<T>(&self, patience: Duration, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(since.elapsed() < patience, "waited in vain for {what}");
            // There is nothing to wait on in another process but its answers.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Goes to a page.
    pub fn open(&self, url: &str) {
        self.command("/url", &json!({"url": url}));
    }

    /// What a script gives back.
    pub fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    fn find(&self, css: &str) -> String {
        let body = json!({"using": "css selector", "value": css});
        self.wait(css, |browser| {
            let found = browser.try_ask("POST", &browser.here("/element"), &body)?;
            let element = found["value"].as_object()?.values().next()?.as_str()?;
            found["value"]["error"].is_null().then(|| element.to_owned())
        })
    }

    /// Clicks the first thing that a selector finds, when there is one.
    pub fn click(&self, css: &str) {
        let element = self.find(css);
        self.command(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into a field; into one for files, the path of a file.
    pub fn fill(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.command(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Waits until the page says something.
    pub fn sees(&self, text: &str) {
        self.sees_within(PATIENCE, text);
    }

    /// As [`Browser::sees`], of what takes longer.
    pub fn sees_within(&self, patience: Duration, text: &str) {
        let script = "return document.body ? document.body.innerText : ''";
        self.wait_for(patience, text, |browser| {
            let shown = browser.run(script);
            shown.as_str().filter(|shown| shown.contains(text)).map(drop)
        });
    }

    fn cdp(&self, command: &str, params: Value) -> Value {
        self.command("/goog/cdp/execute", &json!({"cmd": command, "params": params}))
    }

    /// How it looks: `width` in pixels, and the reader's wish.
    pub fn look(&self, width: u32, scheme: &str) {
        let is_small = width < 500;
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": is_small});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.cdp("Emulation.setEmulatedMedia", media);
    }

    /// A picture of the whole page.
    pub fn picture(&self, to: &Path) {
        let made = self.cdp("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        let data = made["data"].as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        std::fs::write(to, bytes).expect("written");
    }

    /// What the browser complained of since it was last asked: blocked scripts, missing files.
    pub fn complaints(&self) -> Vec<String> {
        let lines = self.command("/se/log", &json!({"type": "browser"}));
        let lines = lines.as_array().cloned().unwrap_or_default();
        let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        lines.iter().map(text).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.try_ask("DELETE", &self.here(""), &json!({}));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
