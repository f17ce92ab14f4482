//! One key: what it is, where it is, what to do about it.

use std::io::{self, Write};

use super::style::Paint;
use crate::finding::Finding;
use crate::report::view::parts;
use crate::report::{count, wire};

/// Places beyond this many are counted.
pub(super) const MOST_PLACES: usize = 20;

/// Columns that running text may take.
const WIDTH: usize = 92;

/// `HIGH  OpenAI project key  sk-proj-…x9Qa`
pub(super) fn headline(out: &mut dyn Write, paint: Paint, finding: &Finding) -> io::Result<()> {
    writeln!(
        out,
        "{}  {}  {}",
        paint.severity(finding.rule.severity),
        paint.bold(wire::tame(&finding.rule.title)),
        paint.key(finding.secret.mask()),
    )
}

/// `path:line:column`, and the line itself.
pub(super) fn place(out: &mut dyn Write, paint: Paint, finding: &Finding) -> io::Result<()> {
    write!(out, "  {}", paint.place(&finding.location))?;
    if !finding.decoders.is_empty() {
        let decoders = finding.decoders.join(" in ");
        write!(out, "  {}", paint.dim(format_args!("in {decoders}")))?;
    }
    writeln!(out)?;
    line(out, paint, finding)
}

fn line(out: &mut dyn Write, paint: Paint, finding: &Finding) -> io::Result<()> {
    let (before, key, after) = parts(&finding.context);
    let (before, key, after) = (before.to_string(), key.to_string(), after.to_string());
    let (before, after) = (before.trim_start(), after.trim_end());
    if key.is_empty() {
        return Ok(());
    }
    let bar = paint.dim("│");
    writeln!(out, "    {bar} {before}{}{after}", paint.key(&key))?;
    // Without colours carets point at the key, unless wide characters would mislead them.
    if !paint.0 && before.is_ascii() {
        let carets = "^".repeat(key.chars().count());
        writeln!(out, "    │ {:1$}{carets}", "", before.len())?;
    }
    Ok(())
}

/// How sure it is, its name, and what to do.
pub(super) fn foot(out: &mut dyn Write, paint: Paint, finding: &Finding) -> io::Result<()> {
    let about = format!(
        "fingerprint {} · {} confidence",
        finding.fingerprint,
        finding.confidence.as_str()
    );
    writeln!(out, "  {}", paint.dim(about))?;
    let remedy = wire::tame(&finding.rule.remedy).to_string();
    let mut lead = "→";
    for part in wrapped(&remedy, WIDTH - 4) {
        writeln!(out, "  {} {part}", paint.good(lead))?;
        lead = " ";
    }
    Ok(())
}

/// All places of one key. `findings` is not empty and shares one fingerprint.
pub(super) fn block(out: &mut dyn Write, paint: Paint, findings: &[&Finding]) -> io::Result<()> {
    let surest = findings
        .iter()
        .max_by_key(|finding| finding.confidence)
        .expect("a group has a member");
    headline(out, paint, surest)?;
    for finding in findings.iter().take(MOST_PLACES) {
        place(out, paint, finding)?;
    }
    let more = findings.len().saturating_sub(MOST_PLACES) as u64;
    if more > 0 {
        let places = count(more, "more place", "more places");
        writeln!(out, "  {}", paint.dim(format_args!("and {places}")))?;
    }
    foot(out, paint, surest)?;
    writeln!(out)
}

/// Breaks a text at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let line = lines.last_mut().expect("it starts with one");
        let length = line.chars().count();
        if length > 0 && length + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_at_spaces_only() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("longer-than-that é", 7), ["longer-than-that", "é"]);
        assert_eq!(wrapped("", 7), [""]);
    }
}
