//! Firefox through Marionette: JSON arrays over TCP, each preceded by its length and a colon.

use crate::process::{Process, new_profile};
use crate::wire::Wire;
use crate::{Result, Setup};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const PROGRAMS: [&str; 2] = ["firefox-esr", "firefox"];

/// No first-run pages, no updates, no reports: nothing that would look for a network. Port 0: Firefox writes the one it
/// got to a file of the profile.
const PREFERENCES: [(&str, &str); 19] = [
    ("marionette.port", "0"),
    ("app.normandy.enabled", "false"),
    ("app.update.disabledForTesting", "true"),
    ("browser.aboutConfig.showWarning", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("browser.startup.homepage", "\"about:blank\""),
    ("browser.startup.page", "0"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("extensions.systemAddon.update.enabled", "false"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("network.dns.disableIPv6", "false"),
    ("services.settings.server", "\"data:,\""),
    ("toolkit.telemetry.enabled", "false"),
    ("toolkit.telemetry.server", "\"data:,\""),
    ("media.gmp-manager.updateEnabled", "false"),
    ("dom.ipc.processPrelaunch.enabled", "false"),
    ("media.autoplay.default", "0"),
    ("media.autoplay.blocking_policy", "0"),
];

/// With the permission to use a microphone, Firefox offers real addresses and loopback ones.
const OPEN_ADDRESSES: [(&str, &str); 6] = [
    ("media.navigator.streams.fake", "true"),
    ("media.navigator.permission.disabled", "true"),
    ("media.peerconnection.ice.obfuscate_host_addresses", "false"),
    ("media.peerconnection.ice.loopback", "true"),
    ("permissions.default.microphone", "1"),
    ("permissions.default.camera", "1"),
];

/// A script of Marionette's runs in a sandbox; the page's own `eval` runs the expression in the page.
const IN_THE_PAGE: &str =
    "const [expression, done] = arguments; window.eval(expression).then(done, e => done(String(e)));";

pub(crate) struct Firefox {
    wire: Wire,
    last_id: u64,
}

impl Firefox {
    /// With an authority that it is to trust, or none.
    pub(crate) fn launch(setup: Setup, authority: Option<&Path>, deadline: Instant) -> Result<(Self, Process)> {
        let profile = new_profile()?;
        write_preferences(&profile, setup)?;
        authority.map_or(Ok(()), |authority| trust(&profile, authority))?;
        let folder = profile.display().to_string();
        let arguments = [
            "-headless",
            "--marionette",
            "-no-remote",
            "-profile",
            &folder,
            "about:blank",
        ];
        let process = Process::start(&PROGRAMS, &arguments, profile)?;
        let launched = Self::connect(process.profile(), deadline);
        let firefox = launched.map_err(|error| format!("Firefox: {error}\n{}", process.log()))?;
        Ok((firefox, process))
    }

    fn connect(profile: &Path, deadline: Instant) -> Result<Self> {
        let stream = loop {
            let port = fs::read_to_string(profile.join("MarionetteActivePort")).unwrap_or_default();
            if let Ok(stream) = port.trim().parse().map_or(Err(()), |port: u16| {
                TcpStream::connect(("127.0.0.1", port)).map_err(|_| ())
            }) {
                break stream;
            }
            if Instant::now() > deadline {
                return Err("did not start in time".to_owned());
            }
            thread::sleep(Duration::from_millis(10));
        };
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let mut input = BufReader::new(stream.try_clone().map_err(|error| error.to_string())?);
        let wire = Wire::new(stream, move || {
            let mut length = Vec::new();
            input.read_until(b':', &mut length).ok()?;
            length.pop();
            let length: usize = std::str::from_utf8(&length).ok()?.parse().ok()?;
            let mut frame = vec![0; length];
            input.read_exact(&mut frame).ok()?;
            Some(frame)
        });
        let mut firefox = Self { wire, last_id: 0 };
        // {"applicationType":"gecko","marionetteProtocol":3}
        firefox.wire.receive(deadline)?;
        firefox.command("WebDriver:NewSession", &json!({}), deadline)?;
        Ok(firefox)
    }

    pub(crate) fn navigate(&mut self, url: &str, limit: Duration) -> Result<()> {
        self.command("WebDriver:Navigate", &json!({"url": url}), Instant::now() + limit)
            .map(|_| ())
    }

    /// Awaits the promise that `expression` evaluates to, and returns its string.
    pub(crate) fn evaluate(&mut self, expression: &str, limit: Duration) -> Result<String> {
        let milliseconds = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let parameters = json!({"script": IN_THE_PAGE, "args": [expression], "scriptTimeout": milliseconds});
        // Firefox keeps the limit too; its word says more than our silence.
        let deadline = Instant::now() + limit + Duration::from_secs(1);
        let result = self.command("WebDriver:ExecuteAsyncScript", &parameters, deadline)?;
        result["value"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("not a string: {result}"))
    }

    /// `[0, id, name, parameters]` is answered by `[1, id, error, result]`.
    fn command(&mut self, name: &str, parameters: &Value, deadline: Instant) -> Result<Value> {
        self.last_id += 1;
        let text = json!([0, self.last_id, name, parameters]).to_string();
        self.wire.send(format!("{}:{text}", text.len()).as_bytes())?;
        loop {
            let mut answer = self
                .wire
                .receive(deadline)
                .map_err(|error| format!("{name}: {error}"))?;
            if answer[1] != self.last_id {
                continue;
            }
            return match &answer[2] {
                Value::Null => Ok(answer[3].take()),
                error => Err(format!("{name}: {}: {}", error["error"], error["message"])),
            };
        }
    }
}

fn write_preferences(profile: &Path, setup: Setup) -> Result<()> {
    let mut text = String::new();
    let open: &[_] = match setup {
        Setup::OpenAddresses | Setup::TwoTrips | Setup::ToldByStreams => &OPEN_ADDRESSES,
        Setup::AsShipped => &[],
    };
    for (name, value) in PREFERENCES.iter().chain(open) {
        let _ = writeln!(text, "user_pref(\"{name}\", {value});");
    }
    fs::write(profile.join("user.js"), text).map_err(|error| format!("{}: {error}", profile.display()))
}

/// Has the profile trust what this authority has signed. What a test accepts for pages by a command of Marionette's counts for
/// pages alone: of a TURN server's certificate the profile's own store decides.
fn trust(profile: &Path, authority: &Path) -> Result<()> {
    let store = format!("sql:{}", profile.display());
    let authority = authority.display().to_string();
    let add = ["-A", "-n", "authority", "-t", "C,,", "-i", &authority];
    for arguments in [&["-N", "--empty-password"][..], &add] {
        let output = Command::new("certutil").args(arguments).args(["-d", &store]).output();
        let output = output.map_err(|error| format!("certutil, of libnss3-tools, does not run: {error}"))?;
        if !output.status.success() {
            return Err(format!("certutil: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(())
}
