//! `--capture` and `--key-log`: what connections say, for who looks into them with Wireshark.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use peerline::{Capture, Configuration, KeyLog};

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Write to this file, which Wireshark reads (pcapng), what connections say, decrypted. Whoever has the file has all of it.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Append the connections' secrets to this file (NSS format), so that Wireshark decrypts what it captures by itself. The environment
    /// variable `SSLKEYLOGFILE` does the same, as for browsers.
    #[arg(long, value_name = "FILE")]
    key_log: Option<PathBuf>,
}

/// What connections are told of it.
#[derive(Clone, Default)]
pub(crate) struct Insight {
    capture: Option<Capture>,
    key_log: Option<Arc<dyn KeyLog>>,
}

impl Options {
    /// Opens the files, if there are to be any, and warns.
    pub(crate) fn open(&self) -> Result<Insight, String> {
        let variable = std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty());
        let key_log = self.key_log.clone().or_else(|| variable.map(PathBuf::from));
        let mut insight = Insight::default();
        if let Some(path) = &self.capture {
            let output = Output::open(path, OpenOptions::new().write(true).truncate(true), "capture")?;
            eprintln!(
                "peerline: warning: what connections say goes to {}, unencrypted",
                path.display()
            );
            insight.capture = Some(Capture::new(move |block| output.write(block)));
        }
        if let Some(path) = key_log {
            let output = Output::open(&path, OpenOptions::new().append(true), "key log")?;
            eprintln!(
                "peerline: warning: the secrets of connections go to {}: with them anybody can decrypt what they say",
                path.display()
            );
            insight.key_log = Some(Arc::new(output));
        }
        Ok(insight)
    }
}

impl Insight {
    /// The configuration of a connection that is looked into, and else the default.
    pub(crate) fn configuration(&self) -> Configuration {
        Configuration {
            capture: self.capture.clone(),
            key_log: self.key_log.clone(),
            ..Configuration::default()
        }
    }
}

/// A file for the user alone. It ends with the first failure to write, which is told.
#[derive(Debug)]
struct Output {
    what: &'static str,
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Output {
    fn open(path: &Path, options: &mut OpenOptions, what: &'static str) -> Result<Self, String> {
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
        let file = options
            .create(true)
            .open(path)
            .map_err(|error| format!("cannot write the {what} to {}: {error}", path.display()))?;
        Ok(Self {
            what,
            path: path.to_owned(),
            file: Mutex::new(Some(file)),
        })
    }

    fn write(&self, bytes: &[u8]) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = file.as_mut().map(|file| file.write_all(bytes)) {
            eprintln!(
                "peerline: the {} in {} ends here: {error}",
                self.what,
                self.path.display()
            );
            *file = None;
        }
    }
}

/// A line of a label, the client's random and the secret, in hexadecimal.
impl KeyLog for Output {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.write(format!("{label} {} {}\n", hex(client_random), hex(secret)).as_bytes());
    }
}
