//! How many round trips pass from the answer's arrival to the first message on a data channel, in virtual time.
//!
//! Signalling takes as long as the path, half a round trip: the answerer, who knows of the offerer all it needs, begins that much
//! earlier. The offerer has created the channel, and sends as soon as it is open.

use std::time::Duration;

use bytes::Bytes;
use peerline_connection::Config;
use peerline_dtls::ProtocolVersion;
use peerline_sim::Link;

use super::{CONNECTING, Machine, Pair, Path, SETUP_SEND_BUFFER};
use crate::Result;
use crate::connection::Peerline;
use crate::measurement::{Figure, NOT_HERE};
use crate::process::now;
use crate::stack::StackName;

const ROUND_TRIP: Duration = Duration::from_millis(100);

/// The ways that this stack knows, each by its key.
pub(crate) fn measure(stack: StackName) -> Result<Vec<Figure>> {
    match stack {
        StackName::Peerline => WAYS.iter().map(peerline).collect(),
        #[cfg(feature = "peers")]
        StackName::Str0m => str0m(),
        #[cfg(feature = "peers")]
        StackName::Rtc => {
            let pair = crate::connection::Rtc::pair(now(), SETUP_SEND_BUFFER)?;
            Ok(vec![("dtls-1.2", round_trips(pair)?)])
        }
        _ => Err(NOT_HERE.into()),
    }
}

/// A key, the version of DTLS, and whether there are SNAP and SPED.
const WAYS: [(&str, ProtocolVersion, bool, bool); 4] = [
    ("dtls-1.2", ProtocolVersion::DTLS_1_2, false, false),
    ("dtls-1.3", ProtocolVersion::DTLS_1_3, false, false),
    ("snap", ProtocolVersion::DTLS_1_3, true, false),
    ("sped", ProtocolVersion::DTLS_1_3, true, true),
];

fn peerline(&(key, version, snap, sped): &(&'static str, ProtocolVersion, bool, bool)) -> Result<Figure> {
    let change = |config: &mut Config| {
        config.max_dtls_version = version;
        (config.snap, config.sped) = (snap, sped);
    };
    Ok((key, round_trips(<Peerline>::pair_with(now(), change)?)?))
}

/// It has no SPED.
#[cfg(feature = "peers")]
fn str0m() -> Result<Vec<Figure>> {
    use str0m::RtcConfig;
    use str0m::config::DtlsVersion;

    let ways = [
        ("dtls-1.2", DtlsVersion::Dtls12, false),
        ("dtls-1.3", DtlsVersion::Dtls13, false),
        ("snap", DtlsVersion::Dtls13, true),
    ];
    let figure = |(key, version, snap)| {
        let config = RtcConfig::new().set_dtls_version(version).set_snap_enabled(snap);
        let pair = crate::connection::Str0m::pair_with(now(), &config)?;
        Ok((key, round_trips(pair)?))
    };
    ways.into_iter().map(figure).collect()
}

/// Of two that have the other's description, the offerer first.
fn round_trips<M: Machine>(machines: [M; 2]) -> Result<f64> {
    let mut pair = Pair::of(machines, SETUP_SEND_BUFFER);
    let mut path = Path::new(&Link::delay(ROUND_TRIP / 2));
    let start = now();
    let answered = start + ROUND_TRIP / 2;
    let payload = Bytes::from_static(b"hello");
    let (mut now, mut sent) = (start, false);
    while now < start + CONNECTING {
        if now >= answered {
            sent = sent || pair.machines[0].is_open() && pair.machines[0].send(now, &payload)?;
            // Both are asked: some do nothing else without.
            if pair.machines[1].is_open() && pair.machines[1].recv(now).is_some() {
                return Ok((now - answered).div_duration_f64(ROUND_TRIP));
            }
            path.take(&mut pair, now)?;
            now = path.next(&mut pair, now);
            path.deliver(&mut pair, now)?;
            pair.fire(now)?;
        } else {
            path.take_from(1, &mut pair, now)?;
            now += STEP;
            let answerer = &mut pair.machines[1];
            if answerer.poll_timeout().is_some_and(|at| at <= now) {
                answerer.handle_timeout(now)?;
            }
        }
    }
    Err("no message".into())
}

/// What comes while the answer is under way is the answerer's timers alone, looked at this often.
const STEP: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `peerline-connection` without loss, but for the pace of checks: with SPED, each carries a part of a flight.
    #[test]
    fn it_is_what_the_tests_of_the_connection_say() {
        let figures = measure(StackName::Peerline).expect("figures");
        let expected = [("dtls-1.2", 4.5), ("dtls-1.3", 3.5), ("snap", 2.5), ("sped", 1.6)];
        assert_eq!(figures.len(), expected.len());
        for ((key, round_trips), (expected_key, expected)) in figures.into_iter().zip(expected) {
            assert_eq!(key, expected_key);
            assert!((round_trips - expected).abs() <= 0.1, "{key}: {round_trips}");
        }
    }
}
