//! GitHub's workflow commands: lines such as `::error file=a.py,line=3::text`, which the runner
//! shows beside the code. Its escapes are those of `@actions/core`: `%`, line ends, and in
//! properties `:` and `,` too.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::checks::sentence;
use super::view::{Totals, suppressed_by, suppression_text};
use super::{Report, Run, count, ordered};
use crate::finding::{Finding, Status};
use crate::secret::{Masked, is_unsafe_to_show};

pub(super) struct Github;

fn escape(text: &str, in_property: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            ':' if in_property => out.push_str("%3A"),
            ',' if in_property => out.push_str("%2C"),
            c if is_unsafe_to_show(c) => {
                write!(out, "{}", c.escape_unicode()).expect("a String takes all")
            }
            c => out.push(c),
        }
    }
    out
}

fn property(text: &Masked) -> String {
    escape(&text.text(), true)
}

fn annotate(
    out: &mut dyn Write,
    level: &str,
    place: &str,
    title: &str,
    message: &str,
) -> io::Result<()> {
    let comma = if place.is_empty() { "" } else { "," };
    let title = escape(title, true);
    let message = escape(message, false);
    writeln!(out, "::{level} {place}{comma}title={title}::{message}")
}

fn finding(run: &Run<'_>, finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let location = &finding.location;
    let name = location.place.masked();
    let mut place = String::new();
    if location.place.path().is_some() {
        place = format!("file={}", property(&name));
        // Lines of a member are no lines of its file.
        if location.has_lines() && location.members.is_empty() {
            write!(place, ",line={},col={}", location.line, location.column)
                .expect("a String takes all");
        }
    }
    let rule = &finding.rule;
    let mut message = format!(
        "{} at {} (fingerprint {}, {} confidence). ",
        finding.secret.mask(),
        location,
        finding.fingerprint,
        finding.confidence.as_str()
    );
    let (level, title) = match &finding.status {
        Status::Counts => {
            message.push_str(&rule.remedy);
            if let Some(known) = sentence(run.checks, finding) {
                write!(message, " Verified: {known}.").expect("a String takes all");
            }
            ("error", rule.title.clone())
        }
        Status::Before => {
            message.push_str("It was there before this change.");
            ("notice", format!("{} (before)", rule.title))
        }
        Status::Suppressed(why) => {
            let (by, text) = (suppressed_by(why), suppression_text(why));
            write!(message, "Suppressed by {by}: {text}").expect("a String takes all");
            ("notice", format!("{} (suppressed)", rule.title))
        }
    };
    annotate(out, level, &place, &title, &message)
}

impl Report for Github {
    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        for each in ordered(run.findings) {
            finding(run, each, out)?;
        }
        let coverage = run.coverage;
        for failure in &coverage.failures {
            let place = format!("file={}", property(&failure.what));
            let message = format!("{}: {}", failure.what, failure.why);
            annotate(out, "warning", &place, "Not read", &message)?;
        }
        for entry in &run.suppressions.expired {
            let message = format!("{} ({})", entry.what, entry.reason);
            annotate(out, "warning", "", "Expired suppression", &message)?;
        }
        for entry in &run.suppressions.unused {
            let message = format!("{} ({})", entry.what, entry.reason);
            annotate(out, "notice", "", "Unused suppression", &message)?;
        }
        // The runner shows ten annotations of a level and step: these lines tell the whole count.
        if coverage.failed > 0 {
            let items = count(coverage.failed, "item", "items");
            let message = format!("{items} could not be read, so this report is not whole.");
            annotate(out, "warning", "", "Incomplete", &message)?;
        }
        if coverage.interrupted {
            let message = "Stopped before the end, so this report is not whole.";
            annotate(out, "warning", "", "Incomplete", message)?;
        }
        let totals = Totals::of(run.findings);
        writeln!(
            out,
            "skewer: {} in {}, {} read",
            count(totals.keys.len() as u64, "key", "keys"),
            count(totals.places, "place", "places"),
            count(coverage.read.items, "item", "items"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_field_or_its_line() {
        assert_eq!(escape("50%\r\n::x, y", false), "50%25%0D%0A::x, y");
        assert_eq!(escape("50%\r\n::x, y", true), "50%25%0D%0A%3A%3Ax%2C y");
        assert_eq!(escape("\u{1b}[m\u{202e}", true), "\\u{1b}[m\\u{202e}");
    }
}
