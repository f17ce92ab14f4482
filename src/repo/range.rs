//! Which commits a limited search is about. What a range means, git says (gitrevisions(7)); which
//! of these commits are chosen by time, is decided here, since git stops at the first commit that
//! is older, and clocks lie.

use std::collections::BTreeSet;

use super::{ObjectId, RepoError, Repository};

/// A choice of commits: those that all its parts agree on. The default is everything that refs,
/// `HEAD` and reflogs lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Revisions and ranges as git writes them: `A..B`, `^A`, `A...B`, `B`. Where all of them
    /// exclude, the rest of what refs lead to is meant.
    pub revisions: Vec<String>,
    /// Branches, by name: local ones, else those of a remote (`origin/main`).
    pub branches: Vec<String>,
    /// Only commits that were committed at this time, in seconds since 1970, or later.
    pub since: Option<i64>,
    /// Not what only reflogs lead to.
    pub reachable_only: bool,
    /// Only so many, the latest.
    pub most: Option<u64>,
}

impl Repository {
    /// The commits of a range, the latest first.
    ///
    /// # Errors
    /// [`RepoError::NoCommit`] if a part of it stands for no commit that is here; or git can't
    /// walk from one to the next.
    pub fn commits(&self, range: &Range) -> Result<Vec<ObjectId>, RepoError> {
        let (mut from, mut without) = (Vec::new(), BTreeSet::new());
        for revision in &range.revisions {
            for (excluded, id) in self.ends(revision)? {
                match excluded {
                    true => drop(without.insert(id)),
                    false => from.push(id),
                }
            }
        }
        for branch in &range.branches {
            from.push(self.branch(branch)?);
        }
        let mut args = vec!["rev-list", "--timestamp", "--stdin"];
        let most = range.most.map(|most| format!("--max-count={most}"));
        if range.since.is_none() {
            args.extend(most.as_deref());
        }
        if from.is_empty() {
            // The heads of linked worktrees are among "all".
            args.push("--all");
            args.extend((!range.reachable_only).then_some("--reflog"));
        }
        let from = from.iter().map(|id| format!("{id}\n"));
        let without = without.iter().map(|id| format!("^{id}\n"));
        let input: String = from.chain(without).collect();
        let out = self.git.run_with(&args, input.into_bytes())?;
        let lines = out.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let mut commits = Vec::new();
        for line in lines {
            let (time, id) = timed(line).ok_or_else(|| RepoError::Git {
                command: "rev-list".to_owned(),
                reason: "it printed a line without a time and an id".to_owned(),
            })?;
            if range.since.is_none_or(|since| time >= since) {
                commits.push(id);
            }
        }
        commits.truncate(range.most.map_or(usize::MAX, |most| most as usize));
        Ok(commits)
    }

    /// The commits that a revision or range begins and ends at, and whether they are excluded.
    fn ends(&self, revision: &str) -> Result<Vec<(bool, ObjectId)>, RepoError> {
        let none = || RepoError::NoCommit {
            name: revision.to_owned(),
        };
        // What it does not know, it leaves out, so that nothing is left.
        let args = ["rev-parse", "--revs-only", "--end-of-options", revision];
        let (status, out, _) = self.git.outcome(self.git.command(args), Vec::new())?;
        let lines = out.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let mut ends = Vec::new();
        for line in lines.filter(|line| *line != b"--end-of-options") {
            let hex = line.strip_prefix(b"^").unwrap_or(line);
            let id = ObjectId::from_hex(hex).ok_or_else(none)?;
            // An id of full length need not be here, and may be of anything.
            let commit = self.resolve(&format!("{id}^{{commit}}"));
            ends.push((line.len() > hex.len(), commit.map_err(|_| none())?));
        }
        match status == Some(0) && !ends.is_empty() {
            true => Ok(ends),
            false => Err(none()),
        }
    }

    /// The commit of a branch.
    fn branch(&self, name: &str) -> Result<ObjectId, RepoError> {
        for directory in ["refs/heads", "refs/remotes"] {
            let full = format!("{directory}/{name}");
            let args = ["show-ref", "--verify", "--hash", "--", &full];
            let (status, out, _) = self.git.outcome(self.git.command(args), Vec::new())?;
            if status == Some(0) {
                return self.parse_id(&out);
            }
        }
        Err(RepoError::NoCommit {
            name: name.to_owned(),
        })
    }
}

/// A line of `git rev-list --timestamp`.
fn timed(line: &[u8]) -> Option<(i64, ObjectId)> {
    let space = line.iter().position(|b| *b == b' ')?;
    let time = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    Some((time, ObjectId::from_hex(&line[space + 1..])?))
}
