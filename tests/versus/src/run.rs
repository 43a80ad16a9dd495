//! The parent, which asks the children in turn, and the child, which measures.

use std::io::{Read, stdout};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::Result;
use crate::arguments::Plan;
use crate::measurement::{Effort, Measurement};
use crate::stack::StackName;
use crate::table::Table;

/// The hidden subcommand: `child <measurement> <stack> quick|full`.
pub(crate) const CHILD: &str = "child";

/// Measures what the plan names, each stack in turn, and prints the table.
pub(crate) fn parent(plan: &Plan) -> Result<()> {
    let mut table = Table::default();
    let mut missing = Vec::new();
    for &stack in &plan.stacks {
        let told = plan.not_built.iter().find(|(of, _)| *of == stack);
        if let Some(why) = stack.not_built() {
            missing.push(stack);
            let why = told.map_or(why, |(_, why)| why);
            table.note(format!("not built: {}: {why}", stack.name()));
        }
    }
    for &measurement in &plan.measurements {
        let mut taking_turns: Vec<StackName> = measurement.who.to_vec();
        taking_turns.retain(|stack| plan.stacks.contains(stack) && !missing.contains(stack));
        let rounds = measurement.rounds(plan.rounds);
        for round in 1..=rounds {
            // Whoever failed once is not asked again: a stall takes a minute to notice.
            taking_turns.retain(|&stack| {
                eprintln!("{} {round} of {rounds}: {}", measurement.name, stack.name());
                match ask(measurement, stack, plan) {
                    Ok(lines) => {
                        table.add(measurement, stack, &lines);
                        true
                    }
                    Err(error) => {
                        table.note(format!("failed: {} of {}: {error}", measurement.name, stack.name()));
                        false
                    }
                }
            });
        }
    }
    table.print(&mut stdout().lock(), &plan.measurements, plan.markdown)?;
    if table.lacks(StackName::Peerline, plan) {
        return Err("Peerline itself failed".into());
    }
    Ok(())
}

/// Runs a child and returns what it printed. One that hangs, wherever it does, is ended.
fn ask(measurement: &Measurement, stack: StackName, plan: &Plan) -> Result<String> {
    let effort = if plan.quick { "quick" } else { "full" };
    let mut child = Command::new(std::env::current_exe()?)
        .args([CHILD, measurement.name, stack.name(), effort])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // It says everything before it ends, or closes both when it is ended.
    let printed = read(child.stdout.take());
    let said = read(child.stderr.take());
    let ended = printed.recv_timeout(plan.limit);
    if ended.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    // Processes that it has started, and that may live on for a moment, have the other end of this as well.
    let said = said.recv_timeout(GRACE).unwrap_or_default();
    eprint!("{said}");
    let printed = ended.map_err(|_| format!("no result within {} s", plan.limit.as_secs()))?;
    if !status.success() {
        let last = said.lines().next_back().unwrap_or("no word");
        return Err(format!("{last} ({status})").into());
    }
    Ok(printed)
}

/// How long what a child has said is waited for once it has ended.
const GRACE: Duration = Duration::from_secs(10);

/// Everything that comes out of a pipe, once it is closed.
fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (whole, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is all there is.
            let _ = pipe.read_to_end(&mut bytes);
        }
        whole.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    receiver
}

/// Measures one thing of one stack and prints `<key> <value>` lines.
pub(crate) fn child(arguments: &[String]) -> Result<()> {
    let [measurement, stack, effort] = arguments else {
        return Err("child <measurement> <stack> quick|full".into());
    };
    let measurement = Measurement::by_name(measurement).ok_or("no such measurement")?;
    let stack = StackName::ALL
        .into_iter()
        .find(|one| one.name() == stack)
        .ok_or("no such stack")?;
    let effort = Effort::new(effort == "quick");

    // What `#[tokio::main]` makes, which is what the examples of all stacks run on.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let measuring = tokio::spawn(measurement.run(stack, effort));
        tokio::time::timeout(measurement.patience(), measuring).await
    });
    // What a stack still runs in the background is not waited for.
    runtime.shutdown_background();
    for (key, value) in result.map_err(|_| "stalled")??? {
        println!("{key} {value}");
    }
    Ok(())
}
