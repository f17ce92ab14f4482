//! The keys that were found, each with all its objects, and the findings that are made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::attribution::{NAMED, Story, Tracer};
use super::objects::{Objects, Packed};
use super::refs::Refs;
use super::{History, loose, tree};
use crate::examine;
use crate::finding::{CommitInfo, Context, Counted, Finding, InHistory, Place, ShownPath};
use crate::matcher::Hit;
use crate::repo::{ObjectId, ObjectKind as Kind};
use crate::secret::{Fingerprint, Masked};

/// Where an object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Packed(Packed),
    Loose(ObjectId),
}

/// One key and where it was seen.
struct Key {
    hit: Arc<Hit>,
    /// The place of the first sight of it in each object.
    seen: BTreeMap<Source, u64>,
}

/// All keys.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<Fingerprint, Key>);

impl Keys {
    /// Notes a key at a place of an object.
    pub(super) fn add(&mut self, source: Source, at: u64, hit: Arc<Hit>) {
        let key = self.0.entry(hit.fingerprint).or_insert_with(|| Key {
            hit: Arc::clone(&hit),
            seen: BTreeMap::new(),
        });
        if hit.confidence > key.hit.confidence {
            key.hit = hit;
        }
        let first = key.seen.entry(source).or_insert(at);
        *first = at.min(*first);
    }

    /// A finding for each key, traced to where it came from.
    pub(super) fn findings(
        self,
        history: &History<'_>,
        objects: &Objects,
        loose: &[loose::Found],
        refs: &Refs,
        index: &[u8],
    ) -> Vec<Finding> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let tracer = Tracer {
            objects,
            loose,
            refs,
            index,
            threads: history.threads,
            stop: history.stop,
        };
        let loose_kinds: BTreeMap<ObjectId, Kind> = loose.iter().map(|o| (o.id, o.kind)).collect();
        let ids = |key: &Key| -> BTreeMap<ObjectId, Source> {
            let named = key.seen.keys().filter_map(|source| {
                let id = match source {
                    Source::Packed(at) => objects.id(*at)?,
                    Source::Loose(id) => *id,
                };
                Some((id, *source))
            });
            named.collect()
        };
        let known: Vec<BTreeMap<ObjectId, Source>> = self.0.values().map(ids).collect();
        let holders: Vec<Vec<(ObjectId, Kind)>> = known
            .iter()
            .map(|ids| {
                let kind = |source: &Source| match source {
                    Source::Packed(at) => objects.kind(*at),
                    Source::Loose(id) => loose_kinds.get(id).copied(),
                };
                ids.iter()
                    .filter_map(|(id, source)| Some((*id, kind(source)?)))
                    .collect()
            })
            .collect();
        let (stories, _) = tracer.trace(&holders);
        self.0
            .into_values()
            .zip(known)
            .zip(stories)
            .filter_map(|((key, ids), story)| key.finding(history, objects, &ids, story))
            .collect()
    }
}

impl Key {
    fn finding(
        self,
        history: &History<'_>,
        objects: &Objects,
        ids: &BTreeMap<ObjectId, Source>,
        story: Story,
    ) -> Option<Finding> {
        // The object of the first commit; if the key is in none, any that holds it.
        let chosen = story
            .origin
            .as_ref()
            .map(|(_, id)| *id)
            .or(story.first.filter(|id| ids.contains_key(id)));
        let source = match chosen.and_then(|id| ids.get(&id)) {
            Some(source) => *source,
            None => *self.seen.keys().next()?,
        };
        let (id, read) = match source {
            Source::Packed(at) => (objects.id(at), objects.read_packed(at).ok()),
            Source::Loose(id) => (Some(id), objects.read(&id).ok().flatten()),
        };
        // What is too large to be rebuilt, or was there a moment ago, held the key all the same.
        let (kind, bytes) = read.unwrap_or((Kind::Blob, Vec::new()));
        let matcher = history.matcher;
        let masked = |bytes: &[u8]| matcher.redact(bytes);
        let path = |bytes: &[u8]| ShownPath::new(path_from(bytes), masked(bytes));
        let commit = |id: &ObjectId| {
            let (_, bytes) = objects.read(id).ok().flatten()?;
            let (author, time, summary) = tree::summary(&bytes);
            Some(CommitInfo {
                id: id.to_string(),
                author: masked(author),
                time,
                summary: masked(summary),
            })
        };
        let names = |names: &[Vec<u8>]| {
            names
                .iter()
                .map(|name| masked(name))
                .collect::<Vec<Masked>>()
        };
        let at = self.seen.get(&source).copied().unwrap_or_default();
        let origin = story.origin.map(|(mut path, _)| {
            if kind == Kind::Tree {
                let id_length = id.map_or(20, |id| id.as_bytes().len());
                let named = tree::entries(&bytes, id_length).find(|e| e.id_at as u64 > at);
                path.extend_from_slice(if path.is_empty() { b"" } else { b"/" });
                path.extend_from_slice(named.map_or(b"", |entry| entry.name));
            }
            path
        });
        let place = Place::Object(Arc::new(InHistory {
            object: id.map(|id| id.to_string()).unwrap_or_default(),
            kind: kind.as_str(),
            path: origin.as_deref().map(path),
            first: story.first.as_ref().and_then(commit),
            commits: Counted {
                named: story.commits.iter().map(ObjectId::to_string).collect(),
                count: story.commit_count,
            },
            paths: story.paths.keys().take(NAMED).map(|at| path(at)).collect(),
            objects: self.seen.keys().collect::<BTreeSet<_>>().len() as u64,
            held_by: Counted {
                named: names(&story.held_by),
                count: story.held_by_count,
            },
            reached_from: Counted {
                named: names(&story.reached_from),
                count: story.reached_from_count,
            },
            kept: story.kept.into_iter().collect(),
        }));
        let mut found = None;
        let go_on = || history.go_on();
        history.examiner(&go_on).bytes(b"", &bytes, &mut |one| {
            if one.hit.fingerprint == self.hit.fingerprint && found.is_none() {
                found = Some(history.finding(one, place.clone()));
            }
        });
        Some(found.unwrap_or_else(|| history.finding(self.as_seen(at), place)))
    }

    /// The key where the search saw it, in an object that can't be looked at again: its lines were
    /// not counted, so the place is told in bytes.
    fn as_seen(&self, at: u64) -> examine::Found {
        let line = self.hit.secret.mask();
        let key = 0..line.as_bytes().len();
        examine::Found {
            hit: Hit::clone(&self.hit),
            members: Vec::new(),
            offset: at,
            line: 1,
            column: at + 1,
            context: Context { line, key },
            raw_line: Vec::new(),
        }
    }
}

#[cfg(unix)]
fn path_from(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
fn path_from(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}
