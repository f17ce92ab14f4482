//! The baseline: a small file of fingerprints that somebody answered for, with reason, name, date
//! and expiry, one line an entry, sorted, so that two branches that each add one merge. It never
//! holds a key. It is TOML:
//!
//! ```toml
//! version = 1
//!
//! [keys]
//! 8f434346648f6b96df89dda901c5176b = { date = 2026-01-31, reason = "revoked on the 30th", who = "ann" }
//!
//! [members]
//! "dist/a.zip!b.7z" = { date = 2026-01-31, reason = "encrypted by the vendor", sha256 = "…", until = 2026-12-31 }
//! ```

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::secret::Fingerprint;

/// The one version of the form.
const VERSION: i64 = 1;

/// The longest reason or name: a line of text, not a document.
const LONGEST_TEXT: usize = 500;

const NOT_A_HASH: &str = "sha256 has 64 hexadecimal digits";

const HEAD: &str = "\
# What skewer does not report, because somebody answered for it: one line an entry, sorted.
# `skewer allow FINGERPRINT --reason …` adds one; past its `until` an entry blocks again.
";

/// Who answers for an entry, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Why it may stay.
    pub reason: String,
    /// Who said so.
    pub who: Option<String>,
    /// The day on which it was written down.
    pub date: Date,
    /// The last day on which it counts; without one it does not expire.
    pub until: Option<Date>,
    /// Its line in the file, from 1; 0 if it was not read from one.
    pub line: u64,
}

impl Entry {
    /// Whether it counts on that day.
    pub fn is_active(&self, today: Date) -> bool {
        self.until.is_none_or(|until| today <= until)
    }
}

/// Something that can't be read (an encrypted archive member), acknowledged as long as its bytes
/// stay the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Who answers for it.
    pub entry: Entry,
}

/// The baseline, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// By fingerprint.
    pub keys: BTreeMap<Fingerprint, Entry>,
    /// By path, as reports show it.
    pub members: BTreeMap<String, Member>,
}

/// Why a baseline can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}:{line}: {problem}")]
pub struct BaselineError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong and what to do.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<i64>,
    #[serde(default)]
    keys: BTreeMap<Spanned<String>, Written>,
    #[serde(default)]
    members: BTreeMap<Spanned<String>, WrittenMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    reason: String,
    who: Option<String>,
    date: Datetime,
    until: Option<Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMember {
    sha256: String,
    reason: String,
    who: Option<String>,
    date: Datetime,
    until: Option<Datetime>,
}

impl Baseline {
    /// Reads a baseline; `file` names it in errors. Strict: what can't be understood hides nothing.
    pub fn parse(text: &str, file: &str) -> Result<Self, BaselineError> {
        let at = |byte: usize, problem: String| BaselineError {
            file: file.to_owned(),
            line: line_of(text, byte),
            problem,
        };
        let conflict = text.lines().position(|line| {
            ["<<<<<<<", "=======", ">>>>>>>"]
                .iter()
                .any(|mark| line.starts_with(mark))
        });
        if let Some(index) = conflict {
            return Err(BaselineError {
                file: file.to_owned(),
                line: index as u64 + 1,
                problem: "a merge was not finished here; keep the lines of both sides".to_owned(),
            });
        }
        // Only the parser's message: its display would quote the line, whatever stands there.
        let parsed: File = toml::from_str(text).map_err(|error| {
            at(
                error.span().map_or(0, |span| span.start),
                error.message().to_owned(),
            )
        })?;
        if *parsed.version.get_ref() != VERSION {
            let problem = format!(
                "version {} is not known here, only {VERSION}; update skewer",
                parsed.version.get_ref()
            );
            return Err(at(parsed.version.span().start, problem));
        }
        let mut baseline = Self::default();
        for (name, written) in parsed.keys {
            let start = name.span().start;
            let entry = written
                .entry(line_of(text, start))
                .map_err(|problem| at(start, problem))?;
            let print: Fingerprint = name
                .get_ref()
                .parse()
                .map_err(|error| at(start, format!("the name of this entry is {error}")))?;
            // The parser refuses equal names; these may differ in case.
            if baseline.keys.insert(print, entry).is_some() {
                return Err(at(
                    start,
                    format!("{print} stands here twice; keep one line"),
                ));
            }
        }
        for (path, written) in parsed.members {
            let start = path.span().start;
            let wrong = |problem: String| at(start, problem);
            let sha256 =
                parse_sha256(&written.sha256).ok_or_else(|| wrong(NOT_A_HASH.to_owned()))?;
            let path = check_text("the path", path.into_inner()).map_err(wrong)?;
            let entry = Written {
                reason: written.reason,
                who: written.who,
                date: written.date,
                until: written.until,
            };
            let entry = entry.entry(line_of(text, start)).map_err(wrong)?;
            baseline.members.insert(path, Member { sha256, entry });
        }
        Ok(baseline)
    }

    /// Adds an entry, or replaces the one that is there. The texts are checked as if they had been
    /// read from a file.
    pub fn allow(&mut self, print: Fingerprint, entry: Entry) -> Result<Replaced, String> {
        let entry = entry.checked()?;
        Ok(match self.keys.insert(print, entry) {
            Some(_) => Replaced::Yes,
            None => Replaced::No,
        })
    }

    /// Acknowledges that what reports show as `path` can't be read, as long as its SHA-256 (64
    /// hexadecimal digits) stays the same. Replaces the entry that is there.
    pub fn acknowledge(
        &mut self,
        path: String,
        sha256: &str,
        entry: Entry,
    ) -> Result<Replaced, String> {
        let sha256 = parse_sha256(sha256).ok_or(NOT_A_HASH)?;
        let path = check_text("the path", path)?;
        let entry = entry.checked()?;
        let before = self.members.insert(path, Member { sha256, entry });
        Ok(match before {
            Some(_) => Replaced::Yes,
            None => Replaced::No,
        })
    }
}

/// Whether an entry took another one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It did.
    Yes,
    /// It is new.
    No,
}

impl Entry {
    fn checked(mut self) -> Result<Self, String> {
        self.reason = check_text("the reason", self.reason)?;
        self.who = self
            .who
            .map(|who| check_text("the name in `who`", who))
            .transpose()?;
        match self.until {
            Some(until) if until < self.date => Err(format!(
                "it would expire on {until}, before its date, {}",
                self.date
            )),
            _ => Ok(self),
        }
    }
}

impl Written {
    fn entry(self, line: u64) -> Result<Entry, String> {
        let entry = Entry {
            reason: self.reason,
            who: self.who,
            date: civil("date", self.date)?,
            until: self.until.map(|until| civil("until", until)).transpose()?,
            line,
        };
        entry.checked()
    }
}

fn check_text(what: &str, text: String) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(format!("{what} is empty; say it in a few words"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!(
            "{what} has control characters; one line of plain text is enough"
        ));
    }
    if text.len() > LONGEST_TEXT {
        return Err(format!("{what} is longer than {LONGEST_TEXT} bytes"));
    }
    Ok(text)
}

fn civil(field: &str, written: Datetime) -> Result<Date, String> {
    let (Some(date), None, None) = (written.date, written.time, written.offset) else {
        return Err(format!("`{field}` is a day, such as 2026-12-31"));
    };
    Date::new(date.year as i16, date.month as i8, date.day as i8)
        .map_err(|_| format!("`{field}` is no day of the calendar"))
}

fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let (front, back) = text.split_at_checked(32)?;
    let mut out = [0; 32];
    for (half, digits) in out.chunks_exact_mut(16).zip([front, back]) {
        if digits.len() != 32 {
            return None;
        }
        for (byte, pair) in half.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let value = |d: u8| (d as char).to_digit(16);
            *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
        }
    }
    Some(out)
}

/// The line, from 1, in which that byte stands.
fn line_of(text: &str, byte: usize) -> u64 {
    let before = &text.as_bytes()[..byte.min(text.len())];
    before.iter().filter(|b| **b == b'\n').count() as u64 + 1
}

/// The file's text: sorted, the same for the same entries.
impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}version = {VERSION}\n\n[keys]\n")?;
        for (print, entry) in &self.keys {
            write!(f, "{print} = {{ ")?;
            write_entry(f, entry, None)?;
        }
        if !self.members.is_empty() {
            f.write_str("\n[members]\n")?;
        }
        for (path, member) in &self.members {
            write!(f, "{} = {{ ", quoted(path))?;
            write_entry(f, &member.entry, Some(&member.sha256))?;
        }
        Ok(())
    }
}

fn write_entry(
    f: &mut fmt::Formatter<'_>,
    entry: &Entry,
    sha256: Option<&[u8; 32]>,
) -> fmt::Result {
    write!(
        f,
        "date = {}, reason = {}",
        entry.date,
        quoted(&entry.reason)
    )?;
    if let Some(sha256) = sha256 {
        f.write_str(", sha256 = \"")?;
        sha256.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str("\"")?;
    }
    if let Some(until) = entry.until {
        write!(f, ", until = {until}")?;
    }
    if let Some(who) = &entry.who {
        write!(f, ", who = {}", quoted(who))?;
    }
    f.write_str(" }\n")
}

/// A basic string of TOML; there are no control characters to escape.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
