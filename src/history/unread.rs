//! Members of objects that could not be read: in which file of the history they are, and whether
//! somebody answered for it beforehand.

use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read};

use super::attribution::{Holders, LONGEST_PATH, Tracer};
use super::damage::Damage;
use super::database::Database;
use super::keys::{Source, path_from};
use super::objects::Objects;
use super::refs::Refs;
use super::story::Stands;
use super::{History, tree};
use crate::coverage::{Coverage, Unread};
use crate::examine::{Buffers, UnreadMember};
use crate::finding;
use crate::repo::{ObjectId, ObjectKind as Kind};
use crate::secret::Masked;
use crate::suppress::hash_of;

/// Of so many objects it is looked up where they stand.
const MOST_TRACED: usize = 1000;

/// So many trees of what refs hold now are read for that.
const MOST_TREES: usize = 2000;

/// An object with members that could not be read.
pub(super) struct Unreadable {
    pub(super) source: Source,
    /// What reports call it.
    pub(super) name: Masked,
    pub(super) members: Vec<UnreadMember>,
    /// Its path, if it is known to have one, and where that stands.
    pub(super) stands: Option<(Vec<u8>, Stands)>,
}

/// An object that could not be unpacked, as it is remembered: it is read again to know what of it.
pub(super) type Unpackable = (ObjectId, Option<(Vec<u8>, Stands)>);

/// Whether a member will not be read the next time, either. Another time there may be more memory.
pub(super) fn lasts(member: &UnreadMember) -> bool {
    !matches!(member.why, Unread::Over(_))
}

impl Unreadable {
    pub(super) fn object(
        id: ObjectId,
        members: Vec<UnreadMember>,
        stands: Option<(Vec<u8>, Stands)>,
    ) -> Self {
        Self {
            source: Source::Object(id),
            name: Masked::vouched(format!("object {id}")),
            members,
            stands,
        }
    }

    pub(super) fn lasts(&self) -> bool {
        self.members.iter().all(lasts)
    }

    /// Looks where the first of them stand in what refs hold now, as far as a few thousand trees tell:
    /// to trace them would take longer than the search. What is checked out comes first.
    pub(super) fn find_in_refs(all: &mut [Self], objects: &Objects, refs: &Refs) {
        let mut wanted = BTreeMap::new();
        for one in all.iter_mut().take(MOST_TRACED) {
            if let Source::Object(id) = one.source {
                wanted.insert(id, &mut one.stands);
            }
        }
        if wanted.is_empty() {
            return;
        }
        let mut seen = HashSet::new();
        for tip in refs.head.iter().chain(refs.named.iter().map(|(_, id)| id)) {
            let Ok(Some((Kind::Commit, commit))) = objects.read(tip) else {
                continue;
            };
            let root = tree::commit(&commit).map(|commit| commit.tree);
            let mut todo = Vec::from_iter(root.map(|root| (root, Vec::new(), Vec::new())));
            while let Some((id, above, way)) = todo.pop() {
                if wanted.is_empty() || seen.len() >= MOST_TREES {
                    return;
                }
                if !seen.insert(id) {
                    continue;
                }
                let Ok(Some((Kind::Tree, bytes))) = objects.read(&id) else {
                    continue;
                };
                for (number, entry) in tree::entries(&bytes, id.as_bytes().len()).enumerate() {
                    let Some(object) = ObjectId::from_bytes(entry.id) else {
                        continue;
                    };
                    let path = || [&above[..], entry.name].concat();
                    let entries = || [&way[..], &[number as u32]].concat();
                    if entry.is_tree && above.len() <= LONGEST_PATH {
                        todo.push((object, [&path()[..], b"/"].concat(), entries()));
                    } else if let (Some(stands), Some(root)) = (wanted.remove(&object), root) {
                        let entries = entries();
                        let found = Stands {
                            object,
                            root,
                            entries,
                        };
                        *stands = Some((path(), found));
                    }
                }
            }
        }
    }

    /// How it is remembered; `None` if it has no name.
    pub(super) fn remembered(&self) -> Option<Unpackable> {
        match self.source {
            Source::Object(id) => Some((id, self.stands.clone())),
            Source::Unnamed(_) => None,
        }
    }

    /// What is traced to know where it stands, of what is in no ref.
    pub(super) fn holders(all: &[Self], tracer: &Tracer<'_>) -> Vec<Holders> {
        let holder = |one: &Self| match one.source {
            Source::Object(id) if one.stands.is_none() => Some((id, tracer.kind(&id)?)),
            _ => None,
        };
        let first = all.iter().take(MOST_TRACED);
        first.map(|one| holder(one).into_iter().collect()).collect()
    }
}

impl History<'_> {
    /// Tells of members of one file that could not be read. It is known by its bytes alone, since
    /// it may have had many names.
    pub(super) fn tell_unread<'b>(
        &self,
        name: &str,
        accepted: bool,
        members: &[UnreadMember],
        body: impl FnOnce() -> Option<Box<dyn Read + 'b>>,
        coverage: &mut Coverage,
    ) {
        let hash = match self.suppress.has_members() && !members.is_empty() {
            true => body().and_then(|body| hash_of(body).ok()),
            false => None,
        };
        for UnreadMember { members, why } in members {
            let what = Masked::vouched(format!("{name}{}", finding::Way(members)));
            let names: Vec<String> = members.iter().map(|member| member.to_string()).collect();
            let acknowledges = |hash| self.suppress.acknowledges(None, &names, &hash);
            match accepted || hash.is_some_and(acknowledges) {
                true => coverage.accept_member(what, why),
                false => coverage.fail_member(what, why),
            }
        }
    }
}

impl Database<'_> {
    /// Tells of members that could not be read: failures, unless somebody acknowledged them or what
    /// stands at such a path.
    pub(super) fn tell_unread(&mut self) {
        let mut coverage = std::mem::take(&mut self.coverage);
        for one in &self.unread {
            self.tell_one(one, &mut coverage);
        }
        self.coverage = coverage;
    }

    /// Reads what an earlier audit could not unpack. What can't even be read any more is a failure.
    pub(super) fn unread_again(&mut self, known: Vec<Unpackable>) {
        let history = self.history;
        let go_on = || history.go_on();
        let (examiner, mut buffers) = (history.examiner(&go_on), Buffers::default());
        for (id, stands) in known {
            let read = self.objects.stream(&id).and_then(|object| {
                let body = object
                    .ok_or(Damage::Unreadable(ErrorKind::NotFound.into()))?
                    .body;
                let seen = examiner.stream(b"", body, &mut buffers, &mut |_| {});
                seen.result?;
                Ok(seen.unread)
            });
            match read {
                Ok(members) => self.unread.push(Unreadable::object(id, members, stands)),
                Err(damage) => {
                    let what = Masked::vouched(format!("object {id}"));
                    self.coverage.fail(what, damage.to_string());
                }
            }
        }
    }

    fn tell_one(&self, one: &Unreadable, coverage: &mut Coverage) {
        let history = self.history;
        let path = one.stands.as_ref().map(|(path, _)| path.as_slice());
        let accepts = |path: &[u8]| history.accept.matches_below(&path_from(path));
        let name = match path {
            Some(path) => format!("{} ({})", one.name, history.matcher.redact(path)),
            None => one.name.to_string(),
        };
        let body = || self.body(one.source);
        history.tell_unread(
            &name,
            path.is_some_and(accepts),
            &one.members,
            body,
            coverage,
        );
    }

    fn body(&self, source: Source) -> Option<Box<dyn Read + '_>> {
        let found = match source {
            Source::Object(id) => self.objects.stream(&id).ok()?,
            Source::Unnamed(at) => self.objects.stream_packed(at).ok(),
        };
        Some(found?.body)
    }
}
