//! The parent, which asks the children in turn, and the child, which measures.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::arguments::Plan;
use crate::measurement::{Effort, Figure, Measurement, Metric};
use crate::stack::{Peerline, StackName, Str0m, Webrtc};
use crate::table::Table;
use crate::{Result, floor};

/// The hidden subcommand: `child <measurement> <stack> quick|full`.
pub(crate) const CHILD: &str = "child";

/// No measurement takes this long: whoever does has stalled.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures what the plan names, each stack in turn, and prints the table.
pub(crate) fn parent(plan: &Plan) -> Result<()> {
    let mut table = Table::new(&plan.stacks);
    let mut failures = Vec::new();
    for &measurement in &plan.measurements {
        for round in 1..=plan.rounds {
            for &stack in &plan.stacks {
                eprintln!("{} {} of {}: {}", measurement.name(), round, plan.rounds, stack.name());
                match ask(measurement, stack, plan.quick) {
                    Ok(lines) => table.add(stack, figures(&lines)),
                    Err(error) => failures.push(format!("{} of {}: {error}", measurement.name(), stack.name())),
                }
            }
        }
    }
    print!("{table}");
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n").into())
    }
}

/// Runs a child and returns what it printed.
fn ask(measurement: Measurement, stack: StackName, quick: bool) -> Result<String> {
    let effort = if quick { "quick" } else { "full" };
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, measurement.name(), stack.name(), effort])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("failed, {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn figures(lines: &str) -> Vec<Figure> {
    let figure = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((Metric::from_key(key)?, value.parse().ok()?))
    };
    lines.lines().filter_map(figure).collect()
}

/// Measures one thing of one stack and prints `<metric> <value>` lines.
pub(crate) fn child(arguments: &[String]) -> Result<()> {
    let [measurement, stack, effort] = arguments else {
        return Err("child <measurement> <stack> quick|full".into());
    };
    let measurement = Measurement::ALL
        .into_iter()
        .find(|one| one.name() == measurement)
        .ok_or("no such measurement")?;
    let stack = StackName::ALL
        .into_iter()
        .find(|one| one.name() == stack)
        .ok_or("no such stack")?;
    let effort = Effort::new(effort == "quick");

    // What `#[tokio::main]` makes, which is what the examples of all stacks run on.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let measuring = async move {
            match stack {
                StackName::Peerline => measurement.run::<Peerline>(effort).await,
                StackName::Str0m => measurement.run::<Str0m>(effort).await,
                StackName::Webrtc => measurement.run::<Webrtc>(effort).await,
                StackName::Floor => floor::measure(measurement, effort).await,
            }
        };
        tokio::time::timeout(PATIENCE, tokio::spawn(measuring)).await
    });
    // What a stack still runs in the background is not waited for.
    runtime.shutdown_background();
    for (metric, value) in result.map_err(|_| "stalled")??? {
        println!("{} {value}", metric.key());
    }
    Ok(())
}
