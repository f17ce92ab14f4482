//! `skewer history`: everything that git keeps.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::Hint;
use super::settings::SettingFlags;
use super::{Context, Exit};
use crate::coverage::Coverage;
use crate::finding::{Finding, InHistory, Place};
use crate::history::{self, Layout, Progress};
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, Repository};

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
    settings: SettingFlags,
}

impl History {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let matcher = Matcher::new(&loaded.rules()?, None);
        let settings = loaded.for_scan(&matcher)?;
        let stop = context.interruptible();
        let environment = GitEnvironment::from_lookup(|name| std::env::var_os(name));
        let mut findings = Vec::new();
        let mut coverage = Coverage::default();
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
            let outcome = watched(context, &progress, || run.search(&layout));
            findings.extend(outcome.findings);
            coverage.merge(outcome.coverage);
        }
        let mut out = io::stdout().lock();
        findings.iter().try_for_each(|one| print(&mut out, one))?;
        if !context.quiet {
            account(&mut context.stderr(), &findings, &coverage)?;
        }
        let lacks = self.require_complete && !coverage.absent.is_empty();
        Ok(
            match (findings.iter().any(Finding::counts), coverage.is_complete()) {
                (true, _) => Exit::Found,
                _ if coverage.interrupted => Exit::Interrupted,
                (false, true) if !lacks => Exit::Nothing,
                (false, true) => Exit::Incomplete,
                (false, false) => loaded.incomplete(),
            },
        )
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

fn print(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    writeln!(
        out,
        "{}  {}  {}",
        finding.location, finding.secret, finding.rule.id
    )?;
    match &finding.location.place {
        Place::Object(object) => tell(out, object),
        _ => Ok(()),
    }
}

/// The story of a key: who brought it in, where it is, what still holds it.
fn tell(out: &mut impl Write, object: &InHistory) -> io::Result<()> {
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

fn account(out: &mut impl Write, findings: &[Finding], coverage: &Coverage) -> io::Result<()> {
    for failure in &coverage.failures {
        writeln!(out, "failed: {}: {}", failure.what, failure.why)?;
    }
    for (what, count) in &coverage.absent {
        writeln!(out, "absent: {count} {what}")?;
    }
    writeln!(
        out,
        "{} findings, {} objects and files, {} bytes, {} failed",
        findings.len(),
        coverage.read.items,
        coverage.read.bytes,
        coverage.failed
    )
}
