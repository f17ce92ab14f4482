//! `skewer history`: everything that git keeps.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::Hint;
use super::purge::PurgeFlags;
use super::remembering::CacheFlags;
use super::reporting::ReportFlags;
use super::settings::SettingFlags;
use super::verifying::VerifyFlags;
use super::{Context, Exit};
use crate::history::{self, Layout, Progress};
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, Repository};
use crate::scan::{Observer, Outcome};
use crate::secret::Masked;

/// Search everything that git keeps: every version of every file, messages, names, reflogs,
/// stashes, notes, unreachable objects, configuration and hooks.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer history                     the repository of this directory
  skewer history ~/src/* mirror.git
A key in history is leaked: rotate it first. Rewriting does not call back what was cloned.")]
pub(super) struct History {
    /// Repositories, or directories in them.
    #[arg(value_name = "REPO", default_value = ".")]
    repositories: Vec<PathBuf>,
    /// Fail if a shallow or partial clone lacks objects.
    #[arg(long)]
    require_complete: bool,
    #[command(flatten)]
    purge: PurgeFlags,
    #[command(flatten)]
    cache: CacheFlags,
    #[command(flatten)]
    verify: VerifyFlags,
    #[command(flatten)]
    report: ReportFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

impl History {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let rules = loaded.rules()?;
        let matcher = Matcher::new(&rules, None);
        let memory = self
            .cache
            .memory(context, &rules, &loaded.unpacking().limits);
        let verifying = self.verify.prepare(&loaded)?;
        let settings = loaded.for_scan(&matcher)?;
        let stop = context.interruptible();
        let environment = GitEnvironment::from_lookup(|name| std::env::var_os(name));
        let mut reporting = self.report.open(context, &stop, false)?;
        // All of them are opened first: a mistake in the last name should not cost a long search.
        let open = |path: &PathBuf| {
            Repository::discover(path, &environment)
                .with_context(|| format!("can't search the history of {}", path.display()))
                .hint("name a directory in a git repository; for one of another user, `git config --global --add safe.directory DIR` says that you trust it")
        };
        let repositories = self
            .repositories
            .iter()
            .map(open)
            .collect::<Result<Vec<_>, _>>()?;
        self.purge.prepare(&repositories)?;
        let mut outcome = Outcome::default();
        for repository in &repositories {
            let progress = Progress::default();
            let run = history::History {
                matcher: &matcher,
                suppress: &settings.suppress,
                memory: memory.as_ref(),
                purge: self.purge.wanted(),
                unpacking: &settings.unpacking,
                threads: rayon::current_num_threads(),
                progress: &progress,
                stop: &stop,
            };
            let layout = Layout::of(repository, &environment);
            let found = watched(context, &progress, || run.search(&layout));
            outcome.findings.extend(found.findings);
            outcome.coverage.merge(found.coverage);
            if let Some(purge) = &found.purge {
                self.purge.write(context, purge)?;
            }
        }
        outcome
            .findings
            .iter()
            .for_each(|one| reporting.finding(one));
        if self.require_complete {
            for (what, count) in outcome.coverage.absent.clone() {
                let why = format!(
                    "{count} are not in this clone; fetch them, as with `git fetch --unshallow`"
                );
                outcome.coverage.fail(Masked::vouched(what), why);
            }
        }
        let ends = settings.suppress.loose_ends(false);
        if let Some(verifying) = verifying {
            reporting.verified(verifying.run(&outcome.findings, context, &stop)?);
        }
        let target = self
            .repositories
            .iter()
            .map(|path| path.as_os_str().as_encoded_bytes());
        let target = matcher.redact(&target.collect::<Vec<_>>().join(&b' '));
        reporting.finish(&outcome, &ends, &target, &loaded)
    }
}

/// Shows how far `work` has come, on a terminal.
fn watched<T: Send>(context: &Context, progress: &Progress, work: impl FnOnce() -> T + Send) -> T {
    if context.quiet || !io::stderr().is_terminal() {
        return work();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bar = ProgressBar::new(0).with_style(
                ProgressStyle::with_template("{pos}/{len} objects  {bar:30}  {msg}  {eta} left")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            while !done.load(Ordering::Relaxed) {
                bar.set_length(progress.total.load(Ordering::Relaxed));
                bar.set_position(progress.objects.load(Ordering::Relaxed));
                let bytes = progress.bytes.load(Ordering::Relaxed);
                bar.set_message(format!("{} MB", bytes / 1_000_000));
                std::thread::sleep(Duration::from_millis(100));
            }
            bar.finish_and_clear();
        });
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        outcome
    })
}
