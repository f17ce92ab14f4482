//! The proof that hooks work: real commits and pushes in a scratch repository, by the real git,
//! through the very scripts that are installed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::install::{overridden, paths, write_script};
use super::{Git, HookError, HookType, State, Status};
use crate::secret::mask;

/// One thing that was tried.
#[derive(Clone, Debug)]
pub struct Step {
    /// What should happen, in words.
    pub what: &'static str,
    /// Whether it did.
    pub holds: bool,
    /// What git and the hooks printed; comes from outside, show it masked.
    pub said: Vec<u8>,
}

/// What a proof showed.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The hooks it went through.
    pub hooks: Vec<HookType>,
    /// What was tried, in order; nothing is tried after a step that doesn't hold.
    pub steps: Vec<Step>,
}

impl Proof {
    /// Whether everything was as it should be.
    pub fn holds(&self) -> bool {
        self.steps.iter().all(|step| step.holds)
    }
}

/// What would lead git, or the hook, from the scratch repository to another one.
const LEAKING: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_QUARANTINE_PATH",
    "GIT_PREFIX",
    "SKEWER_SKIP",
];

/// Tries every hook that `status` says to scan. `scratch` is an empty directory, `keys` are
/// synthetic keys, made at run time.
///
/// # Errors
/// Where no hook would be run, or the scratch repository can't be made.
pub fn prove(
    git: &Git,
    status: &Status,
    scratch: &Path,
    keys: &[String; 3],
) -> Result<Proof, HookError> {
    if status.overridden.is_some() {
        return Err(overridden(&status.layout));
    }
    let hooks: Vec<_> = status
        .hooks
        .iter()
        .filter(|hook| hook.scans)
        .map(|hook| hook.hook)
        .collect();
    if hooks.is_empty() {
        return Err(HookError::NothingInstalled);
    }
    let mut git = git.clone();
    for name in LEAKING {
        git = git.with(name, None);
    }
    let mut trial = Trial {
        git,
        work: scratch.join("work"),
        config: Vec::new(),
        keys,
        steps: Vec::new(),
    };
    trial.prepare(status, scratch)?;
    trial.run(&hooks, scratch)?;
    Ok(Proof {
        hooks,
        steps: trial.steps,
    })
}

struct Trial<'a> {
    git: Git,
    work: PathBuf,
    config: Vec<OsString>,
    keys: &'a [String; 3],
    steps: Vec<Step>,
}

impl Trial<'_> {
    fn prepare(&mut self, status: &Status, scratch: &Path) -> Result<(), HookError> {
        for (bare, name) in [(false, "work"), (true, "remote.git"), (true, "server.git")] {
            let mut args = vec!["init", "--quiet", "--template=", name];
            if bare {
                args.push("--bare");
            }
            self.git.ask(scratch, &args)?;
        }
        for setting in [
            "user.name=skewer",
            "user.email=skewer@localhost",
            "commit.gpgSign=false",
            "commit.verbose=false",
            "push.gpgSign=false",
            "advice.ignoredHook=false",
        ] {
            self.config.push("-c".into());
            self.config.push(setting.into());
        }
        if !status.layout.uses_own_hooks() {
            return Ok(()); // The global configuration leads here as everywhere.
        }
        let own = [
            self.work.join(".git/hooks"),
            scratch.join("server.git/hooks"),
        ];
        for hook in &status.hooks {
            let ours = match &hook.state {
                State::Ours { .. } => &hook.path,
                State::Beneath { ours } => ours,
                _ => continue,
            };
            let text = fs::read_to_string(ours).map_err(HookError::io("read", ours))?;
            let dir = &own[usize::from(hook.hook == HookType::PreReceive)];
            fs::create_dir_all(dir).map_err(HookError::io("make the directory", dir))?;
            write_script(&paths(dir, hook.hook).0, &text)?;
        }
        // Should a global core.hooksPath hide these, the one in the repository decides.
        for (repository, hooks) in [&self.work, &scratch.join("server.git")]
            .into_iter()
            .zip(&own)
        {
            let value = hooks
                .to_str()
                .ok_or_else(|| HookError::UnfitPath(hooks.clone()))?;
            self.git
                .ask(repository, &["config", "core.hooksPath", value])?;
        }
        Ok(())
    }

    fn run(&mut self, hooks: &[HookType], scratch: &Path) -> Result<(), HookError> {
        let has = |hook| hooks.contains(&hook);
        let remote = scratch.join("remote.git");
        let server = scratch.join("server.git");
        let [first, second, third] = self.keys.clone();
        let key_line = |key: &str| format!("OPENAI_API_KEY={key}\n");

        self.write("shared.txt", "first\n")?;
        self.passes("a clean commit passes", &["commit", "-qm", "clean"])?;
        if has(HookType::PreCommit) {
            self.write("settings.env", &key_line(&first))?;
            self.stops("a commit with a key is stopped", &["commit", "-qm", "key"])?;
            self.quietly(&["rm", "-qf", "settings.env"])?;
        }
        if has(HookType::CommitMsg) {
            let file = scratch.join("message");
            fs::write(&file, &second).map_err(HookError::io("write", &file))?;
            let file = file.to_string_lossy().into_owned();
            let args = ["commit", "-q", "--allow-empty", "-F", &file];
            self.stops("a commit with a key in its message is stopped", &args)?;
        }
        if has(HookType::PreMergeCommit) {
            self.merge(scratch, &key_line(&third))?;
        }
        for (hook, to, pass, stop) in [
            (
                HookType::PrePush,
                remote,
                "a clean push passes",
                "a push of a commit with a key is stopped",
            ),
            (
                HookType::PreReceive,
                server,
                "a clean push is accepted",
                "a push of a commit with a key is refused",
            ),
        ] {
            if !has(hook) {
                continue;
            }
            let to = to.to_string_lossy().into_owned();
            let mut push = vec!["push", "-q", &to, "HEAD:refs/heads/trial"];
            if hook == HookType::PreReceive {
                push.push("--no-verify");
            }
            self.passes(pass, &push)?;
            // As a cherry-pick or a rebase does it: past every hook of a commit.
            self.write("settings.env", &key_line(&first))?;
            self.quietly(&["commit", "-qm", "key", "--no-verify"])?;
            self.stops(stop, &push)?;
            self.quietly(&["reset", "-q", "--hard", "HEAD^"])?;
        }
        Ok(())
    }

    /// A merge that brings in a key that neither side has: by a merge driver, since lines that
    /// were there before are not the merge's doing.
    fn merge(&mut self, scratch: &Path, line: &str) -> Result<(), HookError> {
        let merged = scratch.join("merged");
        let attributes = self.work.join(".git/info");
        fs::write(&merged, line).map_err(HookError::io("write", &merged))?;
        fs::create_dir_all(&attributes)
            .map_err(HookError::io("make the directory", &attributes))?;
        let attributes = attributes.join("attributes");
        fs::write(&attributes, "shared.txt merge=trial\n")
            .map_err(HookError::io("write", &attributes))?;
        self.quietly(&["config", "merge.trial.driver", "cp ../merged %A"])?;
        self.quietly(&["checkout", "-q", "-b", "side"])?;
        self.write("shared.txt", "side\n")?;
        self.quietly(&["commit", "-qm", "side"])?;
        self.quietly(&["checkout", "-q", "-b", "trunk", "HEAD^"])?;
        self.write("shared.txt", "trunk\n")?;
        self.quietly(&["commit", "-qm", "trunk"])?;
        let args = ["merge", "-q", "--no-edit", "side"];
        self.stops("a merge that adds a key is stopped", &args)?;
        self.quietly(&["reset", "-q", "--hard"])?;
        fs::write(&merged, "both\n").map_err(HookError::io("write", &merged))?;
        self.passes("a clean merge passes", &args)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), HookError> {
        if !self.holds() {
            return Ok(());
        }
        let path = self.work.join(name);
        fs::write(&path, text).map_err(HookError::io("write", &path))?;
        self.quietly(&["add", "-f", name])
    }

    fn holds(&self) -> bool {
        self.steps.iter().all(|step| step.holds)
    }

    fn arguments(&self, args: &[&str]) -> Vec<OsString> {
        let args = args.iter().map(OsString::from);
        self.config.iter().cloned().chain(args).collect()
    }

    /// A preparation, which must work; left out once something failed.
    fn quietly(&self, args: &[&str]) -> Result<(), HookError> {
        if self.holds() {
            self.git.ask(&self.work, &self.arguments(args))?;
        }
        Ok(())
    }

    fn passes(&mut self, what: &'static str, args: &[&str]) -> Result<(), HookError> {
        self.step(what, args, true)
    }

    fn stops(&mut self, what: &'static str, args: &[&str]) -> Result<(), HookError> {
        self.step(what, args, false)
    }

    fn step(&mut self, what: &'static str, args: &[&str], pass: bool) -> Result<(), HookError> {
        if !self.holds() {
            return Ok(());
        }
        let output = self.git.output(&self.work, &self.arguments(args))?;
        let said = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&said);
        let leaks = self.keys.iter().any(|key| shown.contains(key.as_str()));
        // It has to be the key that stopped it, and not a hook that fails for a reason of its own.
        let named = self.keys.iter().any(|key| {
            let masked = mask(key.as_bytes());
            shown.contains(&*String::from_utf8_lossy(&masked))
        });
        self.steps.push(Step {
            what,
            holds: output.status.success() == pass && named != pass && !leaks,
            said,
        });
        Ok(())
    }
}
