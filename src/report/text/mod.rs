//! Text for people: grouped by key, the most severe first, the answer last.

mod checks;
mod key;
mod stopped;
mod story;
mod style;
mod summary;

use std::collections::BTreeMap;
use std::io::{self, Write};

use self::style::Paint;
use super::view::Totals;
use super::{Options, Report, Run, count, ordered};
use crate::finding::Finding;
use crate::secret::Fingerprint;
use crate::verdict::Check;

/// How much text says, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All, at the end.
    #[default]
    Full,
    /// Findings as they come, for a stream that may never end; the rest at the end.
    Live,
    /// A hook speaks: what is wrong and what to do, or nothing.
    Short(Stopped),
}

/// What a hook stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// A commit in the making: the staged change, or its message.
    Commit,
    /// Commits on their way out, or in.
    Push,
}

impl Stopped {
    /// How the first line begins.
    fn headline(self) -> &'static str {
        match self {
            Self::Commit => "Commit stopped: it adds",
            Self::Push => "Push stopped: it carries",
        }
    }

    /// What to do next, in three lines. `name` is the fingerprint, or stands for it.
    fn steps(self, name: &str) -> [String; 3] {
        let out = match self {
            Self::Commit => {
                "Take the key out (read it from the environment), `git add` the file, commit again."
            }
            Self::Push => {
                "Take the key out of every commit (`git commit --amend`, `git rebase -i`), push again."
            }
        };
        [
            out.to_owned(),
            "If it was ever pushed, logged or shared, revoke it: deleting the line does not."
                .to_owned(),
            format!("If it is no secret: skewer allow {name} --reason \"why\""),
        ]
    }
}

pub(super) struct Text {
    paint: Paint,
    mode: Mode,
    totals: Totals,
    /// How many places of each key were written.
    shown: BTreeMap<Fingerprint, u64>,
}

impl Text {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            paint: Paint(options.color),
            mode: options.mode,
            totals: Totals::default(),
            shown: BTreeMap::new(),
        }
    }

    fn full(&self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        let findings = ordered(run.findings);
        for group in by_key(&findings) {
            key::block(out, self.paint, &group, check_of(run, &group))?;
        }
        summary::before(out, self.paint, &findings)?;
        self.close(run, &Totals::of(run.findings), out)
    }

    fn close(&self, run: &Run<'_>, totals: &Totals, out: &mut dyn Write) -> io::Result<()> {
        summary::suppressions(out, self.paint, run, totals)?;
        summary::coverage(out, self.paint, run)?;
        if let Some(checks) = run.checks {
            checks::summary(out, self.paint, checks)?;
        }
        summary::verdict(out, self.paint, run.coverage, totals)
    }
}

/// What is known of the key of these findings.
fn check_of<'a>(run: &Run<'a>, group: &[&Finding]) -> Option<&'a Check> {
    run.checks?.keys.get(&group.first()?.fingerprint)
}

/// The findings that count, by key. `findings` are [`ordered`].
fn by_key<'a>(findings: &[&'a Finding]) -> Vec<Vec<&'a Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    let mut of_key: BTreeMap<Fingerprint, usize> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.counts()) {
        let index = *of_key.entry(finding.fingerprint).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[index].push(finding);
    }
    groups
}

impl Report for Text {
    fn streams(&self) -> bool {
        self.mode == Mode::Live
    }

    fn finding(&mut self, finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
        if self.mode != Mode::Live {
            return Ok(());
        }
        self.totals.add(finding);
        if !finding.counts() {
            return Ok(());
        }
        let shown = self.shown.entry(finding.fingerprint).or_default();
        *shown += 1;
        match *shown {
            1 => {
                key::headline(out, self.paint, finding)?;
                key::foot(out, self.paint, finding)?;
            }
            n if n > key::MOST_PLACES as u64 => return Ok(()),
            _ => writeln!(out, "{}", self.paint.key(finding.secret.mask()))?,
        }
        key::place(out, self.paint, finding, None)?;
        writeln!(out)
    }

    fn finish(&mut self, run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
        match self.mode {
            Mode::Full => self.full(run, out),
            Mode::Short(stopped) => stopped::write(out, self.paint, run, stopped),
            Mode::Live => {
                let most = key::MOST_PLACES as u64;
                let more: u64 = self.shown.values().map(|n| n.saturating_sub(most)).sum();
                if more > 0 {
                    let places = count(more, "more place", "more places");
                    writeln!(out, "and {places} of the keys above\n")?;
                }
                for (key, check) in run.checks.iter().flat_map(|checks| &checks.keys) {
                    writeln!(out, "{}", self.paint.key(key))?;
                    checks::check(out, self.paint, check)?;
                    writeln!(out)?;
                }
                self.close(run, &self.totals, out)
            }
        }
    }
}
