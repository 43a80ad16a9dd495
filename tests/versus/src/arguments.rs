//! What the command line asks for.

use std::io::{self, Write};
use std::time::Duration;

use crate::Result;
use crate::measurement::{MEASUREMENTS, Measurement};
use crate::stack::StackName;

const USAGE: &str =
    "usage: peerline-versus [--quick] [--only <measurement>]… [--stack <stack>]… [--rounds <n>] [--markdown]
                       [--limit <seconds>] [--not-built <stack>=<why>]…
       peerline-versus --list
The beginning of a name is enough: `--only bulk`; `--list` names them all.";

/// Twice as long as a child that is well would wait for what it measures; those that stall say so much sooner.
const LIMIT: Duration = Duration::from_secs(600);

/// What is to be done.
pub(crate) enum Request {
    List,
    Measure(Plan),
}

/// What to measure, of whom, and how often.
pub(crate) struct Plan {
    pub(crate) measurements: Vec<&'static Measurement>,
    pub(crate) stacks: Vec<StackName>,
    /// How often each stack has its turn; the table shows medians.
    pub(crate) rounds: usize,
    /// Seconds for everything, to see that it runs: the figures mean little.
    pub(crate) quick: bool,
    /// How long one measurement of one stack may take, all its processes included.
    pub(crate) limit: Duration,
    /// A table to paste, instead of one to read here.
    pub(crate) markdown: bool,
    /// What whoever built this program knows of stacks that are not in it.
    pub(crate) not_built: Vec<(StackName, String)>,
}

pub(crate) fn parse(arguments: &[String]) -> Result<Request> {
    let mut plan = Plan {
        measurements: Vec::new(),
        stacks: Vec::new(),
        rounds: 0,
        quick: false,
        limit: LIMIT,
        markdown: false,
        not_built: Vec::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().map(String::as_str).ok_or(USAGE);
        match argument.as_str() {
            "--list" => return Ok(Request::List),
            "--quick" => plan.quick = true,
            "--markdown" => plan.markdown = true,
            "--only" => plan
                .measurements
                .extend(beginning_with(MEASUREMENTS.iter(), value()?, |one| one.name)?),
            "--stack" => plan.stacks.extend(called(value()?)?),
            "--limit" => plan.limit = Duration::from_secs(value()?.parse().map_err(|_| USAGE)?),
            "--rounds" => plan.rounds = value()?.parse().map_err(|_| USAGE)?,
            "--not-built" => {
                let (name, why) = value()?.split_once('=').ok_or(USAGE)?;
                plan.not_built
                    .extend(called(name)?.into_iter().map(|stack| (stack, why.to_owned())));
            }
            _ => return Err(USAGE.into()),
        }
    }
    if plan.measurements.is_empty() {
        plan.measurements = MEASUREMENTS.iter().collect();
    }
    if plan.stacks.is_empty() {
        plan.stacks = StackName::ALL.to_vec();
    }
    if plan.rounds == 0 {
        plan.rounds = if plan.quick { 1 } else { 3 };
    }
    Ok(Request::Measure(plan))
}

/// The stack of this name, or else those whose names begin so (`rtc` is one, and `rtc-sctp` another).
fn called(name: &str) -> Result<Vec<StackName>> {
    match StackName::ALL.into_iter().find(|stack| stack.name() == name) {
        Some(stack) => Ok(vec![stack]),
        None => beginning_with(StackName::ALL.into_iter(), name, |stack| stack.name()),
    }
}

/// Those of `all` whose name begins with `text`: at least one.
fn beginning_with<T: Copy>(all: impl Iterator<Item = T>, text: &str, name: fn(T) -> &'static str) -> Result<Vec<T>> {
    let found: Vec<T> = all.filter(|&one| name(one).starts_with(text)).collect();
    if found.is_empty() {
        return Err(format!("nothing is called {text}…\n{USAGE}").into());
    }
    Ok(found)
}

/// Every measurement with who can be measured by it.
pub(crate) fn list(out: &mut impl Write) -> io::Result<()> {
    for Measurement { name, rows, who, .. } in MEASUREMENTS {
        writeln!(out, "{name}")?;
        for row in *rows {
            writeln!(out, "    {}: {}", row.what, row.unit)?;
        }
        let who: Vec<&str> = who.iter().map(|stack| stack.name()).collect();
        writeln!(out, "    of {}", who.join(" "))?;
    }
    Ok(())
}
