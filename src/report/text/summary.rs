//! What was read, what wasn't and why, and the last line: the answer.

use std::io::{self, Write};

use super::style::Paint;
use crate::coverage::{Coverage, Failure};
use crate::finding::{Finding, Severity, Status};
use crate::report::view::Totals;
use crate::report::words::grouped;
use crate::report::{Entry, Run, count, human_bytes, human_time, wire};

/// Failures and loose ends of the baseline beyond this many are counted.
const MOST_NAMED: usize = 10;

/// Keys that were there before the change.
pub(super) fn before(out: &mut dyn Write, paint: Paint, findings: &[&Finding]) -> io::Result<()> {
    let notes: Vec<&&Finding> = findings
        .iter()
        .filter(|finding| finding.status == Status::Before)
        .collect();
    if notes.is_empty() {
        return Ok(());
    }
    let places = count(notes.len() as u64, "place", "places");
    writeln!(
        out,
        "{} {places} held a key before this change:",
        paint.warn("Note:")
    )?;
    for finding in notes.iter().take(MOST_NAMED) {
        let (key, place) = (finding.secret.mask(), &finding.location);
        writeln!(out, "  {}  {}", paint.key(key), paint.place(place))?;
    }
    and_more(out, notes.len() as u64)?;
    writeln!(out)
}

fn and_more(out: &mut dyn Write, all: u64) -> io::Result<()> {
    match all.saturating_sub(MOST_NAMED as u64) {
        0 => Ok(()),
        more => writeln!(out, "  and {} more", grouped(more)),
    }
}

/// What was suppressed, and the baseline's loose ends.
pub(super) fn suppressions(
    out: &mut dyn Write,
    paint: Paint,
    run: &Run<'_>,
    totals: &Totals,
) -> io::Result<()> {
    let suppressed = totals.by_marker + totals.by_baseline;
    let mut parts = Vec::new();
    if totals.by_marker > 0 {
        parts.push(format!("{} by markers", grouped(totals.by_marker)));
    }
    if totals.by_baseline > 0 {
        parts.push(format!("{} by the baseline", grouped(totals.by_baseline)));
    }
    if suppressed > 0 {
        let findings = count(suppressed, "place", "places");
        writeln!(out, "Suppressed: {findings}, {}.", parts.join(" and "))?;
    }
    let (unused, expired) = (&run.suppressions.unused, &run.suppressions.expired);
    if !expired.is_empty() {
        let entries = count(expired.len() as u64, "suppression has", "suppressions have");
        writeln!(out, "{}", paint.warn(format_args!("{entries} expired:")))?;
        list(out, expired)?;
    }
    if !unused.is_empty() {
        let entries = count(
            unused.len() as u64,
            "suppression matches",
            "suppressions match",
        );
        writeln!(out, "{entries} nothing any more and can go:")?;
        list(out, unused)?;
    }
    match suppressed == 0 && expired.is_empty() && unused.is_empty() {
        true => Ok(()),
        false => writeln!(out),
    }
}

fn list(out: &mut dyn Write, entries: &[Entry]) -> io::Result<()> {
    for entry in entries.iter().take(MOST_NAMED) {
        write!(out, "  {}  {}", entry.what, entry.reason)?;
        match &entry.until {
            Some(day) => writeln!(out, " (until {})", wire::tame(day))?,
            None => writeln!(out)?,
        }
    }
    and_more(out, entries.len() as u64)
}

/// What was read, left out, missing, unreadable.
pub(super) fn coverage(out: &mut dyn Write, paint: Paint, run: &Run<'_>) -> io::Result<()> {
    let coverage = run.coverage;
    let remembered = match coverage.remembered.items {
        0 => String::new(),
        items => format!("; {} of them in an earlier run", grouped(items)),
    };
    writeln!(
        out,
        "Read {}, {}, in {}{remembered}.",
        count(coverage.read.items, "item", "items"),
        human_bytes(coverage.read.bytes),
        human_time(run.elapsed),
    )?;
    if coverage.members.items > 0 {
        let members = count(coverage.members.items, "member", "members");
        let bytes = human_bytes(coverage.members.bytes);
        writeln!(out, "Unpacked {members}, {bytes}.")?;
    }
    for what in &coverage.limited_to {
        writeln!(out, "Limited to {}.", paint.place(what))?;
    }
    if !coverage.excluded.is_empty() {
        writeln!(out, "Left out on purpose:")?;
    }
    for (why, tally) in &coverage.excluded {
        let bytes = match tally.bytes {
            0 => String::new(),
            bytes => format!(", {}", human_bytes(bytes)),
        };
        writeln!(
            out,
            "  {:>7} {}{bytes}",
            grouped(tally.items),
            why.explain()
        )?;
    }
    if !coverage.absent.is_empty() {
        writeln!(out, "Not here:")?;
    }
    for (what, items) in &coverage.absent {
        writeln!(out, "  {:>7} {what}", grouped(*items))?;
    }
    failed(out, paint, coverage)?;
    if !coverage.accepted.is_empty() {
        writeln!(out, "Could not read, as accepted beforehand:")?;
        name(out, paint, &coverage.accepted)?;
        and_more(out, coverage.accepted.len() as u64)?;
    }
    Ok(())
}

/// What could not be read.
pub(super) fn failed(out: &mut dyn Write, paint: Paint, coverage: &Coverage) -> io::Result<()> {
    if coverage.failed == 0 {
        return Ok(());
    }
    let items = count(coverage.failed, "item", "items");
    writeln!(
        out,
        "{}",
        paint.bad(format_args!("Could not read {items}:"))
    )?;
    name(out, paint, &coverage.failures)?;
    and_more(out, coverage.failed)
}

fn name(out: &mut dyn Write, paint: Paint, failures: &[Failure]) -> io::Result<()> {
    for failure in failures.iter().take(MOST_NAMED) {
        let why = wire::tame(&failure.why);
        writeln!(out, "  {}: {why}", paint.place(&failure.what))?;
    }
    Ok(())
}

/// The answer, in the last lines: there the eye is when the prompt returns.
pub(super) fn verdict(
    out: &mut dyn Write,
    paint: Paint,
    coverage: &Coverage,
    totals: &Totals,
) -> io::Result<()> {
    writeln!(out)?;
    if coverage.interrupted {
        let text = "! Stopped before the end: there may be more.";
        writeln!(out, "{}", paint.bad(text))?;
    }
    if totals.keys.is_empty() {
        return match coverage.is_complete() {
            true if coverage.limited_to.is_empty() => {
                writeln!(out, "{}", paint.good("✓ No keys found."))
            }
            true => {
                let text = "✓ No keys found in what the search was limited to.";
                writeln!(out, "{}", paint.good(text))
            }
            false => {
                let text = "! No keys found in what was read, but not everything was read.";
                writeln!(out, "{}", paint.warn(text))
            }
        };
    }
    let severities = [
        Severity::Critical,
        Severity::High,
        Severity::Medium,
        Severity::Low,
    ];
    let tally: Vec<String> = severities
        .into_iter()
        .map(|severity| {
            (
                severity,
                totals.keys.values().filter(|s| **s == severity).count(),
            )
        })
        .filter(|(_, keys)| *keys > 0)
        .map(|(severity, keys)| format!("{} {}", grouped(keys as u64), severity.as_str()))
        .collect();
    let text = format!(
        "✗ {} in {}: {}.",
        count(totals.keys.len() as u64, "key", "keys"),
        count(totals.places, "place", "places"),
        tally.join(", "),
    );
    writeln!(out, "{}", paint.bad(text))
}
