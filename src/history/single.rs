//! Objects that are read one by one, as streams: loose ones, and those that a range brings.

use super::damage::Damage;
use super::database::Database;
use super::keys::Source;
use super::loose::Loose;
use super::unread::Unreadable;
use super::{History, loose};
use crate::coverage::Excluded;
use crate::examine::{Buffers, Seen};
use crate::matcher::Hit;
use crate::repo::ObjectId;
use crate::secret::{Fingerprint, Masked};

impl Database<'_> {
    /// Notes what was found in an object that was read as a stream.
    pub(super) fn searched(
        &mut self,
        found: &loose::Found,
        seen: &Seen,
        hits: Vec<(u64, Hit)>,
        mut key: impl FnMut((Fingerprint, u64)),
    ) {
        for (at, hit) in hits {
            key((hit.fingerprint, at));
            self.keys.add(Source::Object(found.id), at, hit.into());
        }
        match found.whole {
            true => self.coverage.read.add(found.bytes),
            false => {
                let what = Masked::vouched(format!("object {}", found.id));
                self.coverage.fail(what, Damage::Compressed.to_string());
            }
        }
        if found.packed {
            self.coverage.exclude(Excluded::Packed, found.bytes);
        }
        self.coverage.members.merge(seen.members);
        self.coverage
            .exclude_all(Excluded::SeenBefore, seen.seen_before);
        if !seen.unread.is_empty() {
            let members = seen.unread.clone();
            self.unread
                .push(Unreadable::object(found.id, members, None));
        }
    }
}

/// Searches an object, as a stream.
pub(super) fn searched(
    history: &History<'_>,
    id: ObjectId,
    loose: Loose<'_>,
    buffers: &mut Buffers,
) -> (loose::Found, Seen, Vec<(u64, Hit)>) {
    let mut hits = Vec::new();
    let go_on = || history.go_on();
    let examiner = history.examiner(&go_on);
    let seen = examiner.stream(b"", loose.body, buffers, &mut |one| {
        history.progress.found(one.hit.fingerprint);
        hits.push((one.offset, one.hit));
    });
    let bytes = seen.bytes;
    history.progress.read(1, bytes);
    let found = loose::Found {
        id,
        kind: loose.kind,
        bytes,
        packed: seen.packed,
        whole: !history.go_on() || seen.result.is_ok() && bytes == loose.size,
    };
    (found, seen, hits)
}
