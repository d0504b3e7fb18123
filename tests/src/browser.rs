//! A real browser: headless Chromium, driven over WebDriver (W3C), which is JSON over HTTP.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::lasting;
use crate::{Client, eventually};

/// One window. Dropped, it is closed.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: TempDir,
}

/// The Tab key, as WebDriver writes it.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

impl Browser {
    /// `None` where there is none on this machine.
    #[track_caller]
    pub fn start() -> Option<Self> {
        let found = |program: &str| Command::new(program).arg("--version").output().is_ok();
        if !found("chromedriver") || !found("chromium") {
            return None;
        }
        let mut driver = lasting("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a program that is there can be started");
        let said = BufReader::new(driver.stdout.take().expect("stdout is piped"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let profile = TempDir::new().expect("a temporary folder");
        let mut browser = Self {
            driver,
            address: format!("127.0.0.1:{}", port.expect("chromedriver says its port")),
            session: String::new(),
            _profile: profile,
        };
        let arguments = [
            "--headless=new",
            // Root may not have one, and what it shows is ours.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            // It ends with its driver, however that ends.
            "--remote-debugging-pipe",
            &format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let options = json!({ "binary": "/usr/bin/chromium", "args": arguments });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let session = browser.tell("POST", "/session", json!({ "capabilities": { "alwaysMatch": wanted } }));
        let id = session["sessionId"].as_str().expect("a session has a name");
        id.clone_into(&mut browser.session);
        Some(browser)
    }

    #[track_caller]
    pub fn open(&self, url: &str) {
        self.ask("POST", "/url", json!({ "url": url }));
    }

    /// What the body of a function returns in the page.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// The text of the first element that the selector finds.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.innerText ?? null", json!(selector));
        let text = self.run(&script);
        text.as_str().unwrap_or_default().trim().to_owned()
    }

    /// Waits until the script returns something that is neither null nor false.
    #[track_caller]
    pub fn wait(&self, what: &str, script: &str) -> Value {
        eventually(what, || {
            let value = self.run(script);
            (!value.is_null() && value != false).then_some(value)
        })
    }

    /// A window of that size, in light or dark.
    #[track_caller]
    pub fn look(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.command("Emulation.setDeviceMetricsOverride", size);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.command("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    #[track_caller]
    pub fn press(&self, key: &str) {
        let press = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let actions = json!([{ "type": "key", "id": "keyboard", "actions": press }]);
        self.ask("POST", "/actions", json!({ "actions": actions }));
    }

    /// Types where the focus is.
    #[track_caller]
    pub fn write(&self, text: &str) {
        text.chars().for_each(|key| self.press(&key.to_string()));
    }

    /// What the page and the browser have complained of since they were asked last.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let said = self.ask("POST", "/se/log", json!({ "type": "browser" }));
        let entries = said.as_array().cloned().unwrap_or_default();
        entries.iter().map(ToString::to_string).collect()
    }

    /// A command of the Chrome DevTools Protocol.
    #[track_caller]
    pub fn command(&self, name: &str, parameters: Value) -> Value {
        self.ask(
            "POST",
            "/goog/cdp/execute",
            json!({ "cmd": name, "params": parameters }),
        )
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        self.tell(method, &format!("/session/{}{path}", self.session), body)
    }

    #[track_caller]
    fn tell(&self, method: &str, path: &str, body: Value) -> Value {
        let body = body.to_string();
        let mut driver = Client::connect(&self.address);
        let length = body.len();
        driver.send(
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
        );
        // It keeps the connection, whatever it is asked.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.append(&mut driver.receive(1));
        }
        let head = String::from_utf8(head).expect("a head in UTF-8");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        });
        let said = driver.receive(length.expect("an answer says its length"));
        let said = std::str::from_utf8(&said).expect("an answer in UTF-8");
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path} {body}: {said}");
        let said: Value = serde_json::from_str(said).expect("an answer in JSON");
        said["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.ask("DELETE", "", json!({}));
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
