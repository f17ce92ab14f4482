//! Changes as git's plumbing prints them (`--raw -z --no-abbrev --no-renames`).

use super::git::Git;
use super::{Change, ObjectId, RepoError, Side};

/// `git diff-index --cached` against a tree. Unmerged paths get their stages from
/// `git ls-files -u`.
pub(super) fn diff_index(git: &Git, tree: ObjectId) -> Result<Vec<Change>, RepoError> {
    let args = [
        "diff-index",
        "--cached",
        "--raw",
        "-z",
        "--no-renames",
        "--no-abbrev",
        "--no-relative",
        "--no-ext-diff",
        "--no-textconv",
        "--ignore-submodules=none",
        "--ita-invisible-in-index",
        &tree.to_string(),
        "--",
    ];
    let mut changes = parse(&git.run(&args)?).ok_or_else(|| odd("diff-index"))?;
    let stages = git.run(&["ls-files", "-z", "-u", "--full-name"])?;
    if !stages.is_empty() {
        let top = stages.split(|b| *b == 0).filter(|line| !line.is_empty());
        for line in top {
            add_stage(&mut changes, line).ok_or_else(|| odd("ls-files -u"))?;
        }
    }
    Ok(changes)
}

/// `git diff-tree` between two trees.
pub(super) fn diff_tree(git: &Git, from: ObjectId, to: ObjectId) -> Result<Vec<Change>, RepoError> {
    let args = [
        "diff-tree",
        "-r",
        "--raw",
        "-z",
        "--no-renames",
        "--no-abbrev",
        "--no-relative",
        "--no-ext-diff",
        "--no-textconv",
        "--ignore-submodules=none",
        &from.to_string(),
        &to.to_string(),
        "--",
    ];
    parse(&git.run(&args)?).ok_or_else(|| odd("diff-tree"))
}

fn odd(command: &str) -> RepoError {
    RepoError::Git {
        command: command.to_owned(),
        reason: "it printed something that isn't in its own format".to_owned(),
    }
}

/// `:mode mode id id status NUL path NUL`, again and again.
fn parse(out: &[u8]) -> Option<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    let mut fields = out.strip_suffix(b"\0").unwrap_or(out).split(|b| *b == 0);
    if out.is_empty() {
        return Some(changes);
    }
    while let Some(head) = fields.next() {
        let words: Vec<&[u8]> = head.strip_prefix(b":")?.split(|b| *b == b' ').collect();
        let [old_mode, new_mode, old_id, new_id, status] = words.as_slice() else {
            return None;
        };
        let change = Change {
            path: fields.next()?.to_vec(),
            old: side(old_mode, old_id)?,
            new: if status == b"U" {
                None
            } else {
                side(new_mode, new_id)?
            },
            unmerged: [None; 3],
        };
        match changes.last_mut() {
            // An unmerged path comes with a second line.
            Some(last) if last.path == change.path => {
                last.old = last.old.or(change.old);
                last.new = last.new.or(change.new);
            }
            _ => changes.push(change),
        }
    }
    Some(changes)
}

/// `mode id stage TAB path`
fn add_stage(changes: &mut Vec<Change>, line: &[u8]) -> Option<()> {
    let tab = memchr::memchr(b'\t', line)?;
    let (head, path) = (&line[..tab], &line[tab + 1..]);
    let words: Vec<&[u8]> = head.split(|b| *b == b' ').collect();
    let [mode, id, stage] = words.as_slice() else {
        return None;
    };
    let stage = match stage {
        [digit @ b'1'..=b'3'] => usize::from(digit - b'1'),
        _ => return None,
    };
    let known = changes.iter().position(|change| change.path == path);
    let at = known.unwrap_or_else(|| {
        changes.push(Change {
            path: path.to_vec(),
            old: None,
            new: None,
            unmerged: [None; 3],
        });
        changes.len() - 1
    });
    changes[at].unmerged[stage] = side(mode, id)?;
    changes[at].new = None;
    Some(())
}

fn side(mode: &[u8], id: &[u8]) -> Option<Option<Side>> {
    let mode = u32::from_str_radix(std::str::from_utf8(mode).ok()?, 8).ok()?;
    let id = ObjectId::from_hex(id)?;
    // git 2 writes a zero id for "look at the file" too, but never for the index.
    Some((mode != 0).then_some(Side { mode, id }))
}
