//! A Chromium without a window, driven by its own protocol through a WebSocket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::eventually;

/// A browser with one page. It ends with this.
pub(super) struct Chromium {
    child: Child,
    stream: BufReader<TcpStream>,
    /// Which page commands are for.
    session: Option<String>,
    sent: u64,
    /// What the page has told and nobody has looked at.
    events: Vec<Value>,
    _profile: TempDir,
}

/// How wide and how dark a page is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_dark: bool,
}

impl Chromium {
    pub(super) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command
            .args([
                "--headless=new",
                "--remote-debugging-port=0",
                "--no-first-run",
            ])
            .args([
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            // It finds nobody but what is tested.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", profile.path().display()));
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        let command = command.arg("about:blank").stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("chromium");
        let (address, path) = listening(profile.path());
        let mut browser = Self {
            child,
            stream: connect(address, &path),
            session: None,
            sent: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let made = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let which = json!({"targetId": made["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &which);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for part in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{part}.enable"), &json!({}));
        }
        browser
    }

    pub(super) fn look(&mut self, look: Look) {
        let scheme = if look.is_dark { "dark" } else { "light" };
        let size = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Opens a page, and waits until it is loaded.
    pub(super) fn open(&mut self, url: &str) {
        self.events.clear();
        let answer = self.call("Page.navigate", &json!({"url": url}));
        assert_eq!(answer.get("errorText"), None, "{url}");
        self.loaded();
    }

    /// Waits until the page that comes is loaded.
    pub(super) fn loaded(&mut self) {
        let is_it = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_it) {
            let message = self.message();
            self.events.push(message);
        }
        self.events.retain(|event| !is_it(event));
    }

    /// What the page complained of since it was opened: exceptions, errors and warnings, refused contents.
    pub(super) fn complaints(&mut self) -> Vec<Value> {
        // What was told before the answer to this has arrived.
        self.run("0");
        let is_complaint = |event: &Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Log.entryAdded" => event["params"]["entry"]["level"] != "verbose",
            "Runtime.consoleAPICalled" => {
                ["error", "warning", "assert"].contains(&event["params"]["type"].as_str().unwrap())
            }
            _ => false,
        };
        let all = self.events.iter();
        all.filter(|it| is_complaint(it)).cloned().collect()
    }

    /// The value of a piece of JavaScript, or of what it promises.
    pub(super) fn run(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", &asked);
        assert_eq!(answer.get("exceptionDetails"), None, "{script}");
        answer["result"]["value"].take()
    }

    /// Waits until a piece of JavaScript is true.
    pub(super) fn wait(&mut self, script: &str) {
        let started = Instant::now();
        while self.run(script) != true {
            assert!(started.elapsed() < PATIENCE, "never: {script}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn press(&mut self, keys: &str) {
        let (held, key) = match keys.strip_prefix("Control+") {
            Some(key) => (2, key),
            None => (0, keys),
        };
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Space" => (32, " "),
            "End" => (35, ""),
            "f" => (70, ""),
            _ => panic!("{key}"),
        };
        let name = if key == "Space" { " " } else { key };
        let down = json!({
            "type": "keyDown", "key": name, "code": key, "text": text, "windowsVirtualKeyCode": code, "modifiers": held,
        });
        self.call("Input.dispatchKeyEvent", &down);
        let up = json!({"type": "keyUp", "key": name, "code": key, "windowsVirtualKeyCode": code, "modifiers": held});
        self.call("Input.dispatchKeyEvent", &up);
    }

    pub(super) fn write(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// What is to be seen, as PNG.
    pub(super) fn picture(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        let text = answer["data"].as_str().unwrap();
        BASE64.decode(text.as_bytes()).unwrap()
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.sent += 1;
        let id = self.sent;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        send(self.stream.get_mut(), message.to_string().as_bytes());
        loop {
            let mut message = self.message();
            if message["id"] == id {
                assert_eq!(message.get("error"), None, "{method}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    fn message(&mut self) -> Value {
        serde_json::from_slice(&receive(&mut self.stream)).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its children end with it when it is asked, not when it is killed.
        let close = json!({"id": 0, "method": "Browser.close"}).to_string();
        send(self.stream.get_mut(), close.as_bytes());
        drop(self.child.wait());
    }
}

/// Where it can be asked: it writes that into its profile.
fn listening(profile: &Path) -> (SocketAddr, String) {
    let file = profile.join("DevToolsActivePort");
    let text = eventually("chromium listens", || {
        std::thread::sleep(Duration::from_millis(20));
        let text = std::fs::read_to_string(&file).ok()?;
        (text.lines().count() == 2).then_some(text)
    });
    let (port, path) = text.split_once('\n').unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    (address, path.trim().to_owned())
}

/// A WebSocket, as far as it is needed here (RFC 6455).
fn connect(address: SocketAddr, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    .unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.contains(" 101 "), "{line}");
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    stream
}

/// One text in one frame. A client has to mask; a mask of zeros changes nothing.
fn send(stream: &mut TcpStream, text: &[u8]) {
    let mut frame = vec![0x81, 0xff];
    frame.extend(u64::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text);
    stream.write_all(&frame).unwrap();
}

/// The next message, of as many frames as it has.
fn receive(stream: &mut impl Read) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        let [first, length] = bytes(stream);
        let length = match length {
            126 => u64::from(u16::from_be_bytes(bytes(stream))),
            127 => u64::from_be_bytes(bytes(stream)),
            short => u64::from(short),
        };
        let read = stream.take(length).read_to_end(&mut message).unwrap();
        assert_eq!(u64::try_from(read).unwrap(), length);
        assert!(
            first & 0x0f <= 1,
            "neither a text nor the rest of one: {first}"
        );
        if first & 0x80 != 0 {
            return message;
        }
    }
}

fn bytes<const COUNT: usize>(stream: &mut impl Read) -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);
