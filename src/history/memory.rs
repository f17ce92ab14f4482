//! What is remembered from one audit to the next: for each pack, for the loose objects and for a
//! whole repository, which keys were seen where. Never a key: keys are named by their fingerprints,
//! and read again where they stand. So is a text with a key in it (`retold`).
//!
//! An entry depends on the rules and on the program's own sources (`SKEWER_LOGIC`, made by
//! `build.rs`): when one of them changes, nothing is remembered. A pack is known by its checksum
//! and its index's. A damaged or outdated entry costs time, and is never believed: whoever can't
//! find a key where it was seen forgets everything and reads all again.

use std::collections::BTreeMap;

use super::keys::{Keys, Source, Told};
use super::links::Head;
use super::loose::Found;
use super::objects::Objects;
use super::pack::Pack;
use super::refs::Refs;
use super::retold::{Retold, path, told};
use super::unread::Unpackable;
use super::{History, Layout};
use crate::cache::{Cache, Decoder, Encoder, Name};
use crate::coverage::Tally;
use crate::examine::Limits;
use crate::repo::{ObjectId, ObjectKind as Kind};
use crate::rules::Rules;
use crate::secret::Fingerprint;

/// Which sources this program was built from.
const LOGIC: &str = env!("SKEWER_LOGIC");

const KINDS: [Kind; 4] = [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag];

/// The memory of earlier audits.
#[derive(Debug)]
pub struct Memory {
    cache: Cache,
    stamp: Name,
}

/// What was seen in objects: keys, and where in which objects.
pub(super) type Seen = Vec<(Fingerprint, Vec<(ObjectId, u64)>)>;

/// A pack that was searched to the end.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SearchedPack {
    pub(super) read: Tally,
    pub(super) packed: Tally,
    pub(super) members: Tally,
    /// What its deltas are made against and it does not hold.
    pub(super) bases: Vec<ObjectId>,
    /// What its objects name and it does not hold, in order; `None` where nobody asked.
    pub(super) outside: Option<Vec<Head>>,
    /// How many of its objects are commits.
    pub(super) commits: u64,
    pub(super) seen: Seen,
    /// Objects with members that could not be read.
    pub(super) unread: Vec<ObjectId>,
}

/// A whole repository as it was.
pub(super) struct Whole {
    pub(super) read: Tally,
    pub(super) packed: Tally,
    pub(super) members: Tally,
    /// What a partial clone left out; `None` where nobody asked what objects name.
    pub(super) left_out: Option<u64>,
    pub(super) told: Vec<Told>,
    /// What could not be unpacked.
    pub(super) unread: Vec<Unpackable>,
    /// Whether it is an earlier audit that says so.
    pub(super) remembered: bool,
}

impl Whole {
    /// Whether the paths of all that could not be unpacked are known, as far as they have one.
    pub(super) fn has_paths(&self) -> bool {
        self.unread.iter().all(|(_, stands)| stands.is_some())
    }
}

impl Memory {
    /// What the cache holds for these rules, these limits of unpacking and this program.
    pub fn new(cache: Cache, rules: &Rules, limits: &Limits) -> Self {
        let limits = format!("{limits:?}");
        Self {
            cache,
            stamp: Name::of(&[LOGIC.as_bytes(), rules.hash(), limits.as_bytes()]),
        }
    }

    fn name(&self, what: &str, parts: &[&[u8]]) -> Name {
        Name::of(&[&[self.stamp.as_bytes(), what.as_bytes()], parts].concat())
    }

    /// Nothing depends on it: an entry that can't be written is made again next time.
    fn put(&self, name: Name, entry: Encoder) {
        let _ = self.cache.put(&name, &entry.into_bytes());
    }

    /// What is known of a pack. That other databases still hold what its deltas are made against is
    /// checked.
    pub(super) fn pack(&self, pack: &Pack, objects: &Objects) -> Option<SearchedPack> {
        let bytes = self.cache.get(&self.name("pack", &[&pack.identity()?]))?;
        let mut entry = Decoder::new(&bytes);
        let known = SearchedPack {
            read: tally(&mut entry)?,
            packed: tally(&mut entry)?,
            members: tally(&mut entry)?,
            bases: entry.list(|entry| id(entry, objects.id_length()))?,
            outside: asked(&mut entry, |entry| entry.list(head))?,
            commits: entry.number()?,
            seen: seen(&mut entry, objects.id_length())?,
            unread: entry.list(|entry| id(entry, objects.id_length()))?,
        };
        let whole = entry.is_empty() && known.bases.iter().all(|base| objects.holds(base));
        whole.then_some(known)
    }

    pub(super) fn keep_pack(&self, pack: &Pack, searched: &SearchedPack) {
        let Some(identity) = pack.identity() else {
            return;
        };
        let mut entry = Encoder::default();
        put_tally(&mut entry, searched.read);
        put_tally(&mut entry, searched.packed);
        put_tally(&mut entry, searched.members);
        entry.list(searched.bases.iter(), |entry, base| {
            entry.raw(base.as_bytes())
        });
        put_asked(&mut entry, searched.outside.as_ref(), |entry, outside| {
            entry.list(outside.iter(), |entry, head| entry.raw(&head.to_be_bytes()));
        });
        entry.number(searched.commits);
        put_seen(&mut entry, &searched.seen);
        entry.list(searched.unread.iter(), |entry, id| entry.raw(id.as_bytes()));
        self.put(self.name("pack", &[&identity]), entry);
    }

    fn loose_name(&self, layout: &Layout) -> Name {
        let directory = layout.objects.as_os_str().as_encoded_bytes();
        self.name("loose", &[directory])
    }

    /// Which loose objects are known, in the order of their ids, and what was seen in them.
    pub(super) fn loose(&self, layout: &Layout) -> Option<(Vec<Found>, Seen)> {
        let bytes = self.cache.get(&self.loose_name(layout))?;
        let mut entry = Decoder::new(&bytes);
        let objects = entry.list(|entry| {
            let id = id(entry, layout.id_length)?;
            let (about, bytes) = (entry.number()?, entry.number()?);
            Some(Found {
                id,
                kind: *KINDS.get((about >> 1) as usize)?,
                packed: about & 1 != 0,
                bytes,
                whole: true,
            })
        })?;
        let seen = seen(&mut entry, layout.id_length)?;
        let in_order = objects.windows(2).all(|pair| pair[0].id < pair[1].id);
        (entry.is_empty() && in_order).then_some((objects, seen))
    }

    pub(super) fn keep_loose(&self, layout: &Layout, objects: &[Found], seen: &Seen) {
        let mut entry = Encoder::default();
        entry.list(objects.iter(), |entry, object| {
            let kind = KINDS.iter().position(|kind| *kind == object.kind);
            entry.raw(object.id.as_bytes());
            entry.number((kind.unwrap_or_default() as u64) << 1 | u64::from(object.packed));
            entry.number(object.bytes);
        });
        put_seen(&mut entry, seen);
        self.put(self.loose_name(layout), entry);
    }

    fn whole_name(&self, layout: &Layout) -> Name {
        let paths = [&layout.git_dir, &layout.common_dir, &layout.objects];
        let paths = paths.map(|path| path.as_os_str().as_encoded_bytes());
        self.name("repository", &paths)
    }

    /// All that a repository's stories depend on; `None` where something has no name.
    pub(super) fn state(
        &self,
        objects: &Objects,
        loose: &[ObjectId],
        refs: &Refs,
        index: &[u8],
    ) -> Option<Name> {
        let packs = objects.packs.iter().map(|pack| {
            let mut identity = pack.identity()?;
            identity.push(pack.is_promised().into());
            Some(identity)
        });
        let packs = packs.collect::<Option<Vec<_>>>()?.concat();
        let raw = |ids: &mut dyn Iterator<Item = &ObjectId>| {
            ids.flat_map(ObjectId::as_bytes)
                .copied()
                .collect::<Vec<u8>>()
        };
        let loose = raw(&mut loose.iter());
        let (head, logged) = (raw(&mut refs.head.iter()), raw(&mut refs.logged.iter()));
        let mut named = Encoder::default();
        for (name, id) in &refs.named {
            named.bytes(name);
            named.raw(id.as_bytes());
        }
        let named = named.into_bytes();
        Some(self.name("state", &[&packs, &loose, &head, &logged, &named, index]))
    }

    /// What is known of a repository that is as it was.
    pub(super) fn whole(
        &self,
        layout: &Layout,
        state: &Name,
        objects: &Objects,
        refs: &Refs,
    ) -> Option<Whole> {
        let bytes = self.cache.get(&self.whole_name(layout))?;
        let bytes = bytes.strip_prefix(state.as_bytes())?;
        let mut entry = Decoder::new(bytes);
        let whole = Whole {
            read: tally(&mut entry)?,
            packed: tally(&mut entry)?,
            members: tally(&mut entry)?,
            left_out: asked(&mut entry, Decoder::number)?,
            told: entry.list(|entry| told(entry, objects, refs))?,
            unread: entry.list(|entry| {
                let id = id(entry, layout.id_length)?;
                let stands = asked(entry, |entry| path(entry, objects))?;
                Some((id, stands))
            })?,
            remembered: true,
        };
        entry.is_empty().then_some(whole)
    }

    /// Remembers a repository. Names with keys in them are not written down, but where they stand.
    pub(super) fn keep_whole(
        &self,
        history: &History<'_>,
        layout: &Layout,
        state: &Name,
        refs: &Refs,
        whole: &Whole,
    ) {
        let mut entry = Encoder::default();
        entry.raw(state.as_bytes());
        put_tally(&mut entry, whole.read);
        put_tally(&mut entry, whole.packed);
        put_tally(&mut entry, whole.members);
        put_asked(&mut entry, whole.left_out, Encoder::number);
        let clean = |text: &[u8]| history.matcher.search_all(text).is_empty();
        let retold = Retold::new(refs, &clean);
        if whole.told.iter().all(|told| retold.may_be_kept(told)) {
            entry.list(whole.told.iter(), |entry, told| retold.put(entry, told));
            entry.list(whole.unread.iter(), |entry, (id, stands)| {
                entry.raw(id.as_bytes());
                put_asked(entry, stands.as_ref(), |entry, (path, stands)| {
                    retold.put_path(entry, path, stands);
                });
            });
            self.put(self.whole_name(layout), entry);
        }
    }
}

/// Orders what was seen by key.
pub(super) fn by_key(seen: impl IntoIterator<Item = (Fingerprint, ObjectId, u64)>) -> Seen {
    let mut keys: BTreeMap<Fingerprint, BTreeMap<ObjectId, u64>> = BTreeMap::new();
    for (key, id, at) in seen {
        let first = keys.entry(key).or_default().entry(id).or_insert(at);
        *first = at.min(*first);
    }
    keys.into_iter()
        .map(|(key, places)| (key, places.into_iter().collect()))
        .collect()
}

/// Hands on what was seen.
pub(super) fn recall(seen: &Seen, keys: &mut Keys, is_there: impl Fn(&ObjectId) -> bool) {
    for (key, places) in seen {
        for (id, at) in places.iter().filter(|(id, _)| is_there(id)) {
            keys.seen(*key, Source::Object(*id), *at);
        }
    }
}

fn put_tally(entry: &mut Encoder, tally: Tally) {
    entry.number(tally.items);
    entry.number(tally.bytes);
}

fn tally(entry: &mut Decoder<'_>) -> Option<Tally> {
    Some(Tally {
        items: entry.number()?,
        bytes: entry.number()?,
    })
}

/// The answer to a question that may not have been asked.
pub(super) fn put_asked<T>(
    entry: &mut Encoder,
    answer: Option<T>,
    put: impl FnOnce(&mut Encoder, T),
) {
    entry.number(answer.is_some().into());
    if let Some(answer) = answer {
        put(entry, answer);
    }
}

pub(super) fn asked<'a, T>(
    entry: &mut Decoder<'a>,
    get: impl FnOnce(&mut Decoder<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match entry.number()? {
        0 => Some(None),
        _ => get(entry).map(Some),
    }
}

pub(super) fn id(entry: &mut Decoder<'_>, length: usize) -> Option<ObjectId> {
    ObjectId::from_bytes(entry.raw(length)?)
}

fn head(entry: &mut Decoder<'_>) -> Option<Head> {
    Some(Head::from_be_bytes(entry.raw(8)?.try_into().ok()?))
}

pub(super) fn fingerprint(entry: &mut Decoder<'_>) -> Option<Fingerprint> {
    std::str::from_utf8(entry.bytes()?).ok()?.parse().ok()
}

fn put_seen(entry: &mut Encoder, seen: &Seen) {
    entry.list(seen.iter(), |entry, (key, places)| {
        entry.bytes(key.to_string().as_bytes());
        entry.list(places.iter(), |entry, (id, at)| {
            entry.raw(id.as_bytes());
            entry.number(*at);
        });
    });
}

fn seen(entry: &mut Decoder<'_>, length: usize) -> Option<Seen> {
    entry.list(|entry| {
        let key = fingerprint(entry)?;
        let places = entry.list(|entry| Some((id(entry, length)?, entry.number()?)))?;
        Some((key, places))
    })
}
