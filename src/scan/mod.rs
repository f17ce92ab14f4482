//! Composes a run: a source says what to read, `examine` searches it, suppressions are looked up,
//! findings and coverage are returned together.

mod follow;
mod layouts;
mod objects;
mod paths;
mod places;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Globs;
use crate::coverage::{Coverage, Excluded, Failure, Progress};
use crate::examine::{Buffers, Examiner, Found, Seen, Unpacking, UnreadMember};
use crate::finding::{Finding, Location, Place, ShownPath, Status, Way};
use crate::matcher::Matcher;
use crate::secret::Masked;
use crate::suppress::{Suppressor, hash_of};

/// Who is told what happens while it happens. Called from many threads.
pub trait Observer: Sync {
    /// A finding, as soon as it is certain.
    fn finding(&self, finding: &Finding);
}

/// What a run does, beyond its rules.
#[derive(Default)]
pub struct Settings {
    /// Read what git ignores, too.
    pub no_ignore: bool,
    /// Paths that are not read, as the user's globs say.
    pub exclude: Globs,
    /// Paths that may fail to be read.
    pub accept: Globs,
    /// What somebody answered for.
    pub suppress: Suppressor,
    /// How containers are unpacked.
    pub unpacking: Unpacking,
    /// Where git looks for the user's ignored paths if its configuration doesn't say.
    pub global_excludes: Option<PathBuf>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The findings, by severity, key and place.
    pub findings: Vec<Finding>,
    /// What was read and what was not.
    pub coverage: Coverage,
}

impl Outcome {
    /// Adds what another search found and read.
    pub fn add(&mut self, findings: Vec<Finding>, coverage: Coverage) {
        self.findings.extend(findings);
        self.coverage.merge(coverage);
        self.sort();
    }

    /// By severity, key and place; what was found twice is told once, since roots may overlap.
    fn sort(&mut self) {
        self.findings.sort_by(|a, b| {
            (b.rule.severity, a.fingerprint, &a.location).cmp(&(
                a.rule.severity,
                b.fingerprint,
                &b.location,
            ))
        });
        self.findings
            .dedup_by(|a, b| a.fingerprint == b.fingerprint && a.location == b.location);
    }
}

/// One run: add sources, then take the outcome.
pub struct Scan<'a> {
    matcher: &'a Matcher,
    settings: &'a Settings,
    observer: &'a dyn Observer,
    /// Set from outside (Ctrl-C): the run ends soon, and says that it did.
    stop: &'a AtomicBool,
    /// How far it has come, for whoever shows it.
    pub progress: Progress,
    findings: Mutex<Vec<Finding>>,
    /// Whether the observer waits, since a finding's status is not certain yet.
    holds_back: AtomicBool,
    /// Whether markers in lines excuse nothing.
    heeds_no_markers: AtomicBool,
    /// Whether being told to stop is how the run ends, and no interruption.
    follows: AtomicBool,
    coverage: Mutex<Coverage>,
    buffers: Mutex<Vec<Buffers>>,
    layouts: layouts::Layouts,
    /// Git directories that are searched by other means.
    elsewhere: Vec<PathBuf>,
}

/// A lock whose data is whole even if a thread panicked while it held it: all of them only push.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Scan<'a> {
    /// A run that has read nothing yet.
    pub fn new(
        matcher: &'a Matcher,
        settings: &'a Settings,
        observer: &'a dyn Observer,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            matcher,
            settings,
            observer,
            stop,
            progress: Progress::default(),
            findings: Mutex::default(),
            holds_back: AtomicBool::new(false),
            heeds_no_markers: AtomicBool::new(false),
            follows: AtomicBool::new(false),
            coverage: Mutex::default(),
            buffers: Mutex::default(),
            layouts: layouts::Layouts::default(),
            elsewhere: Vec::new(),
        }
    }

    /// Leaves out git directories, which the search of their history reads: nothing is to be told
    /// or counted twice.
    pub fn without(mut self, git_dirs: Vec<PathBuf>) -> Self {
        self.elsewhere = git_dirs
            .into_iter()
            .map(|path| path.canonicalize().unwrap_or(path))
            .collect();
        self
    }

    /// Searches a stream to its end.
    pub fn stream(&self, name: &str, reader: impl Read) {
        let place = || Place::Stream(name.to_owned());
        self.read(&place, &|| None, |examiner, buffers, found| {
            examiner.stream(b"", reader, buffers, found)
        });
    }

    /// Everything that was found and read.
    pub fn into_outcome(self) -> Outcome {
        let mut coverage = self
            .coverage
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        coverage.read.items += self.progress.items.load(Ordering::Relaxed);
        coverage.read.bytes += self.progress.bytes.load(Ordering::Relaxed);
        coverage.interrupted |=
            self.stop.load(Ordering::Relaxed) && !self.follows.load(Ordering::Relaxed);
        let findings = self
            .findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Outcome { findings, coverage };
        outcome.sort();
        outcome
    }

    fn examiner<'e>(&'e self, go_on: &'e (dyn Fn() -> bool + Sync)) -> Examiner<'e> {
        Examiner {
            matcher: self.matcher,
            unpacking: &self.settings.unpacking,
            go_on,
        }
    }

    fn go_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn shown(&self, path: &Path) -> ShownPath {
        ShownPath::new(path.to_owned(), self.masked(path))
    }

    fn masked(&self, path: &Path) -> Masked {
        self.matcher.redact(path.as_os_str().as_encoded_bytes())
    }

    /// Runs one examination, with its account. Most files hold nothing, so their place is made
    /// fit to be shown only when it has to be; `again` opens what was read once more.
    fn read<'r>(
        &self,
        place: &dyn Fn() -> Place,
        again: &dyn Fn() -> Option<Box<dyn Read + 'r>>,
        examine: impl FnOnce(Examiner<'_>, &mut Buffers, &mut dyn FnMut(Found)) -> Seen,
    ) {
        let go_on = || self.go_on();
        let examiner = self.examiner(&go_on);
        let mut buffers = lock(&self.buffers).pop().unwrap_or_default();
        let mut shown = None;
        let seen = examine(examiner, &mut buffers, &mut |found| {
            self.found(found, shown.get_or_insert_with(place));
        });
        lock(&self.buffers).push(buffers);
        self.progress.bytes.fetch_add(seen.bytes, Ordering::Relaxed);
        if seen.packed {
            lock(&self.coverage).exclude(Excluded::Packed, seen.bytes);
        }
        if seen.seen_before.items > 0 {
            lock(&self.coverage).exclude_all(Excluded::SeenBefore, seen.seen_before);
        }
        if seen.members.items > 0 || !seen.unread.is_empty() {
            lock(&self.coverage).members.merge(seen.members);
            self.unread(&place(), &seen.unread, again);
        }
        match seen.result {
            Ok(()) => {
                self.progress.items.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let place = place();
                let path = place.path().map(ShownPath::raw);
                self.fail(path, place.masked(), error.to_string());
            }
        }
    }

    fn fail(&self, path: Option<&Path>, what: Masked, why: String) {
        match self.accepts(path) {
            true => lock(&self.coverage).accepted.push(Failure {
                what,
                why,
                reason: None,
            }),
            false => lock(&self.coverage).fail(what, why),
        }
    }

    fn accepts(&self, path: Option<&Path>) -> bool {
        path.is_some_and(|path| self.settings.accept.matches(path))
    }

    /// Members that could not be read: failures, unless somebody acknowledged them.
    fn unread<'r>(
        &self,
        place: &Place,
        unread: &[UnreadMember],
        again: &dyn Fn() -> Option<Box<dyn Read + 'r>>,
    ) {
        let accepted = self.accepts(place.path().map(ShownPath::raw));
        let hash = match self.settings.suppress.has_members() && !unread.is_empty() {
            true => again().and_then(|reader| hash_of(reader).ok()),
            false => None,
        };
        for UnreadMember { members, why } in unread {
            let what = Masked::vouched(format!("{}{}", place.masked(), Way(members)));
            let file = place.masked().to_string();
            let names: Vec<String> = members.iter().map(|member| member.to_string()).collect();
            let acknowledges = |hash| {
                let suppress = &self.settings.suppress;
                suppress.acknowledges(Some(&file), &names, &hash)
            };
            let acknowledged = hash.is_some_and(acknowledges);
            match accepted || acknowledged {
                true => lock(&self.coverage).accept_member(what, why),
                false => lock(&self.coverage).fail_member(what, why),
            }
        }
    }

    fn found(&self, found: Found, place: &Place) {
        let Found {
            hit,
            members,
            offset,
            line,
            column,
            context,
            raw_line,
        } = found;
        // Nobody who looks at a file sees what stands in its members.
        let heeded = members.is_empty() && !self.heeds_no_markers.load(Ordering::Relaxed);
        let line_here = heeded.then_some(&raw_line[..]);
        self.progress.found(hit.fingerprint);
        let suppressed = self
            .settings
            .suppress
            .judge(place, hit.fingerprint, line_here);
        let finding = Finding {
            rule: hit.rule,
            fingerprint: hit.fingerprint,
            secret: hit.secret,
            confidence: hit.confidence,
            decoders: hit.decoders,
            location: Location {
                place: place.clone(),
                members,
                offset,
                length: hit.span.len() as u64,
                line,
                column,
            },
            context,
            status: suppressed.map_or(Status::Counts, Status::Suppressed),
        };
        if !self.holds_back.load(Ordering::Relaxed) {
            self.observer.finding(&finding);
        }
        lock(&self.findings).push(finding);
    }
}
