//! `skewer hook run TYPE`: what a shim becomes.

use std::cell::LazyCell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use super::{git, here};
use crate::cli::error::Hint;
use crate::cli::settings::{Loaded, SettingFlags};
use crate::cli::{Context, Exit};
use crate::finding::Finding;
use crate::hooks::{self, HookType, Input, Skip};
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, Known, ObjectId, Repository};
use crate::report::{self, Mode, Options, Stopped, Suppressions};
use crate::scan::{Observer, Outcome, Scan};
use crate::secret::Masked;

#[derive(Args)]
pub(crate) struct Run {
    /// Run this hook too (it need not exist), with the same arguments and standard input
    #[arg(long, value_name = "FILE")]
    kept: Option<PathBuf>,
    /// pre-commit, pre-merge-commit, commit-msg, pre-push or pre-receive
    #[arg(value_name = "TYPE")]
    hook: HookType,
    /// What git hands to the hook
    #[arg(
        value_name = "ARGUMENT",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
    #[command(flatten)]
    settings: SettingFlags,
}

/// The report comes at the end; nothing is told before.
struct Silent;

impl Observer for Silent {
    fn finding(&self, _finding: &Finding) {}
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

impl Run {
    pub(crate) fn run(
        self,
        context: &Context,
        matcher: &LazyCell<Matcher>,
    ) -> anyhow::Result<Exit> {
        let lines = match self.hook.reads_input() {
            true => Some(hooks::read_input(io::stdin().lock())?),
            false => None,
        };
        let input = lines.as_deref().map_or(Input::Untouched, Input::Read);
        let before = self.hook.kept_runs_first();
        if before && let Some(exit) = self.kept(input)? {
            return Ok(exit);
        }
        let exit = match self.skip(context, matcher)? {
            true => Exit::Nothing,
            false => self.check(context, lines.as_deref().unwrap_or_default())?,
        };
        if exit == Exit::Nothing
            && !before
            && let Some(exit) = self.kept(input)?
        {
            return Ok(exit);
        }
        Ok(exit)
    }

    /// Runs the kept hook; `Some` if it stops the change.
    fn kept(&self, input: Input<'_>) -> anyhow::Result<Option<Exit>> {
        let kept = self.kept.as_deref();
        let Some(path) = kept.and_then(|path| hooks::kept_hook(path, self.hook)) else {
            return Ok(None);
        };
        let code = hooks::run_kept(&path, &self.arguments, input)?;
        // A code that doesn't fit (Windows) must not turn into 0.
        let code = u8::try_from(code).unwrap_or(u8::MAX);
        Ok((code != 0).then_some(Exit::Kept(code)))
    }

    /// Whether the developer asked to be let through, and that is on record.
    fn skip(&self, context: &Context, matcher: &LazyCell<Matcher>) -> anyhow::Result<bool> {
        let value = std::env::var_os("SKEWER_SKIP");
        if !self.hook.can_be_skipped() {
            if value.is_some() && !context.quiet {
                writeln!(
                    context.stderr(),
                    "skewer: {} does not heed SKEWER_SKIP",
                    self.hook
                )?;
            }
            return Ok(false);
        }
        let Some(reason) = hooks::skip_reason(value.as_deref())? else {
            return Ok(false);
        };
        let here = here()?;
        let repository = Repository::discover(&here, &GitEnvironment::from_lookup(variable))?;
        let (head, user) = git().head_and_user(&here);
        let skip = Skip {
            time: jiff::Timestamp::now(),
            hook: self.hook,
            reason: matcher.redact(reason.as_bytes()),
            head,
            user: user.map(|name| matcher.redact(&name)),
        };
        let record = hooks::record_skip(repository.common_dir(), &skip)?;
        let shown = matcher.redact(record.as_os_str().as_encoded_bytes());
        writeln!(
            context.stderr(),
            "skewer: {} was not checked: {} (recorded in {shown})",
            self.hook,
            skip.reason
        )?;
        Ok(true)
    }

    fn check(&self, context: &Context, lines: &[u8]) -> anyhow::Result<Exit> {
        let started = (jiff::Timestamp::now(), Instant::now());
        let loaded = self.settings.load()?;
        let matcher = Matcher::new(&loaded.rules()?, None);
        let settings = loaded.for_scan(&matcher)?;
        let stop = context.interruptible();
        let scan = Scan::new(&matcher, &settings, &Silent, &stop);
        let open = || {
            let set = GitEnvironment::from_lookup(variable);
            Repository::discover(&here()?, &set)
                .hint("hooks run in a repository that git can open: see `git status`")
        };
        match self.hook {
            HookType::PreCommit | HookType::PreMergeCommit => scan.staged(&open()?).hint(
                "what is staged is not known, so nothing was let through: see `git status`",
            )?,
            HookType::CommitMsg => self.message(&scan)?,
            HookType::PrePush => self.push(&scan, &open()?, lines)?,
            HookType::PreReceive => {
                scan.heed_no_markers();
                let updates = hooks::parse_pre_receive(lines)?;
                let repository = open()?;
                let (_, tips) = names_and_tips(&scan, &updates)?;
                scan.pushed(
                    &repository,
                    &repository.new_objects(&tips, &Known::AllRefs)?,
                );
            }
        }
        let outcome = scan.into_outcome();
        let ends = settings.suppress.loose_ends(false);
        self.report(context, &loaded, &ends, &outcome, started)
    }

    /// Git's own part of a message is no part of the commit: below the scissors stands a diff,
    /// with the very lines that a change takes out.
    fn message(&self, scan: &Scan<'_>) -> anyhow::Result<()> {
        let [file] = &self.arguments[..] else {
            anyhow::bail!("commit-msg takes one argument, the file that holds the message");
        };
        let text = std::fs::read(file).with_context(|| {
            format!(
                "can't read the commit message in {}",
                Path::new(file).display()
            )
        })?;
        let message = &text[..scissors(&text).unwrap_or(text.len())];
        scan.stream("commit message", message);
        Ok(())
    }

    fn push(&self, scan: &Scan<'_>, repository: &Repository, lines: &[u8]) -> anyhow::Result<()> {
        let updates = hooks::parse_pre_push(lines)?;
        let (mut old, mut tips) = names_and_tips(scan, &updates)?;
        let mut remote = self.arguments.first().cloned();
        if updates.is_empty() {
            // pre-commit, the framework, reads the lines itself and says this.
            remote = remote.or_else(|| variable("PRE_COMMIT_REMOTE_NAME"));
            let refs = (
                variable("PRE_COMMIT_FROM_REF"),
                variable("PRE_COMMIT_TO_REF"),
            );
            let resolve = |name: OsString| repository.resolve(&name.to_string_lossy());
            match (refs, variable("PRE_COMMIT_LOCAL_BRANCH")) {
                ((Some(from), Some(to)), _) => {
                    old.push(resolve(from)?);
                    tips.push(resolve(to)?);
                }
                (_, Some(branch)) => tips.push(resolve(branch)?),
                _ => {}
            }
        }
        let known = match remote {
            Some(name) => Known::Remote {
                name: name.to_string_lossy().into_owned(),
                tips: old,
            },
            None => Known::Tips(old),
        };
        scan.pushed(repository, &repository.new_objects(&tips, &known)?);
        Ok(())
    }

    fn report(
        &self,
        context: &Context,
        loaded: &Loaded,
        suppressions: &Suppressions,
        outcome: &Outcome,
        started: (jiff::Timestamp, Instant),
    ) -> anyhow::Result<Exit> {
        let counts = outcome.findings.iter().any(Finding::counts);
        // Members of archives are warned of, no more: few changes are about them.
        let exit = match (counts, outcome.coverage.is_complete_outside()) {
            (true, _) => Exit::Found,
            (false, true) => Exit::Nothing,
            // Whatever the settings say of what can't be read: nobody looked.
            (false, false) if outcome.coverage.interrupted => Exit::Interrupted,
            (false, false) => loaded.incomplete(),
        };
        let stopped = match self.hook.reads_input() {
            true => Stopped::Push,
            false => Stopped::Commit,
        };
        let text = report::format("text").expect("it is in the list");
        let mut report = (text.make)(&Options {
            color: context.color_err,
            mode: Mode::Short(stopped),
            ..Options::default()
        });
        let run = report::Run {
            findings: &outcome.findings,
            coverage: &outcome.coverage,
            suppressions,
            checks: None,
            target: &Masked::vouched(self.hook.as_str()),
            commit: None,
            version: env!("CARGO_PKG_VERSION"),
            started: started.0,
            elapsed: started.1.elapsed(),
            exit_code: exit.code(),
        };
        report.finish(&run, &mut context.stderr())?;
        Ok(exit)
    }
}

/// Searches the names of the refs, and returns the ids that the other side has and is to get.
fn names_and_tips(
    scan: &Scan<'_>,
    updates: &[hooks::RefUpdate],
) -> anyhow::Result<(Vec<ObjectId>, Vec<ObjectId>)> {
    let id = |hex: &String| ObjectId::from_hex(hex.as_bytes()).context("an id of odd length");
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for update in updates {
        if let Some(tip) = &update.new {
            scan.name("name of the ref", &update.name);
            new.push(id(tip)?);
        }
        if let Some(tip) = &update.old {
            old.push(id(tip)?);
        }
    }
    Ok((old, new))
}

/// Where git's scissors line begins, if git put it there: comments follow it.
fn scissors(text: &[u8]) -> Option<usize> {
    const LINE: &[u8] = b" ------------------------ >8 ------------------------";
    let mut from = 0;
    loop {
        let at = from + memchr::memmem::find(&text[from..], LINE)?;
        let start = text[..at]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |n| n + 1);
        let comment = &text[start..at];
        let after = text[at + LINE.len()..]
            .strip_prefix(b"\r")
            .unwrap_or(&text[at + LINE.len()..]);
        let follows = after
            .strip_prefix(b"\n")
            .is_some_and(|next| next.starts_with(comment));
        if !comment.is_empty() && comment.len() <= 8 && follows {
            return Some(start);
        }
        from = at + LINE.len();
    }
}

#[cfg(test)]
mod tests {
    use super::scissors;

    #[test]
    fn only_gits_own_scissors_cut() {
        let line = "------------------------ >8 ------------------------";
        let message = format!("subject\n# {line}\n# Do not modify\ndiff --git a b\n");
        assert_eq!(scissors(message.as_bytes()), Some("subject\n".len()));
        for other in [
            format!("subject\n# {line}\nkey\n"),
            format!("subject\n {line}\n"),
            format!("this is no comment {line}\nthis is\n"),
            "subject\n".to_owned(),
        ] {
            assert_eq!(scissors(other.as_bytes()), None, "{other}");
        }
        let second = format!("# {line}\nkey\n; {line}\n; note\n");
        assert_eq!(scissors(second.as_bytes()), Some(second.find(';').unwrap()));
    }
}
