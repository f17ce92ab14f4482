//! `skewer history`: everything that git keeps.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::Hint;
use super::reporting::ReportFlags;
use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::finding::{Finding, Place};
use crate::history::{self, Layout, Progress};
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, Repository};
use crate::scan::{Observer, Outcome};

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
    report: ReportFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

impl History {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let matcher = Matcher::new(&loaded.rules()?, None);
        let settings = loaded.for_scan(&matcher)?;
        let stop = context.interruptible();
        let environment = GitEnvironment::from_lookup(|name| std::env::var_os(name));
        let reporting = self.report.open(context, &stop, false)?;
        let mut outcome = Outcome::default();
        for path in &self.repositories {
            let repository = Repository::discover(path, &environment)
                .with_context(|| format!("can't search the history of {}", path.display()))
                .hint("name a directory in a git repository; for one of another user, `git config --global --add safe.directory DIR` says that you trust it")?;
            let progress = Progress::default();
            let run = history::History {
                matcher: &matcher,
                suppress: &settings.suppress,
                threads: rayon::current_num_threads(),
                progress: &progress,
                stop: &stop,
            };
            let layout = Layout::of(&repository, &environment);
            let found = watched(context, &progress, || run.search(&layout));
            outcome.findings.extend(found.findings);
            outcome.coverage.merge(found.coverage);
        }
        if !context.quiet {
            let mut err = context.stderr();
            for finding in &outcome.findings {
                tell(&mut err, finding)?;
            }
            for (what, count) in &outcome.coverage.absent {
                writeln!(err, "absent: {count} {what}")?;
            }
        }
        outcome
            .findings
            .iter()
            .for_each(|one| reporting.finding(one));
        let lacks = self.require_complete && !outcome.coverage.absent.is_empty();
        let ends = settings.suppress.loose_ends(false);
        let target = self
            .repositories
            .iter()
            .map(|path| path.as_os_str().as_encoded_bytes());
        let target = matcher.redact(&target.collect::<Vec<_>>().join(&b' '));
        let exit = reporting.finish(&outcome, &ends, &target, &loaded)?;
        Ok(match exit {
            Exit::Nothing if lacks => Exit::Incomplete,
            exit => exit,
        })
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

/// The story of a key: who brought it in, where it is, what still holds it.
fn tell(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let Place::Object(object) = &finding.location.place else {
        return Ok(());
    };
    writeln!(out, "{}  {}", finding.secret, finding.location)?;
    if let Some(first) = &object.first {
        let date = jiff::Timestamp::from_second(first.time).unwrap_or_default();
        writeln!(
            out,
            "    first in {} by {}, {date}: {}",
            first.id, first.author, first.summary
        )?;
    }
    for path in &object.paths {
        writeln!(out, "    path     {}", path.shown())?;
    }
    let list = |names: &mut dyn Iterator<Item = String>, count: u64| {
        let named: Vec<String> = names.collect();
        let more = count - (named.len() as u64).min(count);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        named.join(", ") + &more
    };
    let refs = &object.held_by;
    if refs.count > 0 {
        writeln!(
            out,
            "    held by  {}",
            list(&mut refs.named.iter().map(ToString::to_string), refs.count)
        )?;
    }
    let kept: Vec<&str> = object.kept.iter().map(|kept| kept.as_str()).collect();
    writeln!(
        out,
        "    in {} objects, {} commits; kept by: {}",
        object.objects,
        object.commits.count,
        kept.join(", ")
    )?;
    let refs = &object.reached_from;
    if refs.count > 0 {
        let names = list(&mut refs.named.iter().map(ToString::to_string), refs.count);
        writeln!(
            out,
            "    rotate the key first; a rewrite would change {} refs: {names}",
            refs.count
        )?;
    }
    Ok(())
}
