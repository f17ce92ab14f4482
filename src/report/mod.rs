//! What was found and what was read, for people and for machines: a file for each format, all fed
//! with the same [`Run`]. Nothing here opens, reads or decides anything; text from outside comes
//! in as `Masked` and leaves escaped, as each format needs it.

mod checks;
mod csv;
mod github;
mod gitlab;
mod inventory;
mod json;
mod jsonl;
mod junit;
mod sarif;
mod text;
mod view;
mod wire;
mod words;

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;

pub use self::inventory::{InventoryForm, write_inventory};
pub use self::text::{Mode, Stopped};
pub use self::words::{count, human_bytes, human_time};
pub use crate::account::{Entry, Suppressions};
use crate::coverage::Coverage;
use crate::finding::Finding;
use crate::secret::Masked;
use crate::verdict::Checks;

/// A run, over.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// All findings, in any order; empty if the report [streams](Report::streams).
    pub findings: &'a [Finding],
    /// What was read and what wasn't.
    pub coverage: &'a Coverage,
    /// The baseline's loose ends.
    pub suppressions: &'a Suppressions,
    /// What is known of the keys beyond their bytes, if anybody asked.
    pub checks: Option<&'a Checks>,
    /// What was scanned, as the user named it.
    pub target: &'a Masked,
    /// The commit that was checked out, hexadecimal, where it is known.
    pub commit: Option<&'a str>,
    /// This program's version.
    pub version: &'a str,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// The exit status that the program is about to return.
    pub exit_code: u8,
}

/// One format's way to tell of a run. Whoever calls flushes `out`: after each finding if somebody
/// is waiting for it.
pub trait Report: Send {
    /// Whether findings are written as they come, so that [`Run::findings`] may be left empty and
    /// a scan without end needs no memory for them.
    fn streams(&self) -> bool {
        false
    }

    /// A finding, as soon as it is known. Formats that sort or group wait for the end.
    fn finding(&mut self, _finding: &Finding, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    /// The end of the run: whatever has not been written yet.
    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()>;
}

/// What a caller may choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Text in colour.
    pub color: bool,
    /// Whole keys in the field `secret`; only formats that [reveal](Format::reveals) heed it.
    pub reveal: bool,
    /// How much text says, and when.
    pub mode: Mode,
}

/// A format that can be asked for.
pub struct Format {
    /// The value of `--format`.
    pub name: &'static str,
    /// One line for the help.
    pub help: &'static str,
    /// Whether `--reveal` means anything to it.
    pub reveals: bool,
    /// Makes a report for one run.
    pub make: fn(&Options) -> Box<dyn Report>,
}

/// The formats. A new one is one file and one line here.
#[rustfmt::skip]
pub const FORMATS: &[Format] = &[
    Format { name: "text", help: "for people, grouped by key", reveals: false, make: |o| Box::new(text::Text::new(o)) },
    Format { name: "json", help: "one document (schema skewer.report/1)", reveals: true, make: |o| Box::new(json::Json::new(o)) },
    Format { name: "jsonl", help: "a line for each finding as it is found, then a summary (schema skewer.line/1)", reveals: true, make: |o| Box::new(jsonl::JsonLines::new(o)) },
    Format { name: "sarif", help: "SARIF 2.1.0, for code scanning", reveals: false, make: |_| Box::new(sarif::Sarif) },
    Format { name: "gitlab", help: "GitLab's secret detection report", reveals: false, make: |_| Box::new(gitlab::Gitlab) },
    Format { name: "github", help: "GitHub's workflow commands, shown as annotations", reveals: false, make: |_| Box::new(github::Github) },
    Format { name: "junit", help: "JUnit XML, a test case for each place", reveals: false, make: |_| Box::new(junit::Junit) },
    Format { name: "csv", help: "a row for each place", reveals: false, make: |_| Box::new(csv::Csv) },
];

/// The format of this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Most severe first, then by key, then by place: the same run makes the same report.
fn ordered(findings: &[Finding]) -> Vec<&Finding> {
    let mut all: Vec<&Finding> = findings.iter().collect();
    all.sort_by(|a, b| {
        b.rule
            .severity
            .cmp(&a.rule.severity)
            .then_with(|| a.fingerprint.cmp(&b.fingerprint))
            .then_with(|| a.location.cmp(&b.location))
    });
    all
}
