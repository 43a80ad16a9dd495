//! Chromium through the Chrome DevTools Protocol: JSON texts, each ended by a zero byte, over two pipes.

use crate::process::{Process, new_profile};
use crate::wire::Wire;
use crate::{Result, Setup};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

const PROGRAMS: [&str; 2] = ["chromium", "chromium-browser"];

/// Headless, as root, in a machine without GPU, sound or a way out.
const FLAGS: [&str; 17] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-sync",
    "--disable-crash-reporter",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.local",
    "--remote-debugging-pipe",
];

/// With the permission to use a microphone, Chromium offers real addresses, and with the third flag loopback ones. With the
/// last it takes any certificate of a TURN server.
const OPEN_ADDRESSES: [&str; 4] = [
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--ignore-certificate-errors",
];

/// Two field trials, and a log of all that WebRTC says of itself.
const TWO_TRIPS: [&str; 3] = [
    "--force-fieldtrials=WebRTC-IceHandshakeDtls/Enabled/WebRTC-Sctp-Snap/Enabled/",
    "--enable-logging=stderr",
    "--vmodule=*/webrtc/*=4",
];

/// Feedback on streams is offered, and answered with rather than that on the transport.
const TOLD_BY_STREAMS: &str = "--force-fieldtrials=WebRTC-RFC8888CongestionControlFeedback/Enabled,offer:true/";

pub(crate) struct Chromium {
    wire: Wire,
    session: Option<String>,
    last_id: u64,
}

impl Chromium {
    pub(crate) fn launch(setup: Setup, deadline: Instant) -> Result<(Self, Process)> {
        let profile = new_profile()?;
        let profile_flag = format!("--user-data-dir={}", profile.display());
        let mut flags = FLAGS.to_vec();
        match setup {
            Setup::OpenAddresses => flags.extend(OPEN_ADDRESSES),
            Setup::TwoTrips => flags.extend(OPEN_ADDRESSES.iter().chain(&TWO_TRIPS)),
            Setup::ToldByStreams => flags.extend(OPEN_ADDRESSES.iter().chain(&[TOLD_BY_STREAMS])),
            Setup::AsShipped => {}
        }
        flags.extend([profile_flag.as_str(), "about:blank"]);
        let mut process = Process::start(&PROGRAMS, &flags, profile)?;

        let (Some(output), Some(input)) = (process.watcher.stdin.take(), process.watcher.stdout.take()) else {
            return Err("Chromium has no pipes".to_owned());
        };
        let mut input = BufReader::new(input);
        let wire = Wire::new(output, move || {
            let mut frame = Vec::new();
            let length = input.read_until(0, &mut frame).ok()?;
            frame.pop();
            (length > 0).then_some(frame)
        });
        let mut chromium = Self {
            wire,
            session: None,
            last_id: 0,
        };
        chromium
            .attach(deadline)
            .map_err(|error| format!("Chromium: {error}\n{}", process.log()))?;
        Ok((chromium, process))
    }

    fn attach(&mut self, deadline: Instant) -> Result<()> {
        let target = self.command("Target.createTarget", &json!({"url": "about:blank"}), deadline)?;
        let parameters = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.command("Target.attachToTarget", &parameters, deadline)?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        Ok(())
    }

    pub(crate) fn navigate(&mut self, url: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let result = self.command("Page.navigate", &json!({"url": url}), deadline)?;
        match result["errorText"].as_str() {
            Some(error) => Err(format!("{url}: {error}")),
            None => Ok(()),
        }
    }

    /// Awaits the promise that `expression` evaluates to, and returns its string.
    pub(crate) fn evaluate(&mut self, expression: &str, limit: Duration) -> Result<String> {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.command("Runtime.evaluate", &parameters, Instant::now() + limit)?;
        if let Some(exception) = result.get("exceptionDetails") {
            return Err(format!("the script failed: {exception}"));
        }
        result["result"]["value"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("not a string: {result}"))
    }

    fn command(&mut self, method: &str, parameters: &Value, deadline: Instant) -> Result<Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut frame = message.to_string().into_bytes();
        frame.push(0);
        self.wire.send(&frame)?;
        loop {
            // Events, and answers to commands that were given up, are not for us.
            let mut answer = self
                .wire
                .receive(deadline)
                .map_err(|error| format!("{method}: {error}"))?;
            if answer["id"] != self.last_id {
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(format!("{method}: {error}")),
                None => Ok(answer["result"].take()),
            };
        }
    }
}
