//! Members of objects that could not be read: in which file of the history they are, and whether
//! somebody answered for it beforehand.

use std::io::Read;

use super::History;
use super::attribution::{Holders, Tracer};
use super::database::Database;
use super::keys::{Source, path_from};
use crate::coverage::Coverage;
use crate::examine::UnreadMember;
use crate::finding;
use crate::secret::Masked;
use crate::suppress::hash_of;

/// Of so many objects it is looked up where they stand.
const MOST_TRACED: usize = 1000;

/// An object with members that could not be read.
pub(super) struct Unreadable {
    pub(super) source: Source,
    /// What reports call it.
    pub(super) name: Masked,
    pub(super) members: Vec<UnreadMember>,
}

impl Unreadable {
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
