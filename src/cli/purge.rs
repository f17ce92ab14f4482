//! Writes the plan of a purge: files with keys in them, for the user alone.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Context;
use super::error::Hint;
use crate::history::Purge;
use crate::repo::Repository;
use crate::secret::Masked;

/// To be flattened into the command that audits history.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PurgeFlags {
    /// Write what `git filter-repo` needs to take the keys out of the history into DIR, which must
    /// be new or empty. These files hold keys.
    #[arg(long, value_name = "DIR")]
    purge_plan: Option<PathBuf>,
}

impl PurgeFlags {
    /// Whether a plan is wanted.
    pub(super) fn wanted(&self) -> bool {
        self.purge_plan.is_some()
    }

    /// Makes the directory, before anything is searched.
    ///
    /// # Errors
    /// It has something in it, can't be made, or lies where a commit or a copy of the repository
    /// would take it along.
    pub(super) fn prepare(&self, repositories: &[&Repository]) -> anyhow::Result<()> {
        let Some(directory) = &self.purge_plan else {
            return Ok(());
        };
        let [repository] = repositories else {
            return Err(anyhow::anyhow!("a purge plan is for one repository"))
                .hint("name one, and a directory for each plan");
        };
        let cannot = || format!("can't write a purge plan to {}", directory.display());
        let (made, empty) = match fs::read_dir(directory) {
            Ok(mut entries) => (false, entries.next().is_none()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make(directory).with_context(cannot)?;
                (true, true)
            }
            Err(error) => return Err(error).with_context(cannot),
        };
        let inside = || -> std::io::Result<bool> {
            let directory = fs::canonicalize(directory)?;
            let roots = [repository.top(), Some(repository.common_dir())];
            for root in roots.into_iter().flatten() {
                if directory.starts_with(fs::canonicalize(root)?) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let problem = match (empty, inside().with_context(cannot)?) {
            (false, _) => "it has something in it",
            (true, true) => "it lies in the repository itself, and the plan holds keys",
            (true, false) => return Ok(()),
        };
        if made {
            // Nobody needs it now.
            let _ = fs::remove_dir(directory);
        }
        Err(anyhow::anyhow!("{problem}"))
            .with_context(cannot)
            .hint("name a new directory outside of the repository")
    }

    /// Writes the plan, and says what it is and what comes first.
    pub(super) fn write(&self, context: &Context, purge: &Purge) -> anyhow::Result<()> {
        let Some(directory) = &self.purge_plan else {
            return Ok(());
        };
        let files = purge.files();
        for (name, content) in &files {
            let path = directory.join(name);
            save(&path, content).with_context(|| format!("can't write {}", path.display()))?;
        }
        let shown = Masked::vouched(directory.as_os_str().as_encoded_bytes());
        let mut out = context.stderr();
        if files.is_empty() {
            writeln!(out, "skewer: nothing to purge; {shown} stays empty")?;
            return Ok(());
        }
        writeln!(
            out,
            "skewer: the purge plan in {shown} holds keys: it is yours alone, delete it afterwards.\n\
             \x20 1. Rotate every key first: rewriting does not call back what was cloned.\n\
             \x20 2. In a fresh clone (git clone --mirror): sh {shown}/purge.sh\n\
             \x20    (needs git-filter-repo 2.47 or newer; it changes every commit after the first key)\n\
             \x20 3. skewer history there, then push the result, and have everybody clone anew."
        )?;
        Ok(())
    }
}

#[cfg(unix)]
fn make(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(directory)
}

#[cfg(not(unix))]
fn make(directory: &Path) -> std::io::Result<()> {
    fs::create_dir(directory)
}

/// A new file that only its owner reads.
fn save(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(content)
}
