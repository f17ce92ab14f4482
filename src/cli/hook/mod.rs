//! `skewer hook`: installing git hooks, looking at them, proving them, being one.

mod run;

use std::cell::LazyCell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::error::Hint;
use super::{Context, Exit};
use crate::hooks::{self, Change, Done, Git, HookError, HookType, Layout, State, Status};
use crate::matcher::Matcher;
use crate::rules::{Rules, Template};

const INSTALL_HELP: &str = "\
Without --type: pre-commit, pre-merge-commit, commit-msg and pre-push; in a bare repository
pre-receive. pre-push is among them because a cherry-pick, a rebase and --no-verify run none of
the others.

A hook that is there already is kept as NAME.skewer-kept and run too, with the same arguments,
standard input and environment: before the scan of a commit, since it may change what is
committed, and after the scan of a push, since it may send something.

--global sets core.hooksPath in your own git configuration to a directory with a script for every
hook of git. Each passes on to the repository's own hook, or to those of a core.hooksPath that
was set before.";

/// Check commits and pushes as they are made.
#[derive(Subcommand)]
pub(super) enum Hook {
    /// Put the hooks into this repository, or before all of yours
    #[command(after_help = INSTALL_HELP)]
    Install(Choice),
    /// Take the hooks out and put back what was there before
    Uninstall(Choice),
    /// Show which hooks are in place, and what overrides them
    Status,
    /// Prove in a scratch repository that a key is stopped and a clean change passes
    Test,
    /// Be a hook: what git runs
    #[command(after_help = "\
SKEWER_SKIP=\"reason\" in the environment lets a commit or a push through; the reason is recorded in
.git/skewer/skips.log. pre-receive does not heed it.

pre-push without lines on standard input looks at what pre-commit (the framework) sets:
PRE_COMMIT_FROM_REF and PRE_COMMIT_TO_REF, or PRE_COMMIT_LOCAL_BRANCH.")]
    Run(run::Run),
}

#[derive(Args)]
pub(super) struct Choice {
    /// All of your repositories, through core.hooksPath in your git configuration
    #[arg(long)]
    global: bool,
    /// Which hook; can be given several times, or with commas
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<HookType>,
}

impl Hook {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        // Only for what goes wrong: a hook that checks has the user's rules too.
        let matcher: LazyCell<Matcher> = LazyCell::new(|| Matcher::new(&Rules::built_in(), None));
        let done = match self {
            Self::Install(choice) => choice.install(context),
            Self::Uninstall(choice) => choice.uninstall(context),
            Self::Status => show_status(context),
            Self::Test => test(context, &matcher),
            Self::Run(run) => run.run(context, &matcher),
        };
        // Paths and git's words come from outside; an error shows them too.
        done.map_err(|error| match error.downcast::<HookError>() {
            Ok(error) => anyhow::anyhow!("{}", matcher.redact(error.to_string().as_bytes()).text()),
            Err(error) => error,
        })
    }
}

fn git() -> Git {
    Git::new("git")
}

fn here() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("can't tell the current directory")
}

/// Where the scripts of a global installation live.
fn global_dir() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let data = if cfg!(windows) {
        set("LOCALAPPDATA").map(PathBuf::from)
    } else {
        let xdg = set("XDG_DATA_HOME").map(PathBuf::from);
        xdg.filter(|path| path.is_absolute())
            .or_else(|| Some(Path::new(&set("HOME")?).join(".local/share")))
    };
    data.map(|dir| dir.join("skewer").join("hooks"))
        .context("no home directory")
        .hint("set HOME, or XDG_DATA_HOME")
}

fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("can't tell where this program is")
}

impl Choice {
    fn types(&self, offered: &'static [HookType]) -> Vec<HookType> {
        match self.types.is_empty() {
            true => offered.to_vec(),
            false => self.types.clone(),
        }
    }

    fn install(self, context: &Context) -> anyhow::Result<Exit> {
        let git = git();
        let mut out = io::stdout();
        if self.global {
            let dir = global_dir()?;
            let types = self.types(HookType::offered(false));
            let global = hooks::install_global(&git, &dir, &types, &program()?)?;
            if context.quiet {
                return Ok(Exit::Nothing);
            }
            let names: Vec<_> = types.iter().map(|hook| hook.as_str()).collect();
            writeln!(
                out,
                "core.hooksPath in your git configuration is now {}",
                dir.display()
            )?;
            writeln!(out, "  checks at {}", names.join(", "))?;
            match &global.before.dir {
                Some(before) => writeln!(out, "  every hook passes on to {}", before.display())?,
                None => writeln!(out, "  every hook passes on to the repository's own")?,
            }
            writeln!(
                out,
                "A repository with a core.hooksPath of its own is not reached: there, `skewer hook status`."
            )?;
            return Ok(Exit::Nothing);
        }
        let layout = Layout::find(&git, &here()?)?;
        let types = self.types(HookType::offered(layout.is_bare()));
        let done = hooks::install(&layout, &types, &program()?, global_dir().ok().as_deref())?;
        if !context.quiet {
            tell(&done)?;
            writeln!(out, "Prove it: skewer hook test")?;
        }
        Ok(Exit::Nothing)
    }

    fn uninstall(self, context: &Context) -> anyhow::Result<Exit> {
        let git = git();
        let mut out = io::stdout();
        if self.global {
            let dir = global_dir()?;
            let said = match hooks::uninstall_global(&git, &dir)? {
                None => "no global installation was found".to_owned(),
                Some(global) if !global.active => {
                    "scripts removed; core.hooksPath leads elsewhere by now and was left alone"
                        .to_owned()
                }
                Some(global) => match global.before.values.last() {
                    Some(value) => format!("core.hooksPath is {value} again"),
                    None => "core.hooksPath is unset again".to_owned(),
                },
            };
            if !context.quiet {
                writeln!(out, "{said}")?;
            }
            return Ok(Exit::Nothing);
        }
        let layout = Layout::find(&git, &here()?)?;
        let done = hooks::uninstall(&layout, &self.types(&HookType::ALL))?;
        if !context.quiet {
            let touched: Vec<_> = done
                .into_iter()
                .filter(|one| one.change != Change::Absent)
                .collect();
            if touched.is_empty() {
                writeln!(out, "no hook of skewer is in {}", layout.hooks().display())?;
            }
            tell(&touched)?;
        }
        Ok(Exit::Nothing)
    }
}

fn tell(done: &[Done]) -> io::Result<()> {
    let mut out = io::stdout();
    for one in done {
        let what = match one.change {
            Change::Installed => "installed",
            Change::Updated => "updated",
            Change::Unchanged => "unchanged",
            Change::Removed => "removed",
            Change::Restored => "restored what was there before",
            Change::Foreign => "not skewer's, left alone",
            Change::Absent => "not there",
        };
        writeln!(out, "{:<17} {what}: {}", one.hook, one.path.display())?;
        match (&one.kept, one.change) {
            (Some(kept), Change::Foreign) => writeln!(
                out,
                "{:<17} an older hook is still kept in {}",
                "",
                kept.display()
            )?,
            (Some(kept), _) => {
                writeln!(
                    out,
                    "{:<17} runs the hook that was there too: {}",
                    "",
                    kept.display()
                )?;
            }
            (None, _) => {}
        }
    }
    Ok(())
}

/// Exit status 0 if something is installed and git runs it.
fn show_status(_context: &Context) -> anyhow::Result<Exit> {
    let mut out = io::stdout();
    let Status {
        layout,
        hooks,
        global,
        overridden,
        managers,
    } = hooks::status(&git(), &here()?, &global_dir()?)?;
    writeln!(
        out,
        "hooks of this repository: {}",
        layout.hooks().display()
    )?;
    for hook in &hooks {
        let state = match &hook.state {
            State::Absent => "not installed".to_owned(),
            State::Ours {
                program,
                found: true,
                current: true,
            } => format!("runs {}", program.display()),
            State::Ours { found: true, .. } => {
                "made by another version: skewer hook install".to_owned()
            }
            State::Ours { program, .. } => format!(
                "{} is gone, `skewer` is taken from PATH: skewer hook install",
                program.display()
            ),
            State::Beneath { ours } => format!("another tool's, which runs {}", ours.display()),
            State::Foreign => "another hook, not skewer's".to_owned(),
            State::NotExecutable => "a file that git ignores: it is not executable".to_owned(),
        };
        let mark = if hook.scans { "checked" } else { "-" };
        writeln!(out, "  {:<17} {mark:<8} {state}", hook.hook)?;
        if let Some(kept) = &hook.kept {
            writeln!(out, "  {:<17} {:<8} also runs {}", "", "", kept.display())?;
        }
    }
    if let Some(global) = &global {
        let active = if global.active {
            "active"
        } else {
            "not active: core.hooksPath leads elsewhere"
        };
        writeln!(
            out,
            "global installation: {} ({active})",
            global.dir.display()
        )?;
    }
    for path in &layout.hooks_paths {
        writeln!(
            out,
            "core.hooksPath ({}, {}): {}",
            path.scope,
            path.origin,
            path.value.display()
        )?;
    }
    for manager in &managers {
        writeln!(
            out,
            "{} ({}): {}",
            manager.name,
            manager.file.display(),
            manager.advice
        )?;
    }
    if let Some(overridden) = &overridden {
        writeln!(out, "OVERRIDDEN: {overridden}")?;
    }
    Ok(match hooks.iter().any(|hook| hook.scans) {
        true => Exit::Nothing,
        false => Exit::Incomplete,
    })
}

fn test(context: &Context, matcher: &Matcher) -> anyhow::Result<Exit> {
    let git = git();
    let status = hooks::status(&git, &here()?, &global_dir()?)?;
    let scratch = tempfile::tempdir().context("can't make a scratch directory")?;
    let template = Template::parse("sk-proj-{long:74,74}").expect("parsed by a test");
    let seed = jiff::Timestamp::now().as_nanosecond() as u64;
    let keys = [0, 1, 2].map(|n| template.fill(seed ^ n).key);
    let proof = hooks::prove(&git, &status, scratch.path(), &keys)?;
    let mut out = io::stdout();
    for step in &proof.steps {
        if step.holds {
            if !context.quiet {
                writeln!(out, "ok      {}", step.what)?;
            }
            continue;
        }
        writeln!(
            out,
            "{} {}",
            context.style("FAILED ", AnsiColor::Red.on_default().bold()),
            step.what
        )?;
        let said = matcher.redact(&step.said).text().into_owned();
        for line in said.lines() {
            writeln!(out, "        {}", crate::secret::Masked::vouched(line))?;
        }
    }
    if proof.holds() {
        if !context.quiet {
            let names: Vec<_> = proof.hooks.iter().map(|hook| hook.as_str()).collect();
            writeln!(out, "The hooks work: {}", names.join(", "))?;
        }
        return Ok(Exit::Nothing);
    }
    writeln!(
        out,
        "The hooks do NOT work; see the step that failed, and skewer hook status"
    )?;
    Ok(Exit::Found)
}
