//! A real browser: headless Chromium, led by chromedriver.

use std::path::Path;
use std::process::Command;

use fantoccini::elements::Element;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use url::{ParseError, Url};

use super::programs::find;
use super::{Process, wait_for};

/// A window of Chromium. It is closed when its value is dropped.
pub struct Browser {
    runtime: Runtime,
    client: Client,
    _driver: Process,
}

impl Browser {
    /// Starts it, with all it keeps in `folder`; `None` with a message when it is not installed.
    ///
    /// It takes any certificate, sees no host but 127.0.0.1, and asks its maker for nothing.
    pub fn start(folder: &Path) -> Option<Browser> {
        let (driver, chromium) = (find("chromedriver")?, find("chromium")?);
        let driver = Process::spawn(&folder.join("chromedriver.log"), Command::new(driver).arg("--port=0"));
        let port = driver.line("started successfully on port ");
        let port = port.rsplit(' ').next().unwrap().trim_end_matches('.').to_owned();
        let profile = folder.join("chromium");
        let capabilities = json!({
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": chromium, "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
                "--disable-default-apps", "--hide-scrollbars", "--window-size=1440,900",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                format!("--user-data-dir={}", profile.display()),
            ]},
        });
        let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities).connect(&format!("http://127.0.0.1:{port}")).await
        });
        let browser = Browser { runtime, client: client.unwrap(), _driver: driver };
        let downloads = json!({"behavior": "allow", "downloadPath": folder.join("downloads")});
        browser.devtools("Browser.setDownloadBehavior", downloads);
        // Chromium's own first page is left, and what it asked for is forgotten.
        browser.open("about:blank");
        browser.requests();
        Some(browser)
    }

    pub fn open(&self, address: &str) {
        self.runtime.block_on(self.client.goto(address)).unwrap();
    }

    /// The first element of this selector, as soon as it is there.
    pub fn element(&self, css: &str) -> Element {
        wait_for(&format!("{css:?} in the page, which has\n{}", self.words()), || {
            self.runtime.block_on(self.client.find(Locator::Css(css))).ok()
        })
    }

    /// Clicks on it as soon as a click reaches it.
    pub fn click(&self, css: &str) {
        wait_for(&format!("a click on {css:?}"), || self.runtime.block_on(self.element(css).click()).ok());
    }

    /// Types in place of what is there.
    pub fn fill(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.runtime.block_on(element.clear()).unwrap();
        self.runtime.block_on(element.send_keys(text)).unwrap();
    }

    /// What is said there; nothing if there is no such element.
    pub fn text(&self, css: &str) -> String {
        let script = "const node = document.querySelector(arguments[0]); return node ? node.innerText : ''";
        self.run(script, &[css.into()]).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until these words are said there.
    pub fn says(&self, css: &str, words: &str) -> String {
        let mut said = String::new();
        wait_for_said(css, words, || {
            said = self.text(css);
            said.contains(words).then_some(()).ok_or_else(|| said.clone())
        });
        self.text(css)
    }

    /// Waits until there is no such element, or none that is shown.
    pub fn gone(&self, css: &str) {
        let script = "return ![...document.querySelectorAll(arguments[0])].some(node => node.getClientRects().length)";
        wait_for(&format!("{css:?} to go"), || (self.run(script, &[css.into()]) == true).then_some(()));
    }

    /// All words of the page.
    pub fn words(&self) -> String {
        self.text("body")
    }

    /// Runs a script; its value.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.runtime.block_on(self.client.execute(script, arguments.to_vec())).unwrap()
    }

    /// What the window shows, as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        self.runtime.block_on(self.client.screenshot()).unwrap()
    }

    /// A window of this size, in light or dark colours.
    pub fn show_as(&self, (width, height): (u32, u32), phone: bool, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", scheme);
    }

    /// What the console said since the last call, level and text.
    pub fn console(&self) -> Vec<(String, String)> {
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        self.log("browser").iter().map(|line| (text(line, "level"), text(line, "message"))).collect()
    }

    /// The addresses of all requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        let sent = |line: &Value| {
            let event: Value = serde_json::from_str(line["message"].as_str()?).ok()?;
            let message = &event["message"];
            let request = message["method"] == "Network.requestWillBeSent";
            Some(message["params"]["request"]["url"].as_str()?.to_owned()).filter(|_| request)
        };
        self.log("performance").iter().filter_map(sent).collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let lines = self.issue("se/log", json!({"type": kind}));
        lines.as_array().unwrap().clone()
    }

    fn devtools(&self, command: &str, parameters: Value) {
        self.issue("goog/cdp/execute", json!({"cmd": command, "params": parameters}));
    }

    fn issue(&self, path: &'static str, body: Value) -> Value {
        self.runtime.block_on(self.client.issue_cmd(Extra { path, body })).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.client.clone().close());
    }
}

/// Waits like [`wait_for`], and tells what was said instead.
fn wait_for_said(css: &str, words: &str, mut look: impl FnMut() -> Result<(), String>) {
    let begun = std::time::Instant::now();
    loop {
        let Err(said) = look() else { return };
        assert!(begun.elapsed() < super::SOON, "waited in vain for {words:?} in {css:?}, which says {said:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct Extra {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
