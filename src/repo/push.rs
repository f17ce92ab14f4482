//! What a push, or a range of commits, adds.

use super::staged::combine;
use super::{ObjectId, RepoError, Repository, Staged, raw};

/// What the other side of a push has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// These commits (pre-push: the remote's old tips; ids that aren't here are passed over) and
    /// whatever the remote-tracking refs of this remote hold.
    Remote {
        /// The remote's name, as the hook gets it. A URL matches no refs.
        name: String,
        /// Old tips.
        tips: Vec<ObjectId>,
    },
    /// Everything that a ref of this repository holds (pre-receive: the refs are the old ones).
    AllRefs,
    /// These commits alone; ids that aren't here are passed over.
    Tips(Vec<ObjectId>),
}

/// An object that is reachable from the new tips only: a commit, a tag, a tree or a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewObject {
    /// Which. [`super::Objects::open`] tells its kind.
    pub id: ObjectId,
    /// The path by which git reached it first (up to its first line feed), or a tag's name.
    pub path: Option<Vec<u8>>,
}

impl Repository {
    /// Lists the objects reachable from `tips` (zero ids, which stand for a deleted ref, are
    /// passed over) and not from what is known. In a partial clone, what is missing is listed
    /// too, and fails when it is read.
    ///
    /// # Errors
    /// If git can't walk from the tips.
    pub fn new_objects(
        &self,
        tips: &[ObjectId],
        known: &Known,
    ) -> Result<Vec<NewObject>, RepoError> {
        let mut input = Vec::new();
        for tip in tips.iter().filter(|tip| !tip.is_zero()) {
            input.extend_from_slice(format!("{tip}\n").as_bytes());
        }
        if input.is_empty() {
            return Ok(Vec::new());
        }
        let (old, refs): (&[ObjectId], _) = match known {
            Known::Remote { name, tips } => (tips, remote_refs(name)),
            Known::AllRefs => (&[], Some("--all".to_owned())),
            Known::Tips(tips) => (tips, None),
        };
        for tip in self.present(old)? {
            input.extend_from_slice(format!("^{tip}\n").as_bytes());
        }
        let mut args = vec!["rev-list", "--objects", "--missing=allow-any", "--stdin"];
        if let Some(refs) = &refs {
            args.extend(["--not", refs]);
        }
        let out = self.git.run_with(&args, input)?;
        let lines = out.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        lines.map(new_object).collect()
    }

    /// What the second of two commits or trees adds to their merge base (to the first, where they
    /// have none), as a review of it would show: for PRE_COMMIT_FROM_REF and PRE_COMMIT_TO_REF.
    ///
    /// # Errors
    /// [`RepoError::Revision`] if a name stands for nothing here.
    pub fn changed_between(&self, from: &str, to: &str) -> Result<Staged, RepoError> {
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        let args = ["merge-base", &from.to_string(), &to.to_string()];
        let (status, out, _) = self.git.outcome(self.git.command(args), Vec::new())?;
        let base = match status {
            Some(0) => self.parse_id(&out)?,
            // No common history, or trees.
            _ => from,
        };
        Ok(combine(vec![raw::diff_tree(&self.git, base, to)?]))
    }

    /// Those of the ids that are here.
    fn present(&self, ids: &[ObjectId]) -> Result<Vec<ObjectId>, RepoError> {
        let mut objects = self.objects();
        let mut present = Vec::new();
        for id in ids.iter().filter(|id| !id.is_zero()) {
            match objects.header(*id) {
                Ok(_) => present.push(*id),
                Err(RepoError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(present)
    }
}

/// `--remotes=NAME`, unless the name would be read as a pattern that matches more.
fn remote_refs(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    let usable = !name.is_empty() && name.bytes().all(plain);
    usable.then(|| format!("--remotes={name}"))
}

fn new_object(line: &[u8]) -> Result<NewObject, RepoError> {
    let (id, path) = match memchr::memchr(b' ', line) {
        Some(space) => (&line[..space], Some(line[space + 1..].to_vec())),
        None => (line, None),
    };
    let id = ObjectId::from_hex(id).ok_or_else(|| RepoError::Git {
        command: "rev-list".to_owned(),
        reason: "it printed a line without an id".to_owned(),
    })?;
    Ok(NewObject {
        id,
        path: path.filter(|path| !path.is_empty()),
    })
}
