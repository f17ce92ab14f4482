//! Tree objects, read in place.

use std::cmp::Ordering;

use super::objects::{ObjectKind, Objects};
use super::{ObjectFormat, ObjectId, RepoError};

/// Mode bits of a directory in a tree.
const DIRECTORY: u32 = 0o040_000;

/// One line of a tree.
#[derive(Clone, Copy)]
pub(super) struct TreeEntry<'a> {
    pub(super) mode: u32,
    pub(super) name: &'a [u8],
    pub(super) id: ObjectId,
}

impl TreeEntry<'_> {
    pub(super) fn is_directory(&self) -> bool {
        self.mode == DIRECTORY
    }
}

/// The entry that starts at `at`, and where the next one does; `None` at the end.
#[allow(clippy::type_complexity)]
pub(super) fn entry_at(
    data: &[u8],
    at: usize,
    format: ObjectFormat,
) -> Result<Option<(TreeEntry<'_>, usize)>, &'static str> {
    const CUT: &str = "the tree is cut off or damaged";
    let rest = &data[at..];
    if rest.is_empty() {
        return Ok(None);
    }
    let space = memchr::memchr(b' ', rest).filter(|n| *n <= 6).ok_or(CUT)?;
    let digits = std::str::from_utf8(&rest[..space]).map_err(|_| CUT)?;
    let mode = u32::from_str_radix(digits, 8).map_err(|_| CUT)?;
    let name_end = space + memchr::memchr(0, &rest[space..]).ok_or(CUT)?;
    let id_end = name_end + 1 + format.bytes();
    let id = rest.get(name_end + 1..id_end).ok_or(CUT)?;
    let entry = TreeEntry {
        mode: canonical_mode(mode),
        name: &rest[space + 1..name_end],
        id: ObjectId::from_bytes(id).expect("the format's own length"),
    };
    Ok(Some((entry, at + id_end)))
}

/// Old trees hold modes such as 100664; git compares them as it would write them today.
fn canonical_mode(mode: u32) -> u32 {
    match mode & 0o170_000 {
        0o100_000 if mode & 0o100 != 0 => 0o100_755,
        0o100_000 => 0o100_644,
        0o120_000 => 0o120_000,
        DIRECTORY => DIRECTORY,
        _ => 0o160_000,
    }
}

/// The order of names in trees and in the index: a directory's ends with `/`.
pub(super) fn compare_names(a: (&[u8], bool), b: (&[u8], bool)) -> Ordering {
    let common = a.0.len().min(b.0.len());
    a.0[..common].cmp(&b.0[..common]).then_with(|| {
        let next = |(name, directory): (&[u8], bool)| match name.get(common) {
            Some(byte) => *byte,
            None if directory => b'/',
            None => 0,
        };
        next(a).cmp(&next(b))
    })
}

/// Reads a tree object.
pub(super) fn read_tree(objects: &mut Objects, id: ObjectId) -> Result<Vec<u8>, RepoError> {
    match objects.read(id)? {
        (ObjectKind::Tree, data) => Ok(data),
        _ => Err(RepoError::Object {
            id,
            reason: "should be a tree and isn't".to_owned(),
        }),
    }
}

/// The id of a commit's tree.
pub(super) fn tree_of_commit(
    objects: &mut Objects,
    commit: ObjectId,
) -> Result<ObjectId, RepoError> {
    let damaged = || RepoError::Object {
        id: commit,
        reason: "should be a commit and isn't".to_owned(),
    };
    let (kind, data) = objects.read(commit)?;
    if kind != ObjectKind::Commit {
        return Err(damaged());
    }
    let line = data.split(|b| *b == b'\n').next().unwrap_or_default();
    line.strip_prefix(b"tree ")
        .and_then(ObjectId::from_hex)
        .ok_or_else(damaged)
}

/// What a path (with `/` between its parts) names in a tree, if anything.
pub(super) fn lookup(
    objects: &mut Objects,
    format: ObjectFormat,
    root: ObjectId,
    path: &[u8],
) -> Result<Option<(u32, ObjectId)>, RepoError> {
    let mut here = (DIRECTORY, root);
    for part in path.split(|b| *b == b'/') {
        if here.0 != DIRECTORY {
            return Ok(None);
        }
        let data = read_tree(objects, here.1)?;
        let damaged = |reason: &'static str| RepoError::Object {
            id: here.1,
            reason: reason.to_owned(),
        };
        let (mut at, mut found) = (0, None);
        while let Some((entry, next)) = entry_at(&data, at, format).map_err(damaged)? {
            if entry.name == part {
                found = Some((entry.mode, entry.id));
                break;
            }
            at = next;
        }
        match found {
            Some(entry) => here = entry,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_sort_as_if_they_ended_with_a_slash() {
        let order = |a: (&str, bool), b: (&str, bool)| {
            compare_names((a.0.as_bytes(), a.1), (b.0.as_bytes(), b.1))
        };
        assert_eq!(order(("a", true), ("a-b", false)), Ordering::Greater);
        assert_eq!(order(("a", false), ("a-b", false)), Ordering::Less);
        assert_eq!(order(("a", true), ("a0", false)), Ordering::Less);
        assert_eq!(order(("a", false), ("a", true)), Ordering::Less);
        assert_eq!(order(("a", true), ("a", true)), Ordering::Equal);
        assert_eq!(order(("b", false), ("a", true)), Ordering::Greater);
    }
}
