//! What tests need from the machine, and getting it.

use crate::shell;
use std::path::Path;
use std::process::Command;

/// A program or data that some tests cannot do without.
struct Tool {
    /// What it is for.
    purpose: &'static str,
    /// The Debian package that brings it.
    package: &'static str,
    present: fn() -> bool,
}

const TEST_TOOLS: [Tool; 14] = [
    Tool {
        purpose: "browser tests",
        package: "chromium",
        present: || on_path(&["chromium", "chromium-browser"]),
    },
    Tool {
        purpose: "browser tests",
        package: "firefox-esr",
        present: || on_path(&["firefox-esr", "firefox"]),
    },
    Tool {
        purpose: "authorities that Firefox is to trust",
        package: "libnss3-tools",
        present: || on_path(&["certutil"]),
    },
    Tool {
        purpose: "a font, without which browsers draw nothing",
        package: "fonts-dejavu-core",
        present: any_font,
    },
    Tool {
        purpose: "DTLS against another implementation",
        package: "openssl",
        present: || on_path(&["openssl"]),
    },
    Tool {
        purpose: "DTLS against a third implementation",
        package: "gnutls-bin",
        present: || on_path(&["gnutls-serv"]) && on_path(&["gnutls-cli"]),
    },
    Tool {
        purpose: "recordings read by another program",
        package: "ffmpeg",
        present: || on_path(&["ffmpeg"]) && on_path(&["ffprobe"]),
    },
    Tool {
        purpose: "captures read by Wireshark",
        package: "tshark",
        present: || on_path(&["tshark"]),
    },
    Tool {
        purpose: "SRTP against another implementation",
        package: "libsrtp2-dev",
        present: || header("srtp2/srtp.h"),
    },
    Tool {
        purpose: "libsrtp is C",
        package: "gcc",
        present: || on_path(&["cc"]),
    },
    Tool {
        purpose: "TURN against another implementation",
        package: "coturn",
        present: || on_path(&["turnserver"]) && on_path(&["turnutils_uclient"]),
    },
    Tool {
        purpose: "names of multicast DNS asked for by another program",
        package: "bind9-dnsutils",
        present: || on_path(&["dig"]),
    },
    Tool {
        purpose: "translators and firewalls made for a test",
        package: "nftables",
        present: || on_path(&["nft"]),
    },
    Tool {
        purpose: "networks made for a test",
        package: "iproute2",
        present: || on_path(&["ip"]),
    },
];

const FUZZ_TOOLS: [Tool; 1] = [Tool {
    purpose: "libFuzzer is C++",
    package: "g++",
    present: || on_path(&["g++", "c++", "clang++"]),
}];

/// The headers of the machine's OpenSSL.
const OPENSSL: Tool = Tool {
    purpose: "OpenSSL, to compare with",
    package: "libssl-dev",
    present: || header("openssl/ssl.h"),
};

const DATACHANNEL_TOOLS: [Tool; 4] = [
    OPENSSL,
    Tool {
        purpose: "libdatachannel is C++",
        package: "g++",
        present: || on_path(&["g++", "c++"]),
    },
    Tool {
        purpose: "libdatachannel is built by it",
        package: "cmake",
        present: || on_path(&["cmake"]),
    },
    Tool {
        purpose: "its bindings are read from its headers",
        package: "libclang-dev",
        present: libclang,
    },
];

/// GStreamer with WebRTC, from Python.
const GSTREAMER_TOOLS: [Tool; 7] = [
    gstreamer("python3-gst-1.0"),
    gstreamer("gir1.2-gst-plugins-base-1.0"),
    gstreamer("gir1.2-gst-plugins-bad-1.0"),
    gstreamer("gstreamer1.0-nice"),
    gstreamer("gstreamer1.0-plugins-base"),
    gstreamer("gstreamer1.0-plugins-good"),
    gstreamer("gstreamer1.0-plugins-bad"),
];

/// Each of its packages is there if all of it works.
const fn gstreamer(package: &'static str) -> Tool {
    Tool {
        purpose: "GStreamer as a WHIP client",
        package,
        present: gstreamer_works,
    }
}

/// Makes sure that everything is there that the tests use; see [`ensure`].
pub(crate) fn ensure_for_tests() -> Result<(), String> {
    ensure(&TEST_TOOLS)
}

/// Makes sure that fuzz targets can be built; see [`ensure`].
pub(crate) fn ensure_for_fuzzing() -> Result<(), String> {
    ensure(&FUZZ_TOOLS)
}

/// The packages without which GStreamer cannot be a client; first installs them if it may.
pub(crate) fn missing_for_gstreamer() -> Vec<String> {
    still_missing(&GSTREAMER_TOOLS)
}

/// The packages without which OpenSSL cannot be compared with; first installs them if it may.
pub(crate) fn missing_for_openssl() -> Vec<String> {
    still_missing(&[OPENSSL])
}

/// The packages without which libdatachannel cannot be compared with; first installs them if it may.
pub(crate) fn missing_for_datachannel() -> Vec<String> {
    still_missing(&DATACHANNEL_TOOLS)
}

/// What remains missing after an attempt to install it: for what can be done without.
fn still_missing(tools: &[Tool]) -> Vec<String> {
    if let Err(error) = ensure(tools) {
        eprintln!("{error}");
    }
    missing(tools).iter().map(|tool| tool.package.to_owned()).collect()
}

/// Installs what is missing where apt-get may do so; otherwise an error says exactly what to install.
fn ensure(tools: &[Tool]) -> Result<(), String> {
    if missing(tools).is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing(tools).iter().map(|tool| tool.package).collect();
    if on_path(&["apt-get"]) && is_root() {
        apt_get(&["update"])?;
        apt_get(&[&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat())?;
    }
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let list: String = missing
        .iter()
        .map(|tool| format!("\n  {} ({})", tool.package, tool.purpose))
        .collect();
    Err(format!(
        "These Debian packages, or what they contain, are missing:{list}\nInstall them:\n  sudo apt-get install -y --no-install-recommends {}",
        missing.iter().map(|tool| tool.package).collect::<Vec<_>>().join(" ")
    ))
}

fn missing(tools: &[Tool]) -> Vec<&Tool> {
    tools.iter().filter(|tool| !(tool.present)()).collect()
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    shell::run(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments),
    )
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Whether one of `programs` lies on `PATH` (or where administrators' programs do: `ip` may be outside a user's path).
fn on_path(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .into_iter()
        .any(|folder| programs.iter().any(|program| folder.join(program).is_file()))
}

fn header(path: &str) -> bool {
    // Debian puts those that depend on the machine in a folder named after it.
    let machine = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    ["/usr/include", "/usr/local/include", &machine]
        .iter()
        .any(|folder| Path::new(folder).join(path).is_file())
}

/// Where the generator of bindings looks for it.
fn libclang() -> bool {
    let list =
        "ls /usr/lib/llvm*/lib/libclang*.so* /usr/lib*/libclang*.so* /usr/lib/*-linux-gnu/libclang*.so* 2>/dev/null";
    let listed = Command::new("sh").args(["-c", list]).output();
    std::env::var_os("LIBCLANG_PATH").is_some() || listed.is_ok_and(|output| !output.stdout.is_empty())
}

fn gstreamer_works() -> bool {
    const SCRIPT: &str = "
import gi
for name in ('Gst', 'GstSdp', 'GstWebRTC'): gi.require_version(name, '1.0')
from gi.repository import Gst, GstSdp, GstWebRTC
Gst.init(None)
for name in ('webrtcbin', 'nicesrc', 'dtlsenc', 'srtpenc', 'vp8enc', 'rtpvp8pay', 'opusenc', 'rtpopuspay'):
    assert Gst.ElementFactory.find(name), name
";
    let python = Command::new("/usr/bin/python3").args(["-c", SCRIPT]).output();
    python.is_ok_and(|output| output.status.success())
}

fn any_font() -> bool {
    let known = Path::new("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf");
    let listed = || {
        Command::new("fc-list")
            .output()
            .is_ok_and(|output| !output.stdout.is_empty())
    };
    known.is_file() || listed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_only_that() {
        assert!(on_path(&["a-program-nobody-has", "sh"]));
        assert!(!on_path(&["a-program-nobody-has"]));
    }

    #[test]
    fn what_is_present_asks_for_nothing() {
        assert_eq!(
            ensure(&[Tool {
                purpose: "a shell",
                package: "dash",
                present: || on_path(&["sh"])
            }]),
            Ok(())
        );
    }
}
