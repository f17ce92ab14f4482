//! Git's whole object database, and all else that a git directory keeps.
//!
//! Most versions of a file are stored as deltas. They are not rebuilt: each entry of a pack is
//! inflated once (`walk`), bases before their deltas (`forest`); inserted bytes and the borders
//! of copied ones are searched (`search`, `border`); what was found in a base is carried over
//! to where its bytes stand again. The outcome equals that of searching every rebuilt object.
//! Only what holds a key is rebuilt, for its line, and traced to the commits, paths and refs that
//! hold it (`attribution`).

#[cfg(test)]
mod again;
#[cfg(test)]
mod asked;
mod attribution;
#[cfg(test)]
mod bad;
mod border;
mod chosen;
#[cfg(test)]
mod contained;
mod contains;
mod copies;
mod damage;
mod database;
mod delta;
mod ends;
#[cfg(test)]
mod equal;
mod forest;
#[cfg(test)]
mod forge;
mod graph;
mod idx;
mod inflate;
mod keys;
mod links;
mod loose;
mod map;
mod marks;
mod memory;
mod objects;
mod pack;
mod packs;
mod places;
mod purge;
#[cfg(test)]
mod ranged;
#[cfg(test)]
mod real;
mod refs;
mod retold;
mod room;
mod search;
mod sets;
mod single;
mod story;
mod tree;
mod unread;
mod version;
mod walk;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::chosen::{Chosen, Way};
pub use self::memory::Memory;
pub use self::purge::Purge;
use crate::config::Globs;
use crate::coverage::{Coverage, Excluded, Progress};
use crate::examine::{self, Buffers, Examiner, Seen, Unpacking};
use crate::finding::{Finding, Location, Place, ShownPath, Status};
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, Repository};
use crate::secret::Masked;
use crate::suppress::Suppressor;

/// Where a repository keeps things.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The git directory: of a linked worktree, its own.
    pub git_dir: PathBuf,
    /// The git directory that linked worktrees share.
    pub common_dir: PathBuf,
    /// The directory of objects.
    pub objects: PathBuf,
    /// More directories of objects, beyond what `info/alternates` names.
    pub alternates: Vec<PathBuf>,
    /// Bytes in an object's id: 20 or 32.
    pub id_length: usize,
}

impl Layout {
    /// Where an opened repository keeps things, with what git's variables say of its objects: in
    /// a hook on the receiving side, new objects are in quarantine.
    pub fn of(repository: &Repository, environment: &GitEnvironment) -> Self {
        let common_dir = repository.common_dir().to_owned();
        let from = repository.top().unwrap_or(repository.git_dir());
        let own = common_dir.join("objects");
        let objects = environment
            .object_directory
            .as_ref()
            .map(|path| from.join(path));
        let lent = environment
            .alternate_object_directories
            .iter()
            .flat_map(std::env::split_paths);
        let mut alternates: Vec<PathBuf> = lent.map(|path| from.join(path)).collect();
        alternates.extend(objects.is_some().then(|| own.clone()));
        Self {
            git_dir: repository.git_dir().to_owned(),
            objects: objects.unwrap_or(own),
            alternates,
            common_dir,
            id_length: repository.format().bytes(),
        }
    }
}

/// A search of one repository.
pub struct History<'a> {
    /// What is looked for.
    pub matcher: &'a Matcher,
    /// What somebody answered for.
    pub suppress: &'a Suppressor,
    /// Paths in the repository of what may fail to be unpacked.
    pub accept: &'a Globs,
    /// What earlier audits remember of packs and loose objects.
    pub memory: Option<&'a Memory>,
    /// Whether to find out what taking the keys out of the history would take.
    pub purge: bool,
    /// How containers are unpacked.
    pub unpacking: &'a Unpacking,
    /// The commits that the search is limited to, if it is.
    pub chosen: Option<&'a Chosen>,
    /// Whether to look up everything that objects name: what is lost from an ordinary repository is
    /// found only then. In a partial clone, it is done anyway.
    pub require_complete: bool,
    /// How many threads walk a pack.
    pub threads: usize,
    /// How far it has come.
    pub progress: &'a Progress,
    /// Set from outside: the run ends soon, and says that it did.
    pub stop: &'a AtomicBool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// A finding for each key in the object database, and for each place outside of it.
    pub findings: Vec<Finding>,
    /// What was read and what was not.
    pub coverage: Coverage,
    /// What would have to be changed in the repository itself; of submodules nothing is said.
    pub purge: Option<Purge>,
}

impl History<'_> {
    /// Searches a repository, and its submodules' databases; or what the chosen commits bring.
    pub fn search(&self, layout: &Layout) -> Outcome {
        if let Some(chosen) = self.chosen {
            return self.limited(layout, chosen);
        }
        let mut outcome = Outcome::default();
        let mut todo = vec![layout.clone()];
        while let Some(layout) = todo.pop() {
            let places = places::list(&layout.common_dir);
            for (path, error) in &places.failed {
                outcome.coverage.fail(self.masked(path), error.to_string());
            }
            let found = database::search(self, &layout);
            outcome.findings.extend(found.findings);
            outcome.coverage.merge(found.coverage);
            outcome.purge = outcome.purge.or(found.purge);
            self.files(&places.files, &mut outcome);
            todo.extend(places.nested.into_iter().map(|git_dir| Layout {
                objects: git_dir.join("objects"),
                alternates: Vec::new(),
                common_dir: git_dir.clone(),
                git_dir,
                id_length: layout.id_length,
            }));
        }
        outcome.coverage.interrupted |= self.stop.load(Ordering::Relaxed);
        outcome
    }

    /// What the chosen commits bring. All else that a git directory keeps is left out, and counted.
    fn limited(&self, layout: &Layout, chosen: &Chosen) -> Outcome {
        let places = places::list(&layout.common_dir);
        let mut outcome = database::search(self, layout);
        let coverage = &mut outcome.coverage;
        coverage.limited_to.push(chosen.told(self));
        for (why, items) in [
            (Excluded::GitFile, places.files.len()),
            (Excluded::Submodule, places.nested.len()),
        ] {
            coverage.leave(why, items as u64);
        }
        coverage.interrupted |= self.stop.load(Ordering::Relaxed);
        outcome
    }

    fn masked(&self, path: &Path) -> Masked {
        self.matcher.redact(path.as_os_str().as_encoded_bytes())
    }

    fn go_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// A member that could not be read, of what is called `name`.
    fn examiner<'e>(&'e self, go_on: &'e (dyn Fn() -> bool + Sync)) -> Examiner<'e> {
        Examiner {
            matcher: self.matcher,
            unpacking: self.unpacking,
            go_on,
        }
    }

    fn files(&self, files: &[PathBuf], outcome: &mut Outcome) {
        let mut buffers = Buffers::default();
        for path in files {
            let shown = || ShownPath::new(path.clone(), self.masked(path));
            let name = path.as_os_str().as_encoded_bytes();
            examine::bytes(self.matcher, name, &mut |found| {
                outcome
                    .findings
                    .push(self.finding(found, Place::FileName(shown())));
            });
            let file = match File::open(path) {
                Ok(file) => file,
                // Git works on; locks and messages come and go.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    outcome.coverage.fail(self.masked(path), error.to_string());
                    continue;
                }
            };
            let findings = &mut outcome.findings;
            let go_on = || self.go_on();
            let examiner = self.examiner(&go_on);
            let seen = examiner.file(b"", &file, &mut buffers, &mut |found| {
                findings.push(self.finding(found, Place::File(shown())));
            });
            let Seen {
                bytes,
                packed,
                result,
                members,
                seen_before,
                unread,
            } = seen;
            outcome.coverage.members.merge(members);
            let coverage = &mut outcome.coverage;
            coverage.exclude_all(Excluded::SeenBefore, seen_before);
            let name = self.masked(path).to_string();
            let body = || Some(Box::new(File::open(path).ok()?) as Box<dyn Read>);
            self.tell_unread(&name, self.accept.matches(path), &unread, body, coverage);
            if packed {
                outcome.coverage.exclude(Excluded::Packed, bytes);
            }
            match result {
                Ok(()) => outcome.coverage.read.add(bytes),
                Err(error) => outcome.coverage.fail(self.masked(path), error.to_string()),
            }
        }
    }

    /// What git told of refs that only it can read.
    fn told(&self, text: &[u8]) -> Vec<Finding> {
        let mut findings = Vec::new();
        examine::bytes(self.matcher, text, &mut |found| {
            findings.push(self.finding(found, Place::Stream("names and logs of refs".to_owned())));
        });
        findings
    }

    fn finding(&self, found: examine::Found, place: Place) -> Finding {
        // Nobody who looks at a file sees what stands in its members.
        let line = found.members.is_empty().then_some(&found.raw_line[..]);
        let judged = self.suppress.judge(&place, found.hit.fingerprint, line);
        Finding {
            rule: found.hit.rule,
            fingerprint: found.hit.fingerprint,
            secret: found.hit.secret,
            confidence: found.hit.confidence,
            decoders: found.hit.decoders,
            location: Location {
                place,
                members: found.members,
                offset: found.offset,
                length: found.hit.span.len() as u64,
                line: found.line,
                column: found.column,
            },
            context: found.context,
            status: judged.map_or(Status::Counts, Status::Suppressed),
        }
    }
}
