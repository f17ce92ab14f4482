//! Comma-separated values. A row with a comment behind the table would be no CSV, so what was not
//! read has rows of its own, told apart by the first column: `failed` (one for each failure that
//! was kept, and one that counts the rest) and `interrupted`.

use std::borrow::Cow;
use std::io::{self, Write};

use ::csv::{self, Terminator, WriterBuilder};

use super::checks::sentence;
use super::view::{parts, status_word, suppressed_by, suppression_text};
use super::{Report, Run, count, ordered, wire};
use crate::finding::{Finding, Status};

pub(super) struct Csv;

const COLUMNS: [&str; 16] = [
    "status",
    "severity",
    "confidence",
    "rule",
    "title",
    "key",
    "fingerprint",
    "place",
    "line",
    "column",
    "offset",
    "length",
    "decoders",
    "context",
    "suppressed_by",
    "note",
];

type Row = [String; COLUMNS.len()];

fn row(finding: &Finding) -> Row {
    let location = &finding.location;
    let number = |n: u64| match location.has_lines() {
        true => n.to_string(),
        false => String::new(),
    };
    let (before, key, after) = parts(&finding.context);
    let (by, note) = match &finding.status {
        Status::Suppressed(why) => (suppressed_by(why), suppression_text(why)),
        Status::Counts | Status::Before => ("", ""),
    };
    [
        status_word(&finding.status).to_owned(),
        finding.rule.severity.as_str().to_owned(),
        finding.confidence.as_str().to_owned(),
        finding.rule.id.clone(),
        wire::tame(&finding.rule.title).to_string(),
        finding.secret.mask().to_string(),
        finding.fingerprint.to_string(),
        location.named().to_string(),
        number(location.line),
        number(location.column),
        location.offset.to_string(),
        location.length.to_string(),
        finding.decoders.join(" "),
        format!("{before}{key}{after}"),
        by.to_owned(),
        wire::tame(note).to_string(),
    ]
}

fn not_read(status: &str, place: String, note: String) -> Row {
    let mut row = Row::default();
    row[0] = status.to_owned();
    row[7] = place;
    row[COLUMNS.len() - 1] = note;
    row
}

/// Spreadsheets take a cell that begins so for a formula; an apostrophe makes text of it.
pub(super) fn guarded(cell: &str) -> Cow<'_, str> {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{cell}").into(),
        false => cell.into(),
    }
}

/// What the writer underneath said: a closed pipe must stay one.
pub(super) fn said(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("can't write CSV: {other:?}")),
    }
}

impl Report for Csv {
    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mut table = WriterBuilder::new()
            .terminator(Terminator::CRLF)
            .from_writer(out);
        // A column more where somebody asked about the keys.
        let mut write = |row: &Row, more: Option<String>| {
            let cells = row.iter().chain(more.as_ref());
            table
                .write_record(cells.map(|cell| guarded(cell).into_owned()))
                .map_err(said)
        };
        let more = |one: &str| run.checks.map(|_| one.to_owned());
        write(&COLUMNS.map(str::to_owned), more("verification"))?;
        for finding in ordered(run.findings) {
            let known = sentence(run.checks, finding).unwrap_or_default();
            write(&row(finding), more(&known))?;
        }
        let coverage = run.coverage;
        for failure in &coverage.failures {
            let why = wire::tame(&failure.why).to_string();
            write(&not_read("failed", failure.what.to_string(), why), more(""))?;
        }
        let rest = coverage
            .failed
            .saturating_sub(coverage.failures.len() as u64);
        if rest > 0 {
            let note = format!(
                "{} could not be read",
                count(rest, "more item", "more items")
            );
            write(&not_read("failed", String::new(), note), more(""))?;
        }
        if coverage.interrupted {
            let note = "stopped before the end: this table is not whole".to_owned();
            write(&not_read("interrupted", String::new(), note), more(""))?;
        }
        table.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_become_formulas() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(guarded(cell), format!("'{cell}"));
        }
        assert_eq!(guarded("a=1"), "a=1");
        assert_eq!(guarded(""), "");
    }
}
