//! Git's whole object database, and all else that a git directory keeps.
//!
//! Most versions of a file are stored as deltas. They are not rebuilt: each entry of a pack is
//! inflated once (`walk`), bases before their deltas (`forest`); inserted bytes and the borders
//! of copied ones are searched (`search`, `border`); what was found in a base is carried over
//! to where its bytes stand again. The outcome equals that of searching every rebuilt object.
//! Only what holds a key is rebuilt, for its line, and traced to the commits, paths and refs that
//! hold it (`attribution`).

mod attribution;
mod border;
mod contains;
mod damage;
mod delta;
#[cfg(test)]
mod equal;
mod forest;
#[cfg(test)]
mod forge;
mod graph;
mod idx;
mod inflate;
mod keys;
mod loose;
mod map;
mod marks;
mod objects;
mod pack;
mod places;
#[cfg(test)]
mod real;
mod refs;
mod search;
mod sets;
mod tree;
mod version;
mod walk;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;

use self::damage::Damage;
use self::keys::{Keys, Source};
use self::objects::Objects;
use crate::coverage::{Coverage, Excluded};
use crate::examine::{self, Buffers, Examiner, Seen, Unpacking, UnreadMember};
use crate::finding::{Finding, Location, Place, ShownPath, Status, Way};
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, ObjectId, Repository};
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

/// How far a run has come, for whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Packed objects that there are.
    pub total: AtomicU64,
    /// Objects searched.
    pub objects: AtomicU64,
    /// Bytes searched.
    pub bytes: AtomicU64,
}

/// A search of one repository.
pub struct History<'a> {
    /// What is looked for.
    pub matcher: &'a Matcher,
    /// What somebody answered for.
    pub suppress: &'a Suppressor,
    /// How containers are unpacked.
    pub unpacking: &'a Unpacking,
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
}

impl History<'_> {
    /// Searches a repository, and its submodules' databases.
    pub fn search(&self, layout: &Layout) -> Outcome {
        let mut outcome = Outcome::default();
        let mut todo = vec![layout.clone()];
        while let Some(layout) = todo.pop() {
            let places = places::list(&layout.common_dir);
            for (path, error) in &places.failed {
                outcome.coverage.fail(self.masked(path), error.to_string());
            }
            self.objects(&layout, &mut outcome);
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

    fn masked(&self, path: &Path) -> Masked {
        self.matcher.redact(path.as_os_str().as_encoded_bytes())
    }

    fn go_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// All objects, and what is to be said of the keys in them.
    fn objects(&self, layout: &Layout, outcome: &mut Outcome) {
        let objects = Objects::open(&layout.objects, &layout.alternates, layout.id_length);
        for (path, damage) in &objects.damaged {
            outcome.coverage.fail(self.masked(path), damage.to_string());
        }
        let total = objects.packs.iter().map(|pack| u64::from(pack.len())).sum();
        self.progress.total.fetch_add(total, Ordering::Relaxed);
        let mut keys = Keys::default();
        for (number, pack) in objects.packs.iter().enumerate() {
            if pack.missing() > 0 {
                let why = format!(
                    "is damaged: {} of its objects can't be found",
                    pack.missing()
                );
                outcome.coverage.fail(self.masked(pack.path()), why);
            } else if let Some(damage) = pack.index_damage() {
                let why = format!("its index is of no use ({damage}); it was read without one");
                outcome.coverage.fail(self.masked(pack.path()), why);
            }
            self.pack(&objects, number as u32, &mut keys, &mut outcome.coverage);
        }
        let loose = self.loose(&objects, &mut keys, &mut outcome.coverage);
        let refs = refs::read(&layout.git_dir, &layout.common_dir);
        for (path, why) in &refs.failed {
            outcome.coverage.fail(self.masked(path), why.clone());
        }
        if let Ok(shallow) = std::fs::read(layout.common_dir.join("shallow")) {
            let cut = shallow
                .split(|b| *b == b'\n')
                .filter(|line| !line.is_empty())
                .count();
            outcome
                .coverage
                .absent
                .insert("parents of commits where a shallow clone ends", cut as u64);
        }
        let index = std::fs::read(layout.git_dir.join("index")).unwrap_or_default();
        outcome.findings.extend(self.told(&refs.told));
        outcome
            .findings
            .extend(keys.findings(self, &objects, &loose, &refs, &index));
    }

    fn pack(&self, objects: &Objects, number: u32, keys: &mut Keys, coverage: &mut Coverage) {
        let pack = &objects.packs[number as usize];
        let forest = forest::Forest::plant(pack, None);
        let name = |entry: u32| match pack.id(entry) {
            Some(id) => Masked::vouched(format!("object {id}")),
            None => Masked::vouched(format!(
                "object at byte {} of {}",
                pack.start(entry),
                self.masked(pack.path())
            )),
        };
        let search = search::Search::new(self.matcher, self.unpacking, self.progress, self.stop);
        let outside = |id: &ObjectId| objects.read(id).ok().flatten();
        let walked = walk::walk(pack, &forest, &search, &outside, self.threads, self.stop);
        for (entry, damage) in &forest.damaged {
            coverage.fail(name(*entry), damage.to_string());
        }
        for results in walked {
            coverage.read.items += results.read.items;
            coverage.read.bytes += results.read.bytes;
            if results.packed.items > 0 {
                let packed = coverage.excluded.entry(Excluded::Packed).or_default();
                packed.items += results.packed.items;
                packed.bytes += results.packed.bytes;
            }
            coverage.members.merge(results.members);
            coverage.exclude_all(Excluded::SeenBefore, results.seen_before);
            for (entry, one) in results.unread {
                self.unread(&name(entry), &one, coverage);
            }
            for (entry, damage) in results.damaged {
                coverage.fail(name(entry), damage.to_string());
            }
            for one in results.occurrences {
                let at = objects::Packed {
                    pack: number,
                    entry: one.entry,
                };
                keys.add(Source::Packed(at), one.at, one.hit);
            }
        }
    }

    fn loose(
        &self,
        objects: &Objects,
        keys: &mut Keys,
        coverage: &mut Coverage,
    ) -> Vec<loose::Found> {
        let mut files = Vec::new();
        for directory in &objects.directories {
            loose::list(
                directory,
                |id, path| files.push((id, path)),
                |path, error| coverage.fail(self.masked(&path), error.to_string()),
            );
        }
        files.sort();
        files.dedup_by_key(|file| file.0);
        self.progress
            .total
            .fetch_add(files.len() as u64, Ordering::Relaxed);
        let read: Vec<_> = files
            .into_par_iter()
            .map_init(Buffers::default, |buffers, (id, path)| {
                let mut found = Vec::new();
                let opened = loose::open(&path).map(|loose| {
                    let go_on = || self.go_on();
                    let examiner = self.examiner(&go_on);
                    let seen = examiner.stream(b"", loose.body, buffers, &mut |one| {
                        found.push((one.offset, one.hit));
                    });
                    let bytes = seen.bytes;
                    self.progress.objects.fetch_add(1, Ordering::Relaxed);
                    self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
                    let whole = !self.go_on() || seen.result.is_ok() && bytes == loose.size;
                    (loose.kind, seen, whole)
                });
                (id, opened, found)
            })
            .collect();
        let mut all = Vec::new();
        for (id, opened, found) in read {
            let name = || Masked::vouched(format!("object {id}"));
            for (at, hit) in found {
                keys.add(Source::Loose(id), at, hit.into());
            }
            match opened {
                Ok((kind, seen, whole)) => {
                    match whole {
                        true => coverage.read.add(seen.bytes),
                        false => coverage.fail(name(), Damage::Compressed.to_string()),
                    }
                    if seen.packed {
                        coverage.exclude(Excluded::Packed, seen.bytes);
                    }
                    coverage.members.merge(seen.members);
                    coverage.exclude_all(Excluded::SeenBefore, seen.seen_before);
                    for one in &seen.unread {
                        self.unread(&name(), one, coverage);
                    }
                    all.push(loose::Found { id, kind });
                }
                Err(damage) => coverage.fail(name(), damage.to_string()),
            }
        }
        all
    }

    /// A member that could not be read, of what is called `name`.
    fn unread(&self, name: &Masked, one: &UnreadMember, coverage: &mut Coverage) {
        let what = Masked::vouched(format!("{name}{}", Way(&one.members)));
        coverage.fail_member(what, &one.why);
    }

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
            for one in &unread {
                self.unread(&self.masked(path), one, &mut outcome.coverage);
            }
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
