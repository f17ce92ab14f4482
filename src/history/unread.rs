//! Members of objects that could not be read: in which file of the history they are, and whether
//! somebody answered for it beforehand.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use super::attribution::{Holders, LONGEST_PATH, Tracer};
use super::database::Database;
use super::keys::{Source, path_from};
use super::objects::Objects;
use super::refs::Refs;
use super::{History, tree};
use crate::coverage::Coverage;
use crate::examine::UnreadMember;
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
}

impl Unreadable {
    /// Where the first of them stand in what refs hold now, as far as a few thousand trees tell: to
    /// trace them would take longer than the search. What is checked out comes first.
    pub(super) fn in_refs(all: &[Self], objects: &Objects, refs: &Refs) -> Vec<Option<Vec<u8>>> {
        let mut wanted = BTreeMap::new();
        for (number, one) in all.iter().take(MOST_TRACED).enumerate() {
            if let Source::Object(id) = one.source {
                wanted.insert(id, number);
            }
        }
        let mut paths = vec![None; all.len().min(MOST_TRACED)];
        if wanted.is_empty() {
            return paths;
        }
        let mut seen = HashSet::new();
        let tips = refs.head.iter().chain(refs.named.iter().map(|(_, id)| id));
        for tip in tips {
            let Ok(Some((Kind::Commit, commit))) = objects.read(tip) else {
                continue;
            };
            let mut todo = Vec::from_iter(tree::commit(&commit).map(|c| (c.tree, Vec::new())));
            while let Some((id, above)) = todo.pop() {
                if wanted.is_empty() || seen.len() >= MOST_TREES {
                    return paths;
                }
                if !seen.insert(id) {
                    continue;
                }
                let Ok(Some((Kind::Tree, bytes))) = objects.read(&id) else {
                    continue;
                };
                for entry in tree::entries(&bytes, id.as_bytes().len()) {
                    let Some(inner) = ObjectId::from_bytes(entry.id) else {
                        continue;
                    };
                    let path = || [&above[..], entry.name].concat();
                    if entry.is_tree && above.len() <= LONGEST_PATH {
                        todo.push((inner, [&path()[..], b"/"].concat()));
                    } else if let Some(number) = wanted.remove(&inner) {
                        paths[number] = Some(path());
                    }
                }
            }
        }
        paths
    }

    /// What is traced to know where it stands.
    pub(super) fn holders(all: &[Self], tracer: &Tracer<'_>) -> Vec<Holders> {
        let holder = |one: &Self| match one.source {
            Source::Object(id) => tracer.kind(&id).map(|kind| (id, kind)),
            Source::Unnamed(_) => None,
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
    /// stands at such a path. `paths` says where the first objects stand, as far as they do.
    pub(super) fn tell_unread(&mut self, paths: Vec<Option<Vec<u8>>>) {
        let mut coverage = std::mem::take(&mut self.coverage);
        let paths = paths.into_iter().chain(std::iter::repeat(None));
        for (one, path) in std::mem::take(&mut self.unread).into_iter().zip(paths) {
            self.tell_one(&one, path.as_deref(), &mut coverage);
        }
        self.coverage = coverage;
    }

    fn tell_one(&self, one: &Unreadable, path: Option<&[u8]>, coverage: &mut Coverage) {
        let history = self.history;
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
