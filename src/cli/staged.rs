//! `skewer staged`: what the next commit would add.

use std::path::PathBuf;

use super::error::Hint;
use super::run::{Ready, RunFlags};
use super::{Context, Exit};
use crate::repo::Repository;
use crate::scan::Scan;

/// Search what is staged: the blobs that the next commit adds or changes.
///
/// A key that the change adds counts. One that stood there before, or only moved, is a note.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer staged             the repository that the working directory lies in
  skewer staged ../other    another one
  skewer hook install       have every commit checked")]
pub(super) struct Staged {
    /// A directory of the repository.
    #[arg(value_name = "REPO", default_value = ".")]
    repository: PathBuf,
    #[command(flatten)]
    run: RunFlags,
}

impl Staged {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let ready = self.run.ready(context)?;
        let Ready {
            matcher,
            settings,
            stop,
            environment,
            ..
        } = &ready;
        let repository = Repository::discover(&self.repository, environment)
            .hint("name a directory in a git repository; `skewer scan` reads any directory")?;
        let reporting = ready.report(context, false)?;
        let run = Scan::new(matcher, settings, &reporting, stop);
        run.staged(&repository)
            .hint("what is staged is not known: see `git status`")?;
        let outcome = run.into_outcome();
        let target = matcher.redact(self.repository.as_os_str().as_encoded_bytes());
        // A change is never all that the baseline is about.
        let ends = settings.suppress.loose_ends(false);
        reporting.finish(&outcome, &ends, &target, &ready.loaded)
    }
}
