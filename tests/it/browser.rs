//! A headless Chromium, driven over its DevTools protocol. Where there is none, tests of pages are
//! skipped, and print so.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// Limit of one answer.
const ANSWER: Duration = Duration::from_secs(60);

/// A running browser with one page.
pub(crate) struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    next_id: u64,
    /// What the page complained about: errors, and what its policy forbade.
    pub(crate) complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Browser {
    /// Opens a file in a window of this size; none without Chromium.
    pub(crate) fn open(file: &Path, (width, height): (u32, u32)) -> Option<Self> {
        let profile = tempfile::tempdir().expect("a folder");
        let started = ["chromium", "chromium-browser"].iter().find_map(|name| {
            Command::new(name)
                .args([
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--hide-scrollbars",
                ])
                .args(["--remote-debugging-port=0", "--no-first-run"])
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .arg(format!("--window-size={width},{height}"))
                .arg("about:blank")
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .ok()
        });
        let Some(mut process) = started else {
            eprintln!("SKIPPED: there is no Chromium to open the page in");
            return None;
        };
        let stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut lines = stderr.lines().map_while(Result::ok);
        let url = lines
            .find_map(|line| {
                line.strip_prefix("DevTools listening on ")
                    .map(str::to_owned)
            })
            .expect("it listens");
        std::thread::spawn(move || lines.for_each(drop)); // a full pipe would stop it
        let address = url.trim_start_matches("ws://").split('/').next();
        let stream = TcpStream::connect(address.expect("an address")).expect("connects");
        stream.set_read_timeout(Some(ANSWER)).expect("is set");
        let (socket, _) = client(url.as_str(), stream).expect("upgrades");
        let mut browser = Self {
            process,
            socket,
            session: None,
            next_id: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        browser.open_page(file);
        Some(browser)
    }

    fn open_page(&mut self, file: &Path) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", attach);
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Log.enable", "Runtime.enable", "Page.enable"] {
            self.call(domain, json!({}));
        }
        self.call(
            "Page.navigate",
            json!({ "url": format!("file://{}", file.display()) }),
        );
        self.until("Page.loadEventFired");
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        self.next_id += 1;
        let mut call = json!({ "id": self.next_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.socket
            .send(Message::text(call.to_string()))
            .expect("is sent");
        self.next_id
    }

    fn read(&mut self) -> Value {
        loop {
            let message = self.socket.read().expect("it answers in time");
            if let Message::Text(text) = message {
                let value: Value = serde_json::from_str(&text).expect("JSON");
                if let Some("Log.entryAdded" | "Runtime.exceptionThrown") = value["method"].as_str()
                {
                    self.complaints.push(value["params"].to_string());
                }
                return value;
            }
        }
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        loop {
            let mut value = self.read();
            if value["id"] == id {
                assert!(value["error"].is_null(), "{method}: {value}");
                return value["result"].take();
            }
        }
    }

    fn until(&mut self, event: &str) {
        while self.read()["method"] != event {}
    }

    /// The value of an expression, or of the promise that it returns.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", params);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].take()
    }

    pub(crate) fn text(&mut self, id: &str) -> String {
        let value = self.value(&format!("document.getElementById('{id}').textContent"));
        value.as_str().expect("a text").to_owned()
    }

    /// Waits until the text of an element is another one than now, after `doing` was done.
    pub(crate) fn text_after(&mut self, id: &str, doing: impl FnOnce(&mut Self)) -> String {
        let watch = format!(
            "window.changed = new Promise(done => new MutationObserver((_, watch) => {{ watch.disconnect(); done(); }}).observe(document.getElementById('{id}'), {{ childList: true, characterData: true, subtree: true }})), 0"
        );
        self.value(&watch);
        doing(self);
        self.value("window.changed.then(() => 0)");
        self.text(id)
    }

    /// Clicks at a share of the width of an element, with the mouse.
    pub(crate) fn click(&mut self, id: &str, share: f64) {
        let place = self.value(&format!(
            "(() => {{ const e = document.getElementById('{id}'); e.scrollIntoView({{ block: 'nearest' }}); const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; }})()"
        ));
        let at = |n: usize| place[n].as_f64().expect("a number");
        let (x, y) = (at(0) + at(2) * share, at(1) + at(3) / 2.0);
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    pub(crate) fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({ "type": kind, "key": key, "code": key }),
            );
        }
    }

    /// The page as a PNG.
    #[allow(dead_code, reason = "for pictures alone")]
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let text = picture["data"].as_str().expect("base64");
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .expect("base64")
    }

    /// Shows dark or light colours.
    #[allow(dead_code, reason = "for pictures alone")]
    pub(crate) fn theme(&mut self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// Switches scripts off, and loads the page again.
    pub(crate) fn without_script(&mut self) {
        self.call(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        );
        self.call("Page.reload", json!({}));
        self.until("Page.loadEventFired");
    }
}
