//! The figures side by side, as a Markdown table.

use std::fmt;

use crate::measurement::{Figure, Metric};
use crate::process::quantile;
use crate::stack::StackName;

/// All figures so far; prints medians.
pub(crate) struct Table {
    stacks: Vec<StackName>,
    figures: Vec<(StackName, Figure)>,
}

impl Table {
    pub(crate) fn new(stacks: &[StackName]) -> Self {
        Self {
            stacks: stacks.to_vec(),
            figures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, stack: StackName, figures: Vec<Figure>) {
        self.figures.extend(figures.into_iter().map(|figure| (stack, figure)));
    }

    /// The median over the rounds.
    fn value(&self, stack: StackName, metric: Metric) -> Option<f64> {
        let mut values: Vec<f64> = self
            .figures
            .iter()
            .filter(|(of, (what, _))| *of == stack && *what == metric)
            .map(|(_, (_, value))| *value)
            .collect();
        (!values.is_empty()).then(|| quantile(&mut values, 0.5))
    }

    /// How many times better Peerline is than the best of the others; below 1 it is worse.
    fn ratio(&self, metric: Metric) -> Option<f64> {
        let ours = self.value(StackName::Peerline, metric)?;
        let others = StackName::OTHERS.iter().filter_map(|&stack| self.value(stack, metric));
        if metric.higher_is_better() {
            others.reduce(f64::max).map(|best| ours / best)
        } else {
            others.reduce(f64::min).map(|best| best / ours)
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Metric> = Metric::ALL
            .into_iter()
            .filter(|&metric| self.figures.iter().any(|(_, (what, _))| *what == metric))
            .collect();
        let compared = rows.iter().any(|&metric| self.ratio(metric).is_some());

        let mut header = vec![String::new()];
        header.extend(self.stacks.iter().map(|stack| stack.title().to_owned()));
        if compared {
            header.push("Peerline to the best other".to_owned());
        }
        let mut lines = vec![header];
        for metric in rows {
            let mut line = vec![metric.title().to_owned()];
            line.extend(self.stacks.iter().map(|&stack| number(self.value(stack, metric))));
            if compared {
                line.push(
                    self.ratio(metric)
                        .map_or_else(String::new, |ratio| format!("{ratio:.2}×")),
                );
            }
            lines.push(line);
        }
        write_lines(f, &lines)
    }
}

fn write_lines(f: &mut fmt::Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (index, line) in lines.iter().enumerate() {
        for (column, (text, &width)) in line.iter().zip(&widths).enumerate() {
            // Text to the left, numbers to the right.
            if column == 0 {
                write!(f, "| {text:<width$} |")?;
            } else {
                write!(f, " {text:>width$} |")?;
            }
        }
        writeln!(f)?;
        if index == 0 {
            for (column, &width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                write!(
                    f,
                    "{}",
                    if column == 0 {
                        format!("|{dashes}-|")
                    } else {
                        format!("{dashes}:|")
                    }
                )?;
            }
            writeln!(f)?;
        }
    }
    Ok(())
}

/// Three significant digits, with separators between thousands; a dash for what was not measured.
fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value >= 1_000.0 => thousands(value.round() as u64),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
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
