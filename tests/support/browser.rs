//! A headless Chromium, driven by chromedriver (W3C WebDriver).

use super::{PATIENCE, http};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

/// A browser with one window. It ends with the test.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// A window of this size in pixels. Its profile goes into `directory`.
    pub fn start(directory: &Path, width: u32, height: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver (Debian's chromium-driver; .ci/install peers)");
        let output = BufReader::new(driver.stdout.take().unwrap());
        let port = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver names its port");
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
        };
        let profile = format!("--user-data-dir={}", directory.join("profile").display());
        let window = format!("--window-size={width},{height}");
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                profile, window,
            ]},
        }}});
        let made = browser.ask("POST", "/session", &capabilities);
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    /// Shows the page as a phone of this size does: a window is never so narrow.
    pub fn phone(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size});
        self.command("/goog/cdp/execute", &command);
    }

    pub fn open(&self, url: &str) {
        self.command("/url", &json!({"url": url}));
    }

    /// Runs JavaScript in the page: the body of a function.
    pub fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression in JavaScript is true; of what is not on the page yet it is not.
    pub fn await_true(&self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        let script = format!(
            "try {{ return Boolean({expression}) }} catch (error) {{ return String(error) }}"
        );
        loop {
            let found = self.run(&script);
            if found == json!(true) {
                return;
            }
            let page = self.run("return document.body?.innerText");
            let late = Instant::now() >= end;
            assert!(!late, "never true: {expression}: {found}\n{page}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Clicks as a person does: the element must be visible and reachable.
    pub fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.command(&format!("/element/{element}/click"), &json!({}));
    }

    /// Answers the question that is open, by the word on the button.
    pub fn answer(&self, word: &str) {
        self.await_true("document.querySelector('#ask').open");
        self.click(&format!("#ask button[value={word}]"));
    }

    /// Types into a field.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.command(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// What the console said since the last call, as JSON; violations of the content
    /// security policy are among it.
    pub fn console(&self) -> Vec<Value> {
        let logged = self.command("/se/log", &json!({"type": "browser"}));
        logged.as_array().unwrap().clone()
    }

    /// A picture of the window, PNG in base64.
    pub fn screenshot(&self) -> String {
        let path = format!("/session/{}/screenshot", self.session);
        let shot = self.ask("GET", &path, &Value::Null);
        shot.as_str().unwrap().to_owned()
    }

    fn find(&self, selector: &str) -> String {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.command("/element", &query);
        let found = found.as_object().unwrap().values().next().unwrap();
        found.as_str().unwrap().to_owned()
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.ask("POST", &path, body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let kind = [("Content-Type", "application/json")];
        let answer = http::request(self.port, method, path, &kind, &body);
        assert_eq!(answer.code, 200, "{path} {body}: {}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with the session; killed first, it would leave it.
        let path = format!("/session/{}", self.session);
        if !self.session.is_empty() && !std::thread::panicking() {
            http::request(self.port, "DELETE", &path, &[], "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
