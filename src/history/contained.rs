//! What is packed in blobs is unpacked as in files, however git stores them: every archive among the
//! tests' inputs, whole and as a delta.

use std::path::{Path, PathBuf};

use super::bad::audit;
use super::forge::{self, Entry, Step};
use crate::coverage::Tally;
use crate::examine::{Examiner, Unpacking};
use crate::matcher::Matcher;

fn archives() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = ["tests/archives", "fuzz/regressions/containers"].map(|directory| {
        let entries = std::fs::read_dir(here.join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    });
    let mut all: Vec<_> = listed.into_iter().flatten().collect();
    all.sort();
    all
}

/// Members, and how many could not be read, of a pack that holds these.
fn audited(entries: &[Entry]) -> (Tally, u64) {
    let directory = tempfile::tempdir().unwrap();
    let objects = directory.path().join("objects");
    std::fs::create_dir_all(objects.join("pack")).unwrap();
    forge::write(&objects.join("pack"), entries, 2);
    let outcome = audit(&objects);
    (outcome.coverage.members, outcome.coverage.failed)
}

#[test]
fn archives_are_unpacked_whether_git_stores_them_whole_or_as_deltas() {
    let (mut unpacked, mut failed) = (0, 0);
    for path in archives() {
        let bytes = std::fs::read(&path).unwrap();
        let examiner = Examiner {
            matcher: Matcher::shared(),
            unpacking: &Unpacking::default(),
            go_on: &|| true,
        };
        // Nothing here has a name: brotli has no signature.
        let seen = examiner.packed(b"", &bytes, &mut |_| {});
        let expected = seen.map_or((Tally::default(), 0), |seen| {
            (seen.members, seen.unread.len() as u64)
        });
        assert_eq!(audited(&[Entry::Blob(bytes.clone())]), expected, "{path:?}");
        let base = vec![b'.'; bytes.len().max(1)];
        let steps: Vec<Step<'_>> = bytes.chunks(127).map(Step::Insert).collect();
        let delta = forge::delta(base.len(), bytes.len(), &steps);
        let entries = [Entry::Blob(base), Entry::Offset(0, delta)];
        assert_eq!(audited(&entries), expected, "{path:?}, all new");
        // A version of itself, of which the beginning is new.
        let new = bytes.len().min(600);
        let steps: Vec<Step<'_>> = bytes[..new].chunks(127).map(Step::Insert).collect();
        let kept = Step::Copy(new, bytes.len() - new);
        let steps: Vec<Step<'_>> = match bytes.len() - new {
            0 => steps,
            _ => steps.into_iter().chain([kept]).collect(),
        };
        let mut base = bytes.clone();
        base[..new].fill(b'.');
        let delta = forge::delta(base.len(), bytes.len(), &steps);
        let entries = [Entry::Blob(base.clone()), Entry::Offset(0, delta)];
        let alone = audited(&[Entry::Blob(base)]);
        let (members, unread) = audited(&entries);
        let of_version = (members.items - alone.0.items, unread - alone.1);
        assert_eq!(
            of_version,
            (expected.0.items, expected.1),
            "{path:?}, its beginning"
        );
        unpacked += u64::from(expected.0.items > 0);
        failed += expected.1;
    }
    assert!(unpacked > 40 && failed > 5, "{unpacked}, {failed}");
}
