//! The figures side by side.

use std::io::{self, Write};

use crate::arguments::Plan;
use crate::bulk;
use crate::measurement::{Measurement, Row, Target};
use crate::process::quantile;
use crate::stack::StackName;

/// All figures so far, and what is to be said under them; prints medians.
#[derive(Default)]
pub(crate) struct Table {
    figures: Vec<Entry>,
    notes: Vec<String>,
}

struct Entry {
    measurement: &'static str,
    key: String,
    stack: StackName,
    value: f64,
}

/// Rounds that differ by so much are remarked on.
const UNSTEADY: f64 = 2.0;

/// One row as text.
type Line = [String; 7];

impl Table {
    /// Takes the `<key> <value>` lines of a child.
    pub(crate) fn add(&mut self, measurement: &Measurement, stack: StackName, lines: &str) {
        let entry = |line: &str| {
            let (key, value) = line.split_once(' ')?;
            Some(Entry {
                measurement: measurement.name,
                key: key.to_owned(),
                stack,
                value: value.parse().ok()?,
            })
        };
        self.figures.extend(lines.lines().filter_map(entry));
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Whether `stack` was to be measured and there is no figure of it in some measurement.
    pub(crate) fn lacks(&self, stack: StackName, plan: &Plan) -> bool {
        let measured = |name| {
            self.figures
                .iter()
                .any(|one| one.measurement == name && one.stack == stack)
        };
        let asked = plan.measurements.iter().filter(|one| one.who.contains(&stack));
        plan.stacks.contains(&stack) && asked.into_iter().any(|one| !measured(one.name))
    }

    pub(crate) fn print(&self, out: &mut impl Write, measurements: &[&Measurement], markdown: bool) -> io::Result<()> {
        let header: Line = [
            "what",
            "unit",
            "Peerline",
            "× the best",
            "to reach",
            "floor",
            "the others, best first",
        ]
        .map(str::to_owned);
        let mut lines = vec![header];
        for measurement in measurements {
            lines.extend(measurement.rows.iter().filter_map(|row| self.line(measurement, row)));
        }
        print_lines(out, &lines, markdown)?;
        writeln!(out)?;
        let about_figures = measurements.iter().flat_map(|measurement| self.remarks(measurement));
        for note in self.notes.iter().cloned().chain(about_figures) {
            writeln!(out, "{}{note}", if markdown { "- " } else { "" })?;
        }
        Ok(())
    }

    /// A row; nothing if nobody was measured.
    fn line(&self, measurement: &Measurement, row: &Row) -> Option<Line> {
        let value = |stack| self.median(measurement, row, stack);
        if !measurement.who.iter().any(|&stack| value(stack).is_some()) {
            return None;
        }
        let mut others: Vec<(StackName, f64)> = StackName::ALL
            .into_iter()
            .filter(|stack| stack.is_peer())
            .filter_map(|stack| Some((stack, value(stack)?)))
            .collect();
        // The best first: the one to which anything compares worst.
        others.sort_by(|(_, one), (_, other)| row.ratio(1.0, *one).total_cmp(&row.ratio(1.0, *other)));

        let ours = value(StackName::Peerline);
        let ratio = ours.zip(others.first()).map(|(ours, (_, best))| row.ratio(ours, *best));
        let reached = match row.target {
            Target::None => None,
            Target::TimesBest(times) => ratio.map(|ratio| ratio >= times),
            Target::TimesFloor(times) => {
                let floor = value(StackName::Floor);
                ours.zip(floor)
                    .map(|(ours, floor)| row.ratio(ours, floor) * times >= 1.0)
            }
            Target::Value(target) => ours.map(|ours| row.ratio(ours, target) >= 1.0),
        };
        let target = match row.target {
            Target::None => String::new(),
            Target::TimesBest(times) => format!("{times}×"),
            Target::TimesFloor(times) => match ours.zip(value(StackName::Floor)) {
                Some((ours, floor)) => format!("floor × {times}: {:.2}", row.ratio(floor, ours)),
                None => format!("floor × {times}"),
            },
            Target::Value(value) => number(value),
        };
        let mark = reached.map_or("", |reached| if reached { " ✓" } else { " ✗" });
        let others: Vec<String> = others
            .into_iter()
            .map(|(stack, value)| format!("{} {}", stack.name(), number(value)))
            .collect();
        Some([
            row.what.to_owned(),
            row.unit.to_owned(),
            ours.map_or_else(dash, number),
            ratio.map_or_else(dash, |ratio| format!("{ratio:.2}×")),
            format!("{target}{mark}"),
            value(StackName::Floor).map_or_else(dash, number),
            others.join(" · "),
        ])
    }

    /// What a median does not tell: rounds that differ much, and losses.
    fn remarks(&self, measurement: &Measurement) -> Vec<String> {
        let mut remarks = Vec::new();
        for &stack in measurement.who {
            for row in measurement.rows {
                let values = self.values(measurement, row.key, stack);
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(0.0, f64::max);
                if most >= UNSTEADY * least {
                    let (least, most) = (number(least), number(most));
                    let about = format!("{}: {} to {most} {} of {}", row.what, least, row.unit, stack.name());
                    remarks.push(format!("unsteady: {about}"));
                }
            }
            let drops: f64 = self.values(measurement, bulk::DROPS, stack).iter().sum();
            if drops > 0.0 {
                let about = format!("{}: {} datagrams of {}", measurement.name, number(drops), stack.name());
                remarks.push(format!("no room in its receive buffer: {about}"));
            }
        }
        remarks
    }

    /// The median over the rounds.
    fn median(&self, measurement: &Measurement, row: &Row, stack: StackName) -> Option<f64> {
        let mut values = self.values(measurement, row.key, stack);
        (!values.is_empty()).then(|| quantile(&mut values, 0.5))
    }

    fn values(&self, measurement: &Measurement, key: &str, stack: StackName) -> Vec<f64> {
        let of = |one: &&Entry| one.measurement == measurement.name && one.key == key && one.stack == stack;
        self.figures.iter().filter(of).map(|one| one.value).collect()
    }
}

/// With columns of equal width, which a terminal shows well and Markdown does not mind.
fn print_lines(out: &mut impl Write, lines: &[Line], markdown: bool) -> io::Result<()> {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    // Text to the left, numbers to the right.
    let text = |column: usize| matches!(column, 0 | 1 | 6);
    let (edge, between) = if markdown { ("| ", " | ") } else { ("", "  ") };
    for (index, line) in lines.iter().enumerate() {
        let cell = |column: usize| {
            let (cell, width) = (&line[column], widths[column]);
            if text(column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        };
        let cells: Vec<String> = (0..line.len()).map(cell).collect();
        let end = if markdown { " |" } else { "" };
        writeln!(out, "{}", format!("{edge}{}{end}", cells.join(between)).trim_end())?;
        if index == 0 && markdown {
            let rules: Vec<&str> = (0..line.len())
                .map(|column| if text(column) { "---" } else { "--:" })
                .collect();
            writeln!(out, "|{}|", rules.join("|"))?;
        }
    }
    Ok(())
}

fn dash() -> String {
    "–".to_owned()
}

/// Three significant digits, with separators between thousands.
fn number(value: f64) -> String {
    match value {
        value if value >= 1_000.0 => thousands(value.round() as u64),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn thousands(value: u64) -> String {
    let (rest, last) = (value / 1_000, value % 1_000);
    if rest == 0 {
        last.to_string()
    } else {
        format!("{},{last:03}", thousands(rest))
    }
}
