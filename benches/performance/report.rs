//! What is printed: tables of measurements, and at the end each goal with what came of it.
//!
//! Must never show a goal as held that was not measured.

use std::fmt;

use crate::rounds::Ratio;

/// A table in Markdown.
pub(crate) struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(title: impl Into<String>, head: &[&str]) -> Self {
        Self {
            title: title.into(),
            head: head.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.head.len();
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (cell, width) in cells.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        writeln!(f, "\n### {}\n", self.title)?;
        line(f, &self.head)?;
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        line(f, &rule)?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// What is wanted of a number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Wanted {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(f64::INFINITY) => Ok(()),
            Self::AtLeast(least) => write!(f, "≥ {}", short(*least)),
            Self::AtMost(most) => write!(f, "≤ {}", short(*most)),
        }
    }
}

/// A goal and what came of it.
struct Goal {
    what: String,
    ours: String,
    reference: String,
    measured: Option<Ratio>,
    wanted: Wanted,
    why_not: String,
}

/// All goals of a run.
#[derive(Default)]
pub(crate) struct Goals {
    goals: Vec<Goal>,
}

impl Goals {
    /// Adds what was measured.
    pub(crate) fn measured(
        &mut self,
        what: impl Into<String>,
        (ours, reference): (String, String),
        ratio: Ratio,
        wanted: Wanted,
    ) {
        self.goals.push(Goal {
            what: what.into(),
            ours,
            reference,
            measured: Some(ratio),
            wanted,
            why_not: String::new(),
        });
    }

    /// Adds what could not be measured, and why.
    pub(crate) fn not_run(&mut self, what: impl Into<String>, why: &anyhow::Error, wanted: Wanted) {
        self.goals.push(Goal {
            what: what.into(),
            ours: String::new(),
            reference: String::new(),
            measured: None,
            wanted,
            why_not: format!("{why:#}"),
        });
    }

    /// Adds a part that went wrong.
    pub(crate) fn failed(&mut self, part: String, why: &anyhow::Error) {
        self.not_run(part, why, Wanted::AtLeast(f64::INFINITY));
    }

    /// Whether nothing with a goal was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.goals.is_empty()
    }

    /// Whether every goal was measured and holds.
    pub(crate) fn hold(&self) -> bool {
        self.goals.iter().all(|goal| {
            goal.measured
                .is_some_and(|ratio| goal.wanted.holds(ratio.median))
        })
    }

    /// All goals as a table.
    pub(crate) fn table(&self) -> Table {
        let head = ["what", "ours", "reference", "ratio", "noise", "goal", ""];
        let mut table = Table::new("Goals", &head);
        for goal in &self.goals {
            let (ratio, noise, verdict) = match goal.measured {
                Some(ratio) if goal.wanted.holds(ratio.median) => {
                    (short(ratio.median), noise(ratio), "holds".to_owned())
                }
                Some(ratio) => (short(ratio.median), noise(ratio), "**missed**".to_owned()),
                None => (
                    String::new(),
                    String::new(),
                    format!("not run: {}", goal.why_not),
                ),
            };
            table.push(vec![
                goal.what.clone(),
                goal.ours.clone(),
                goal.reference.clone(),
                ratio,
                noise,
                goal.wanted.to_string(),
                verdict,
            ]);
        }
        table
    }
}

/// The smallest and the largest.
pub(crate) fn noise(ratio: Ratio) -> String {
    format!("{}–{}", short(ratio.least), short(ratio.most))
}

/// A number with as many digits as say something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => thousands(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size > 0.0 && size < 0.1 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 && !text.ends_with('-') {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
