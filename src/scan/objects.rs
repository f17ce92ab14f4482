//! What git has in its object database rather than in a working tree: a staged change, the
//! objects of a push, and the short texts that go with them.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Scan, lock};
use crate::coverage::Excluded;
use crate::examine::{self, Found};
use crate::finding::{Place, ShownPath, Status};
use crate::repo::{
    NewObject, ObjectId, ObjectKind, ObjectReader, RepoError, Repository, path_from_bytes,
};
use crate::source::staged::Change;

impl Scan<'_> {
    /// Searches what is staged. A key that the change only moves, or that stood in a blob it
    /// replaces, is a note ([`Status::Before`]). A blob that can't be read is a failure.
    ///
    /// # Errors
    /// Nobody knows what is staged: git or its index can't be read.
    pub fn staged(&self, repository: &Repository) -> Result<(), RepoError> {
        let mut change = Change::staged(repository)?;
        // Until what stood there before is known, so is not what a finding means.
        self.holds_back.store(true, Ordering::Relaxed);
        let top = repository.top().map(Path::to_owned).unwrap_or_default();
        for (blob, content) in change.blobs() {
            if self
                .settings
                .exclude
                .matches(&top.join(path_from_bytes(&blob.path)))
            {
                lock(&self.coverage).exclude(Excluded::Glob, 0);
                continue;
            }
            self.name("name of a staged file", &blob.path);
            self.blob(repository, &blob.path, blob.id, content);
        }
        for path in change.submodules() {
            lock(&self.coverage).exclude(Excluded::Submodule, 0);
            self.name("name of a staged submodule", path);
        }
        if lock(&self.findings).is_empty() {
            return Ok(());
        }
        let mut known = HashSet::new();
        for (_, content) in change.before() {
            let Ok(content) = content else { continue };
            let mut buffers = lock(&self.buffers).pop().unwrap_or_default();
            // One that can't be read vouches for nothing: its keys count as added.
            let go_on = || self.go_on();
            let mut note = |found: Found| {
                known.insert(found.hit.fingerprint);
            };
            self.examiner(&go_on)
                .stream(b"", content, &mut buffers, &mut note);
            lock(&self.buffers).push(buffers);
        }
        for finding in lock(&self.findings).iter_mut() {
            if finding.counts() && known.contains(&finding.fingerprint) {
                finding.status = Status::Before;
            }
            self.observer.finding(finding);
        }
        self.holds_back.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// From here on no marker excuses its line: whoever pushes to a server wrote the lines.
    pub fn heed_no_markers(&self) {
        self.heeds_no_markers.store(true, Ordering::Relaxed);
    }

    /// Searches new objects of a push: contents, names, messages.
    pub fn pushed(&self, repository: &Repository, new: &[NewObject]) {
        let mut objects = repository.objects();
        for object in new {
            if !self.go_on() {
                return;
            }
            let opened = objects.open(object.id);
            let kind = opened.as_ref().map_or(ObjectKind::Blob, ObjectReader::kind);
            if kind == ObjectKind::Blob {
                let path = object.path.as_deref().unwrap_or_default();
                self.blob(repository, path, object.id, opened);
                continue;
            }
            // A tree holds the names of files, also of such as are new nowhere else.
            let name = match kind {
                ObjectKind::Commit => format!("commit {}", object.id),
                ObjectKind::Tag => format!("tag {}", object.id),
                _ => format!("file names in tree {}", object.id),
            };
            if let Ok(content) = opened {
                self.stream(&name, content);
            }
        }
    }

    /// Searches a short text, such as the name of a ref; `what` names it in the report.
    pub fn name(&self, what: &str, text: &[u8]) {
        examine::bytes(self.matcher, text, &mut |found| {
            let name = format!("{what} {}", self.matcher.redact(text));
            self.found(found, &Place::Stream(name));
        });
    }

    fn blob(
        &self,
        repository: &Repository,
        path: &[u8],
        id: ObjectId,
        content: Result<ObjectReader, RepoError>,
    ) {
        let raw = path_from_bytes(path);
        if self.settings.exclude.matches(&raw) {
            lock(&self.coverage).exclude(Excluded::Glob, 0);
            return;
        }
        let place = || Place::Staged {
            path: ShownPath::new(raw.clone(), self.matcher.redact(path)),
            blob: id.to_string(),
        };
        let again = || {
            let opened = repository.objects().open(id).ok()?;
            Some(Box::new(opened) as Box<dyn Read>)
        };
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        match content {
            Ok(content) => self.read(&place, &again, |examiner, buffers, found| {
                examiner.stream(name, content, buffers, found)
            }),
            Err(error) => self.fail(Some(&raw), place().masked(), error.to_string()),
        }
    }
}
