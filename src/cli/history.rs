//! `skewer history`: everything that git keeps, or what a range of commits brings.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;

use super::error::Hint;
use super::purge::PurgeFlags;
use super::range::RangeFlags;
use super::remembering::CacheFlags;
use super::reporting::Reporting;
use super::run::{Ready, RunFlags};
use super::verifying::VerifyFlags;
use super::{Context, Exit};
use crate::coverage::{Coverage, Progress};
use crate::history::{self, Chosen, Layout, Memory, Purge};
use crate::repo::Repository;
use crate::scan::{Observer, Outcome};
use crate::secret::Masked;

/// Search everything that git keeps: every version of every file, messages, names, reflogs,
/// stashes, notes, unreachable objects, configuration and hooks.
///
/// With a range, only what the chosen commits bring is read: the objects (files, directories with
/// the names in them, commits, annotated tags) and names of refs that they have and that their
/// excluded ancestors don't. All else is left out, and the report says so.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer history                              the repository of this directory
  skewer history ~/src/* mirror.git
  skewer history --range origin/main..HEAD    what a branch brings
  skewer history --since \"2 weeks ago\"
A key in history is leaked: rotate it first. Rewriting does not call back what was cloned.")]
pub(super) struct History {
    /// Repositories, or directories in them.
    #[arg(value_name = "REPO", default_value = ".")]
    repositories: Vec<PathBuf>,
    /// Fail if a shallow or partial clone lacks objects, and look for objects that were lost from
    /// any repository: whatever a commit, a directory or a tag names is looked up. This costs 25
    /// to 85 % more time.
    #[arg(long)]
    require_complete: bool,
    #[command(flatten)]
    range: RangeFlags,
    #[command(flatten)]
    purge: PurgeFlags,
    #[command(flatten)]
    cache: CacheFlags,
    #[command(flatten)]
    verify: VerifyFlags,
    #[command(flatten)]
    run: RunFlags,
}

/// A repository that is to be searched, and the commits that the search is limited to.
pub(super) type Wanted = (Repository, Option<Chosen>);

impl History {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let ready = self.run.ready(context)?;
        let verifying = self.verify.prepare(&ready.loaded)?;
        // All of them are opened first: a mistake in the last name should not cost a long search.
        let wanted = self
            .repositories
            .iter()
            .map(|path| {
                let repository = open(&ready, path)?;
                let chosen = self.range.chosen(&repository, Timestamp::now())?;
                Ok((repository, chosen))
            })
            .collect::<anyhow::Result<Vec<Wanted>>>()?;
        if self.purge.wanted() && self.range.limits() {
            return Err(anyhow::anyhow!("a purge plan is made of the whole history"))
                .hint("leave out the range: a rewrite has to take a key out wherever it stands");
        }
        let repositories: Vec<_> = wanted.iter().map(|(repository, _)| repository).collect();
        self.purge.prepare(&repositories)?;
        let mut reporting = ready.report(context, false)?;
        let mut outcome = Outcome::default();
        let limits = &ready.loaded.unpacking().limits;
        let memory = self.cache.memory(context, &ready.rules, limits);
        let how = How {
            memory: memory.as_ref(),
            purge: self.purge.wanted(),
            require_complete: self.require_complete,
        };
        for purge in search(&ready, &reporting, how, &wanted, &mut outcome) {
            self.purge.write(context, &purge)?;
        }
        if self.require_complete {
            demand(&mut outcome.coverage);
        }
        let ends = ready.settings.suppress.loose_ends(false);
        let rotate = &self.verify.rotate;
        let mut suspects = Vec::new();
        if let Some(verifying) = verifying {
            let verified = verifying.run(&outcome.findings, context, &ready.stop)?;
            suspects = rotate.suspects(&verified.checks, &outcome.findings, &ready.loaded)?;
            reporting.verified(verified);
        }
        let target = self
            .repositories
            .iter()
            .map(|path| path.as_os_str().as_encoded_bytes());
        let target = target.collect::<Vec<_>>().join(&b' ');
        let target = ready.matcher.redact(&target);
        let exit = reporting.finish(&outcome, &ends, &target, &ready.loaded)?;
        rotate.run(suspects, &ready.loaded, context, &ready.stop, exit)
    }
}

/// Opens the repository that a path lies in.
pub(super) fn open(ready: &Ready, path: &Path) -> anyhow::Result<Repository> {
    Repository::discover(path, &ready.environment)
        .with_context(|| format!("can't search the history of {}", path.display()))
        .hint("name a directory in a git repository; for one of another user, `git config --global --add safe.directory DIR` says that you trust it")
}

/// What a search may use and is to make.
#[derive(Clone, Copy, Default)]
pub(super) struct How<'a> {
    pub(super) memory: Option<&'a Memory>,
    pub(super) purge: bool,
    pub(super) require_complete: bool,
}

/// Searches repositories, and adds what was found to `outcome`. Returns what taking the keys out
/// would take, if that is wanted.
pub(super) fn search(
    ready: &Ready,
    reporting: &Reporting<'_>,
    how: How<'_>,
    wanted: &[Wanted],
    outcome: &mut Outcome,
) -> Vec<Purge> {
    let mut purges = Vec::new();
    for (repository, chosen) in wanted {
        let progress = Progress::default();
        let run = history::History {
            matcher: &ready.matcher,
            suppress: &ready.settings.suppress,
            accept: &ready.settings.accept,
            memory: how.memory,
            purge: how.purge,
            unpacking: &ready.settings.unpacking,
            chosen: chosen.as_ref(),
            require_complete: how.require_complete,
            threads: rayon::current_num_threads(),
            progress: &progress,
            stop: &ready.stop,
        };
        let layout = Layout::of(repository, &ready.environment);
        let found = reporting.with_progress(&progress, || run.search(&layout));
        found.findings.iter().for_each(|one| reporting.finding(one));
        outcome.add(found.findings, found.coverage);
        purges.extend(found.purge);
    }
    purges
}

/// What is absent was to be there: a failure.
fn demand(coverage: &mut Coverage) {
    for (what, count) in coverage.absent.clone() {
        let why = format!(
            "{count} are not in this clone; fetch them, as with `git fetch --unshallow` or `git fetch --refetch --no-filter`"
        );
        coverage.fail(Masked::vouched(what), why);
    }
}
