//! A browser with one page in it.

use crate::chromium::Chromium;
use crate::firefox::Firefox;
use crate::process::Process;
use crate::{Result, url_of};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// Chromium, or what calls itself so.
    Chromium,
    /// Firefox, or Firefox ESR.
    Firefox,
}

/// How a browser treats its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Candidates carry real addresses, loopback among them, as after a permission to use the microphone.
    OpenAddresses,
    /// As a user without permissions meets it: host candidates hide behind `.local` names.
    AsShipped,
    /// As [`OpenAddresses`](Self::OpenAddresses), with DTLS inside ICE's checks (SPED) and SCTP's handshake in the descriptions (SNAP)
    /// switched on; the log has SCTP's packets. Chromium alone has them.
    TwoTrips,
    /// As [`OpenAddresses`](Self::OpenAddresses), with congestion control feedback on streams (RFC 8888) switched on and offered. Chromium
    /// alone has it.
    ToldByStreams,
}

/// A browser with one page in it; dropping it ends the browser. The page's log is printed if that happens in a panic.
pub struct Page {
    browser: Browser,
    remote: Mutex<Remote>,
    process: Mutex<Process>,
}

enum Remote {
    Chromium(Chromium),
    Firefox(Firefox),
}

/// Both browsers start in less than four seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const NAVIGATION_LIMIT: Duration = Duration::from_secs(20);
const EVAL_LIMIT: Duration = Duration::from_secs(40);

impl Page {
    /// Starts `browser` and opens `name` of the folder `pages`.
    ///
    /// # Panics
    /// If that cannot be done: a test has nothing else to do then.
    pub fn open(browser: Browser, setup: Setup, name: &str) -> Self {
        Self::open_url(browser, setup, &url_of(name))
    }

    /// Starts `browser` and opens `url`.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn open_url(browser: Browser, setup: Setup, url: &str) -> Self {
        Self::launch(browser, setup, None, url)
    }

    /// [`open_url`](Self::open_url) in a browser that trusts the TURN servers whose certificates are signed by the authority in this
    /// file (PEM). Chromium takes any with [`OpenAddresses`](Setup::OpenAddresses), and has no use for the file.
    ///
    /// # Panics
    /// As `open_url` does.
    pub fn open_trusting(browser: Browser, setup: Setup, authority: &Path, url: &str) -> Self {
        Self::launch(browser, setup, Some(authority), url)
    }

    fn launch(browser: Browser, setup: Setup, authority: Option<&Path>, url: &str) -> Self {
        let deadline = Instant::now() + START_LIMIT;
        let launched = match browser {
            Browser::Chromium => {
                Chromium::launch(setup, deadline).map(|(remote, process)| (Remote::Chromium(remote), process))
            }
            Browser::Firefox => {
                Firefox::launch(setup, authority, deadline).map(|(remote, process)| (Remote::Firefox(remote), process))
            }
        };
        let (remote, process) = launched.unwrap_or_else(|error| panic!("{error}"));
        let page = Self {
            browser,
            remote: Mutex::new(remote),
            process: Mutex::new(process),
        };
        page.navigate(url);
        page
    }

    /// What the browser has written to its log so far.
    pub fn log(&self) -> String {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.log()
    }

    /// Which browser this is.
    pub fn browser(&self) -> Browser {
        self.browser
    }

    /// Leaves the page for `url`, and waits until that is loaded.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub fn navigate(&self, url: &str) {
        let navigated = match &mut *self.remote() {
            Remote::Chromium(chromium) => chromium.navigate(url, NAVIGATION_LIMIT),
            Remote::Firefox(firefox) => firefox.navigate(url, NAVIGATION_LIMIT),
        };
        navigated.unwrap_or_else(|error| panic!("{:?}: {error}", self.browser));
        self.eval(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))",
        );
    }

    /// The value of a JavaScript expression, awaited if it is a promise; what JSON cannot say is null.
    ///
    /// # Panics
    /// If it throws, rejects, or takes longer than 40 seconds.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        self.eval_within(EVAL_LIMIT, expression)
    }

    /// [`eval`](Self::eval), with a time limit of its own.
    ///
    /// # Panics
    /// If it throws, rejects, or takes longer than `limit`.
    #[track_caller]
    pub fn eval_within(&self, limit: Duration, expression: &str) -> Value {
        self.try_eval(limit, expression)
            .unwrap_or_else(|error| panic!("{:?}: {expression:.200}: {error}", self.browser))
    }

    /// Waits until a JavaScript expression is true.
    ///
    /// # Panics
    /// If it throws, or is not true within 40 seconds.
    #[track_caller]
    pub fn wait_for(&self, condition: &str) {
        self.eval(&format!(
            "(async () => {{ while (!({condition})) await new Promise(done => setTimeout(done, 10)); }})()"
        ));
    }

    /// Calls `function`, an expression, with `arguments`; otherwise [`eval`](Self::eval).
    ///
    /// # Panics
    /// As `eval` does.
    #[track_caller]
    pub fn call(&self, function: &str, arguments: &[Value]) -> Value {
        // JSON is JavaScript.
        let arguments: Vec<String> = arguments.iter().map(Value::to_string).collect();
        self.eval(&format!("({function})({})", arguments.join(", ")))
    }

    /// [`eval_within`](Self::eval_within) without panics.
    ///
    /// # Errors
    /// What the page threw, or what went wrong with the browser.
    pub fn try_eval(&self, limit: Duration, expression: &str) -> Result<Value> {
        // Both browsers do the same: the page awaits, catches, and makes a string of it.
        let expression = format!(
            "(async () => {{ try {{ return JSON.stringify({{value: await ({expression}) ?? null}}); }} \
             catch (error) {{ return JSON.stringify({{error: String(error) + '\\n' + (error?.stack ?? '')}}); }} }})()"
        );
        let text = match &mut *self.remote() {
            Remote::Chromium(chromium) => chromium.evaluate(&expression, limit),
            Remote::Firefox(firefox) => firefox.evaluate(&expression, limit),
        }?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|_| text)?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["value"].take()),
        }
    }

    /// Kills the browser as a power failure would: no goodbye reaches its peers.
    pub fn kill(&self) {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    fn remote(&self) -> MutexGuard<'_, Remote> {
        self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if thread::panicking() {
            // The program's own pages have a list of what happened.
            let log = "typeof lab === 'undefined' ? [...document.querySelectorAll('#trace li')].map((li) => li.textContent).join('\\n') : lab.log.join('\\n')";
            let log = self.try_eval(Duration::from_secs(5), log);
            let log = log.unwrap_or_else(|error| json!(format!("(none: {error})")));
            eprintln!(
                "--- log of the page in {:?}\n{}\n---",
                self.browser,
                log.as_str().unwrap_or_default()
            );
        }
    }
}
