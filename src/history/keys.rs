//! The keys that were found, each with all its objects, and the findings that are made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::attribution::{Holders, Tracer};
use super::damage::Damage;
use super::objects::{LARGEST, Objects, Packed};
use super::purge;
use super::story::{NAMED, Story};
use super::{History, tree};
use crate::examine::{self, Buffers};
use crate::finding::{CommitInfo, Context, Counted, Finding, InHistory, Kept, Place, ShownPath};
use crate::matcher::Hit;
use crate::repo::{ObjectId, ObjectKind as Kind};
use crate::secret::{Fingerprint, Masked};

/// An object that holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Object(ObjectId),
    /// In a pack without an index, nothing has a name.
    Unnamed(Packed),
}

/// One key and where it was seen.
#[derive(Default)]
pub(super) struct Key {
    /// What the matcher said; nothing if only earlier runs have seen it.
    hit: Option<Arc<Hit>>,
    /// The place of the first sight of it in each object.
    seen: BTreeMap<Source, u64>,
}

/// All keys.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<Fingerprint, Key>);

/// A key, its story, and the place that is shown.
pub(super) struct Told {
    pub(super) key: Fingerprint,
    pub(super) source: Source,
    pub(super) at: u64,
    /// How many objects hold it.
    pub(super) objects: u64,
    /// Whether the index names one of them.
    pub(super) in_index: bool,
    pub(super) story: Story,
    hit: Option<Arc<Hit>>,
}

/// An earlier run has seen a key where there is none now.
pub(super) struct Stale;

impl Keys {
    /// Notes a key at a place of an object.
    pub(super) fn add(&mut self, source: Source, at: u64, hit: Arc<Hit>) {
        let key = self.seen(hit.fingerprint, source, at);
        if key
            .hit
            .as_ref()
            .is_none_or(|known| hit.confidence > known.confidence)
        {
            key.hit = Some(hit);
        }
    }

    /// Notes a place of which all that is known is which key was seen there.
    pub(super) fn seen(&mut self, key: Fingerprint, source: Source, at: u64) -> &mut Key {
        let key = self.0.entry(key).or_default();
        let first = key.seen.entry(source).or_insert(at);
        *first = at.min(*first);
        key
    }

    /// Which objects hold which keys.
    pub(super) fn holders(&self) -> purge::Holders {
        let mut holders = purge::Holders::new();
        for (key, about) in &self.0 {
            for source in about.seen.keys() {
                if let Source::Object(id) = source {
                    holders.entry(*id).or_default().insert(*key);
                }
            }
        }
        holders
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The objects that hold any of them; those without a name are left out.
    pub(super) fn objects(&self) -> BTreeSet<ObjectId> {
        let sources = self.0.values().flat_map(|key| key.seen.keys());
        let named = sources.filter_map(|source| match source {
            Source::Object(id) => Some(*id),
            Source::Unnamed(_) => None,
        });
        named.collect()
    }

    /// Forgets keys where they stand in other objects than these.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<ObjectId>) {
        self.0.retain(|_, key| {
            key.seen
                .retain(|source, _| matches!(source, Source::Object(id) if wanted.contains(id)));
            !key.seen.is_empty()
        });
    }

    /// Traces all keys to where they came from, and `others` with them.
    pub(super) fn trace(
        self,
        tracer: &Tracer<'_>,
        others: Vec<Holders>,
    ) -> (Vec<Told>, Vec<Story>) {
        if self.0.is_empty() && others.iter().all(Vec::is_empty) {
            return Default::default();
        }
        let holders = |key: &Key| {
            let named = key.seen.keys().filter_map(|source| match source {
                Source::Object(id) => Some((*id, tracer.kind(id)?)),
                Source::Unnamed(_) => None,
            });
            named.collect::<Vec<_>>()
        };
        let mut holders: Vec<_> = self.0.values().map(holders).collect();
        let in_index = tracer.in_index(&holders);
        holders.extend(others);
        let (mut stories, _) = tracer.trace(&holders);
        let of_others = stories.split_off(self.0.len());
        let told = self
            .0
            .into_iter()
            .zip(stories)
            .zip(in_index)
            .filter_map(|(((fingerprint, key), story), in_index)| {
                key.told(fingerprint, story, in_index)
            })
            .collect();
        (told, of_others)
    }
}

impl Key {
    fn told(self, key: Fingerprint, story: Story, in_index: bool) -> Option<Told> {
        // The object of the first commit; if the key is in none, any that holds it.
        let first = story
            .origin
            .as_ref()
            .map(|(_, at)| at.object)
            .or(story.first);
        let chosen = first.map(Source::Object);
        let (source, at) = chosen
            .and_then(|source| self.seen.get_key_value(&source))
            .or_else(|| self.seen.first_key_value())?;
        Some(Told {
            key,
            source: *source,
            at: *at,
            objects: self.seen.len() as u64,
            in_index,
            story,
            hit: self.hit,
        })
    }
}

impl Told {
    /// What an earlier run has told.
    pub(super) fn remembered(
        key: Fingerprint,
        source: Source,
        at: u64,
        objects: u64,
        in_index: bool,
        story: Story,
    ) -> Self {
        Self {
            key,
            source,
            at,
            objects,
            in_index,
            story,
            hit: None,
        }
    }

    /// The finding, read again where the key stands, and whether it could be. What is too large to
    /// be rebuilt, or was there a moment ago, held the key all the same.
    pub(super) fn finding(
        &self,
        history: &History<'_>,
        objects: &Objects,
    ) -> Result<(Finding, bool), Stale> {
        let told = self.finding_within(history, objects, LARGEST)?;
        Ok(told.expect("nothing larger is read at all"))
    }

    /// The same; `None` if something that has to be read for it has more than `most` bytes.
    pub(super) fn finding_within(
        &self,
        history: &History<'_>,
        objects: &Objects,
        most: u64,
    ) -> Result<Option<(Finding, bool)>, Stale> {
        let Self {
            source, at, story, ..
        } = self;
        let (id, read) = match source {
            Source::Object(id) => (Some(*id), objects.read_within(id, most)),
            Source::Unnamed(at) => (None, objects.rebuild(*at, most).map(Some)),
        };
        let first = story.first.map(|id| (id, objects.read_within(&id, most)));
        let is_large = |read: &Result<_, Damage>| matches!(read, Err(Damage::TooLarge(_)));
        if most < LARGEST && (is_large(&read) || first.iter().any(|first| is_large(&first.1))) {
            return Ok(None);
        }
        let read = read.ok().flatten();
        // Nothing says what an object is called in a pack without an index but the object itself.
        let id = id.or_else(|| {
            let (kind, bytes) = read.as_ref()?;
            ObjectId::of(*kind, bytes, objects.id_length())
        });
        let (kind, bytes) = read.unwrap_or((Kind::Blob, Vec::new()));
        let matcher = history.matcher;
        let masked = |bytes: &[u8]| matcher.redact(bytes);
        let path = |bytes: &[u8]| ShownPath::new(path_from(bytes), masked(bytes));
        let commit = |(id, read): (ObjectId, Option<(Kind, Vec<u8>)>)| {
            let (_, bytes) = read?;
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
        let origin = story.origin.as_ref().map(|(path, _)| {
            let mut path = path.clone();
            if kind == Kind::Tree {
                let id_length = id.map_or(20, |id| id.as_bytes().len());
                let named = tree::entries(&bytes, id_length).find(|e| e.id_at as u64 > *at);
                path.extend_from_slice(if path.is_empty() { b"" } else { b"/" });
                path.extend_from_slice(named.map_or(b"", |entry| entry.name));
            }
            path
        });
        let place = Place::Object(Arc::new(InHistory {
            object: id.map(|id| id.to_string()).unwrap_or_default(),
            kind: kind.as_str(),
            path: origin.as_deref().map(path),
            first: first
                .map(|(id, read)| (id, read.ok().flatten()))
                .and_then(commit),
            commits: Counted {
                named: story.commits.iter().map(ObjectId::to_string).collect(),
                count: story.commit_count,
            },
            paths: story.paths.keys().take(NAMED).map(|at| path(at)).collect(),
            objects: self.objects,
            held_by: Counted {
                named: names(&story.held_by),
                count: story.held_by_count,
            },
            reached_from: Counted {
                named: names(&story.reached_from),
                count: story.reached_from_count,
            },
            rewrite: story.rewrite,
            kept: self.kept(),
        }));
        let mut found = None;
        let go_on = || history.go_on();
        history.examiner(&go_on).bytes(b"", &bytes, &mut |one| {
            if one.hit.fingerprint == self.key && found.is_none() {
                found = Some(history.finding(one, place.clone()));
            }
        });
        if found.is_none()
            && let Source::Object(id) = source
            && let Ok(Some(loose)) = objects.stream(id)
        {
            // Too large to be rebuilt: once more through all of it, for the line.
            let (mut buffers, go_on) = (Buffers::default(), || history.go_on());
            examine::stream(matcher, loose.body, &mut buffers, &go_on, &mut |one| {
                if one.hit.fingerprint == self.key && found.is_none() {
                    found = Some(history.finding(one, place.clone()));
                }
            });
        }
        match (found, &self.hit) {
            (Some(found), _) => Ok(Some((found, true))),
            (None, Some(hit)) => Ok(Some((history.finding(as_seen(hit, *at), place), false))),
            (None, None) => Err(Stale),
        }
    }

    /// What keeps it.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let mut kept = self.story.kept.clone();
        kept.extend(self.in_index.then_some(Kept::Index));
        if kept.is_empty() && !self.story.cut {
            kept.insert(Kept::Nothing);
        }
        kept.into_iter().collect()
    }
}

/// A key where the search saw it, in an object that can't be looked at again: its lines were not
/// counted, so the place is told in bytes.
fn as_seen(hit: &Hit, at: u64) -> examine::Found {
    let line = hit.secret.mask();
    let key = 0..line.as_bytes().len();
    examine::Found {
        hit: hit.clone(),
        members: Vec::new(),
        offset: at,
        line: 1,
        column: at + 1,
        context: Context { line, key },
        raw_line: Vec::new(),
    }
}

#[cfg(unix)]
pub(super) fn path_from(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
pub(super) fn path_from(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}
