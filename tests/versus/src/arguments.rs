//! What the command line asks for.

use crate::Result;
use crate::measurement::Measurement;
use crate::stack::StackName;

const USAGE: &str = "usage: peerline-versus [--quick] [--only <measurement>]… [--stack <stack>]… [--rounds <n>]
measurements: bulk-128k bulk-1m messages latency setup memory (a beginning is enough: `--only bulk`)
stacks: peerline str0m webrtc floor";

/// What to measure, of whom, and how often.
pub(crate) struct Plan {
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) stacks: Vec<StackName>,
    /// How often each stack has its turn; the table shows medians.
    pub(crate) rounds: usize,
    /// Seconds for everything, to see that it runs: the figures mean little.
    pub(crate) quick: bool,
}

pub(crate) fn parse(arguments: &[String]) -> Result<Plan> {
    let (mut measurements, mut stacks, mut rounds, mut quick) = (Vec::new(), Vec::new(), None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().map(String::as_str).ok_or(USAGE);
        match argument.as_str() {
            "--quick" => quick = true,
            "--only" => measurements.extend(beginning_with(&Measurement::ALL, value()?, Measurement::name)?),
            "--stack" => stacks.extend(beginning_with(&StackName::ALL, value()?, StackName::name)?),
            "--rounds" => rounds = Some(value()?.parse().map_err(|_| USAGE)?),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(Plan {
        measurements: if measurements.is_empty() {
            Measurement::ALL.to_vec()
        } else {
            measurements
        },
        stacks: if stacks.is_empty() {
            StackName::ALL.to_vec()
        } else {
            stacks
        },
        rounds: rounds.unwrap_or(if quick { 1 } else { 3 }).max(1),
        quick,
    })
}

/// Those of `all` whose name begins with `text`: at least one.
fn beginning_with<T: Copy>(all: &[T], text: &str, name: impl Fn(T) -> &'static str) -> Result<Vec<T>> {
    let found: Vec<T> = all.iter().copied().filter(|&one| name(one).starts_with(text)).collect();
    if found.is_empty() { Err(USAGE.into()) } else { Ok(found) }
}
