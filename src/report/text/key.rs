//! One key: what it is, where it is, what to do about it.

use std::io::{self, Write};

use super::checks;
use super::story::story;
use super::style::Paint;
use crate::finding::Finding;
use crate::report::view::parts;
use crate::report::{count, wire};
use crate::verdict::Check;

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

/// `path:line:column`, and the line itself, unless it is the one that stands above already.
pub(super) fn place(
    out: &mut dyn Write,
    paint: Paint,
    finding: &Finding,
    above: Option<&Finding>,
) -> io::Result<()> {
    write!(out, "  {}", paint.place(&finding.location))?;
    if !finding.decoders.is_empty() {
        let decoders = finding.decoders.join(" → ");
        write!(out, "  {}", paint.dim(format_args!("({decoders})")))?;
    }
    writeln!(out)?;
    match above.is_some_and(|above| above.context == finding.context) {
        true => Ok(()),
        false => line(out, paint, finding),
    }
}

/// The first places of a key, and how many more there are.
pub(super) fn places(
    out: &mut dyn Write,
    paint: Paint,
    findings: &[&Finding],
    most: usize,
) -> io::Result<()> {
    let mut above = None;
    for finding in findings.iter().take(most) {
        place(out, paint, finding, above)?;
        above = Some(*finding);
    }
    match findings.len().saturating_sub(most) as u64 {
        0 => Ok(()),
        more => {
            let places = count(more, "more place", "more places");
            writeln!(out, "  {}", paint.dim(format_args!("and {places}")))
        }
    }
}

fn line(out: &mut dyn Write, paint: Paint, finding: &Finding) -> io::Result<()> {
    let (before, key, after) = parts(&finding.context);
    // Trimmed before it is made safe: a carriage return at the end is nobody's business.
    let before = wire::tame(before.text().trim_start()).to_string();
    let after = wire::tame(after.text().trim_end());
    if key.is_empty() {
        return Ok(());
    }
    let bar = paint.dim("│");
    writeln!(out, "    {bar} {before}{}{after}", paint.key(&key))?;
    // Without colours carets point at the key, unless wide characters would mislead them.
    if !paint.0 && before.is_ascii() {
        let carets = "^".repeat(key.to_string().chars().count());
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
pub(super) fn block(
    out: &mut dyn Write,
    paint: Paint,
    findings: &[&Finding],
    check: Option<&Check>,
) -> io::Result<()> {
    let surest = findings
        .iter()
        .max_by_key(|finding| finding.confidence)
        .expect("a group has a member");
    headline(out, paint, surest)?;
    places(out, paint, findings, MOST_PLACES)?;
    story(out, paint, findings)?;
    if let Some(check) = check {
        checks::check(out, paint, check)?;
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
