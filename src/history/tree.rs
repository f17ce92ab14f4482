//! Trees and commits as git writes them.

use crate::repo::ObjectId;

/// An entry of a tree.
pub(super) struct TreeEntry<'a> {
    pub(super) is_tree: bool,
    /// A submodule's commit, which is not in this database.
    pub(super) is_link: bool,
    pub(super) name: &'a [u8],
    pub(super) id: &'a [u8],
    /// Where the id begins in the tree.
    pub(super) id_at: usize,
}

/// The entries of a tree, as far as it is whole.
pub(super) fn entries(tree: &[u8], id_len: usize) -> impl Iterator<Item = TreeEntry<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = tree.get(at..)?;
        let space = memchr::memchr(b' ', &rest[..rest.len().min(8)])?;
        let end = space + 1 + memchr::memchr(0, &rest[space + 1..])?;
        let id = rest.get(end + 1..end + 1 + id_len)?;
        let id_at = at + end + 1;
        at = id_at + id_len;
        Some(TreeEntry {
            is_tree: &rest[..space] == b"40000" || &rest[..space] == b"040000",
            is_link: &rest[..space] == b"160000",
            name: &rest[space + 1..end],
            id,
            id_at,
        })
    })
}

/// What a commit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: ObjectId,
    pub(super) parents: Vec<ObjectId>,
    /// When it was committed, in seconds since 1970.
    pub(super) time: i64,
}

/// Reads a commit; `None` if git would not.
pub(super) fn commit(bytes: &[u8]) -> Option<Commit> {
    let mut tree = None;
    let mut parents = Vec::new();
    let mut time = None;
    for line in bytes.split(|b| *b == b'\n') {
        if line.is_empty() {
            break;
        }
        if let Some(hex) = line.strip_prefix(b"tree ") {
            tree = tree.or(ObjectId::from_hex(hex));
        } else if let Some(hex) = line.strip_prefix(b"parent ") {
            parents.extend(ObjectId::from_hex(hex));
        } else if let Some(who) = line.strip_prefix(b"committer ") {
            time = time.or(signature(who).map(|s| s.1));
        }
    }
    Some(Commit {
        tree: tree?,
        parents,
        time: time.unwrap_or(0),
    })
}

/// The author of a commit (or tagger of a tag), the time, and the first line of the message.
pub(super) fn summary(bytes: &[u8]) -> (&[u8], i64, &[u8]) {
    let (mut who, mut when) = (&b""[..], 0);
    let mut lines = bytes.split(|b| *b == b'\n');
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        let person = line
            .strip_prefix(b"author ")
            .or(line.strip_prefix(b"tagger "));
        if let Some((name, time)) = person.and_then(signature) {
            (who, when) = (name, time);
        }
    }
    (who, when, lines.next().unwrap_or_default())
}

/// The object that a tag names.
pub(super) fn tagged(bytes: &[u8]) -> Option<ObjectId> {
    let line = bytes.split(|b| *b == b'\n').next()?;
    ObjectId::from_hex(line.strip_prefix(b"object ")?)
}

/// `Name <mail> seconds zone`: the name with the mail, and the seconds.
fn signature(line: &[u8]) -> Option<(&[u8], i64)> {
    let end = memchr::memrchr(b'>', line)? + 1;
    let rest = std::str::from_utf8(&line[end..]).ok()?;
    let seconds = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((&line[..end], seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_and_trees_are_read_and_nonsense_is_not() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let text = format!(
            "tree {id}\nparent {id}\nparent {id}\nauthor A <a@b> 5 +0100\ncommitter C > D <c@d> -7 +0000\n\nparent message\n"
        );
        let read = commit(text.as_bytes()).unwrap();
        assert_eq!((read.parents.len(), read.time), (2, -7));
        assert_eq!(
            summary(text.as_bytes()),
            (&b"A <a@b>"[..], 5, &b"parent message"[..])
        );
        assert_eq!(commit(b"tree 12\n"), None);
        let mut tree = b"100644 a b\0".to_vec();
        tree.extend([7; 20]);
        tree.extend(b"40000 dir\0");
        tree.extend([8; 20]);
        let names: Vec<_> = entries(&tree, 20)
            .map(|e| (e.name.to_vec(), e.is_tree, e.id[0]))
            .collect();
        assert_eq!(
            names,
            [(b"a b".to_vec(), false, 7), (b"dir".to_vec(), true, 8)]
        );
        assert_eq!(entries(&tree[..40], 20).count(), 1);
    }
}
