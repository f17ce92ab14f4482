//! How what is told of a key is written down for the next audit. Never a key: a name with one in it,
//! of a ref or in a path, is told by where it stands, and read there again.

use std::collections::HashMap;

use super::keys::{Source, Told};
use super::memory::{asked, fingerprint, id, put_asked};
use super::objects::Objects;
use super::refs::Refs;
use super::story::{KEPT, Stands, Story};
use crate::cache::{Decoder, Encoder};
use crate::finding::{Kept, Rewrite};

/// What `HEAD` is called among the names of refs: it has no full name.
const HEAD: &[u8] = b"HEAD";

/// Writes down what is told.
pub(super) struct Retold<'a> {
    /// Refs by name: which of all they are.
    refs: HashMap<&'a [u8], u64>,
    /// Whether there is no key in a text.
    clean: &'a dyn Fn(&[u8]) -> bool,
}

impl<'a> Retold<'a> {
    pub(super) fn new(refs: &'a Refs, clean: &'a dyn Fn(&[u8]) -> bool) -> Self {
        let names = refs.named.iter().map(|(name, _)| name.as_slice());
        let refs = names.chain([HEAD]).zip(0..).collect();
        Self { refs, clean }
    }

    /// Whether all of it can be found again.
    pub(super) fn may_be_kept(&self, told: &Told) -> bool {
        let Story {
            held_by,
            reached_from,
            ..
        } = &told.story;
        let mut names = held_by.iter().chain(reached_from);
        matches!(told.source, Source::Object(_))
            && names.all(|name| self.refs.contains_key(name.as_slice()))
    }

    /// Writes down what may be kept.
    pub(super) fn put(&self, entry: &mut Encoder, told: &Told) {
        let Source::Object(id) = told.source else {
            return;
        };
        let story = &told.story;
        entry.bytes(told.key.to_string().as_bytes());
        entry.raw(id.as_bytes());
        for number in [told.at, told.objects, u64::from(told.in_index)] {
            entry.number(number);
        }
        for number in [
            story.commit_count,
            story.held_by_count,
            story.reached_from_count,
            story.rewrite.commits,
            story.rewrite.branches,
            story.rewrite.tags,
        ] {
            entry.number(number);
        }
        let is_kept = |kept: &Kept| u64::from(story.kept.contains(kept));
        let kept = KEPT
            .iter()
            .rev()
            .fold(0, |bits, kept| bits << 1 | is_kept(kept));
        entry.number(kept);
        entry.list(story.first.iter(), |entry, id| entry.raw(id.as_bytes()));
        entry.list(story.commits.iter(), |entry, id| entry.raw(id.as_bytes()));
        entry.list(story.paths.iter(), |entry, (path, stands)| {
            self.put_path(entry, path, stands);
        });
        entry.list(story.origin.iter(), |entry, (path, stands)| {
            self.put_path(entry, path, stands);
        });
        for names in [&story.held_by, &story.reached_from] {
            let numbers = names
                .iter()
                .filter_map(|name| self.refs.get(name.as_slice()));
            let numbers: Vec<u64> = numbers.copied().collect();
            entry.list(numbers.into_iter(), Encoder::number);
        }
    }

    pub(super) fn put_path(&self, entry: &mut Encoder, path: &[u8], stands: &Stands) {
        entry.raw(stands.object.as_bytes());
        entry.raw(stands.root.as_bytes());
        entry.list(stands.entries.iter(), |entry, number| {
            entry.number((*number).into());
        });
        let text = (self.clean)(path).then_some(path);
        put_asked(entry, text, Encoder::bytes);
    }
}

/// A path that was written down, or is where it stood; `None` if it is not so any more.
pub(super) fn path(entry: &mut Decoder<'_>, objects: &Objects) -> Option<(Vec<u8>, Stands)> {
    let length = objects.id_length();
    let stands = Stands {
        object: id(entry, length)?,
        root: id(entry, length)?,
        entries: entry.list(|entry| u32::try_from(entry.number()?).ok())?,
    };
    let text = asked(entry, |entry| Some(entry.bytes()?.to_vec()))?;
    Some((text.or_else(|| stands.path(objects))?, stands))
}

/// What was written down; `None` if it is not so any more.
pub(super) fn told(entry: &mut Decoder<'_>, objects: &Objects, refs: &Refs) -> Option<Told> {
    let length = objects.id_length();
    let key = fingerprint(entry)?;
    let source = Source::Object(id(entry, length)?);
    let (at, count, in_index) = (entry.number()?, entry.number()?, entry.number()? != 0);
    let (commit_count, held_by_count, reached_from_count) =
        (entry.number()?, entry.number()?, entry.number()?);
    let rewrite = Rewrite {
        commits: entry.number()?,
        branches: entry.number()?,
        tags: entry.number()?,
    };
    let bits = entry.number()?;
    let kept = KEPT
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 != 0);
    let kept = kept.map(|(_, kept)| *kept).collect();
    let first = entry.list(|entry| id(entry, length))?.pop();
    let commits = entry.list(|entry| id(entry, length))?;
    let paths = entry
        .list(|entry| path(entry, objects))?
        .into_iter()
        .collect();
    let origin = entry.list(|entry| path(entry, objects))?.pop();
    let name = |entry: &mut Decoder<'_>| {
        let number = usize::try_from(entry.number()?).ok()?;
        match refs.named.get(number) {
            Some((name, _)) => Some(name.clone()),
            None => (number == refs.named.len()).then(|| HEAD.to_vec()),
        }
    };
    let (held_by, reached_from) = (entry.list(name)?, entry.list(name)?);
    let story = Story {
        first,
        commits,
        commit_count,
        paths,
        origin,
        held_by,
        held_by_count,
        reached_from,
        reached_from_count,
        rewrite,
        cut: false,
        kept,
    };
    Some(Told::remembered(key, source, at, count, in_index, story))
}
