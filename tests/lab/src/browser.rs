//! A browser without a window, driven over a pipe.
//!
//! Facts: the Chrome DevTools Protocol, stable version 1.3: with `--remote-debugging-pipe` commands come on
//! file descriptor 3 and answers and events go to 4, as JSON that ends in a NUL. What a page cannot do
//! under its policy, such as running a script of a test, the protocol can.

use crate::tools;
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The longest that one answer takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<Value>,
    session: Option<String>,
    next: u64,
    /// Events that nobody has asked for yet.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be fetched or started.
    pub fn start() -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let program = tools::browser()?;
        // The shell moves the pipes to where the browser looks for them.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(program.get_program());
        command.args([
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            // Nothing is asked of a network.
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("Cannot run sh")?;
        let commands = child.stdin.take().context("The browser has no input")?;
        let output = child.stdout.take().context("The browser has no output")?;
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut text = Vec::new();
            while output.read_until(0, &mut text).is_ok_and(|read| read > 0) {
                let message = text.strip_suffix(&[0]).unwrap_or(&text);
                if let Ok(value) = serde_json::from_slice(message)
                    && tell.send(value).is_err()
                {
                    break;
                }
                text.clear();
            }
        });
        let mut browser = Self {
            child,
            commands,
            answers,
            session: None,
            next: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.ask("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": at(&target, "/targetId"), "flatten": true});
        let attached = browser.ask("Target.attachToTarget", &attach)?;
        browser.session = at(&attached, "/sessionId").as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.ask(domain, &json!({}))?;
        }
        Ok(browser)
    }

    /// A command's answer.
    ///
    /// # Errors
    /// The browser refuses it, ended, or says nothing for too long.
    pub fn ask(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let (Some(session), Some(members)) = (&self.session, message.as_object_mut()) {
            members.insert("sessionId".to_owned(), session.as_str().into());
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.commands
            .write_all(&bytes)
            .with_context(|| format!("The browser takes no {method}"))?;
        self.commands.flush()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self
                .message(deadline)
                .with_context(|| format!("No answer to {method}"))?;
            if *at(&message, "/id") != self.next {
                self.events.push(message);
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("{method}: {error}");
            }
            return Ok(at(&message, "/result").clone());
        }
    }

    fn message(&mut self, deadline: Instant) -> Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.answers
            .recv_timeout(left)
            .map_err(|_| anyhow!("the browser ended or is stuck"))
    }

    /// Opens a file and waits until it is there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(&mut self, file: &Path) -> Result<()> {
        self.events.clear();
        let url = format!("file://{}", file.display());
        let answer = self.ask("Page.navigate", &json!({"url": url}))?;
        if let Some(error) = at(&answer, "/errorText").as_str() {
            bail!("{url}: {error}");
        }
        self.loaded(&url)
    }

    /// Waits until a page is there.
    fn loaded(&mut self, url: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self
            .events
            .iter()
            .any(|event| at(event, "/method") == "Page.loadEventFired")
        {
            let event = self
                .message(deadline)
                .with_context(|| format!("{url} does not load"))?;
            self.events.push(event);
        }
        Ok(())
    }

    /// Clicks on the first element of a selector, a link, and waits for what it leads to.
    ///
    /// # Errors
    /// No element matches, the element takes no click, or nothing loads after the click.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        let found = self.evaluate(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}});
                const box = e.getClientRects()[0]; return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ))?;
        self.events.clear();
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": at(&found, "/0"), "y": at(&found, "/1"), "button": "left", "clickCount": 1,
            });
            self.ask("Input.dispatchMouseEvent", &event)?;
        }
        self.loaded(selector)
    }

    /// What an expression is in the page; a promise's value.
    ///
    /// # Errors
    /// It throws.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", &parameters)?;
        match answer.get("exceptionDetails") {
            Some(error) => bail!("{expression}: {}", at(error, "/exception/description")),
            None => Ok(at(&answer, "/result/value").clone()),
        }
    }

    /// Sets the size of the window in CSS pixels.
    ///
    /// # Errors
    /// The browser refuses.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", &size)
            .map(drop)
    }

    /// `light` or `dark`.
    ///
    /// # Errors
    /// The browser refuses.
    pub fn scheme(&mut self, scheme: &str) -> Result<()> {
        let features =
            json!({"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// Presses and releases a key.
    ///
    /// # Errors
    /// The browser refuses.
    pub fn press(&mut self, key: &str, code: u32, text: Option<&str>) -> Result<()> {
        let event = json!({
            "type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "text": text.unwrap_or_default(),
        });
        self.ask("Input.dispatchKeyEvent", &event)?;
        let up = json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code});
        self.ask("Input.dispatchKeyEvent", &up).map(drop)
    }

    /// What the console says since the page was opened: errors, warnings, exceptions, messages.
    pub fn said(&mut self) -> Vec<String> {
        while let Ok(event) = self.answers.try_recv() {
            self.events.push(event);
        }
        let told = self
            .events
            .iter()
            .filter_map(|event| match at(event, "/method").as_str()? {
                "Runtime.consoleAPICalled" => Some(at(event, "/params/args").to_string()),
                "Runtime.exceptionThrown" => {
                    Some(at(event, "/params/exceptionDetails").to_string())
                }
                "Log.entryAdded" => Some(at(event, "/params/entry").to_string()),
                _ => None,
            });
        told.collect()
    }

    /// Writes a picture of the whole page, of at most so many pixels in height.
    ///
    /// # Errors
    /// The browser refuses, or the file cannot be written.
    pub fn screenshot(&mut self, file: &Path, most: u32) -> Result<()> {
        let metrics = self.ask("Page.getLayoutMetrics", &json!({}))?;
        let size = |name: &str| at(&metrics, name).as_f64().unwrap_or(0.0);
        let height = size("/cssContentSize/height").min(f64::from(most));
        let width = size("/cssContentSize/width");
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let how = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.ask("Page.captureScreenshot", &how)?;
        decoded(at(&answer, "/data"), file)
    }

    /// Prints the page to a PDF.
    ///
    /// # Errors
    /// The browser refuses, or the file cannot be written.
    pub fn print(&mut self, file: &Path) -> Result<()> {
        let answer = self.ask("Page.printToPDF", &json!({"printBackground": true}))?;
        decoded(at(&answer, "/data"), file)
    }
}

/// A member by its JSON pointer; null without it.
fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// Writes bytes that came as base 64.
fn decoded(data: &Value, file: &Path) -> Result<()> {
    let text = data.as_str().context("The browser sent no data")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text)?;
    std::fs::write(file, bytes).with_context(|| format!("Cannot write {}", file.display()))
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
