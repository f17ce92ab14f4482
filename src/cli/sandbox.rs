//! `skewer sandbox`: a local OpenAI organisation to try things on.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::error::Hint;
use super::{Context, Exit};
use crate::sandbox::{Clock, Form, Generation, Options, Running, Sandbox, Script, Settings, What};
use crate::secret::Secret;

/// Run a local OpenAI organisation, to try things without an account.
///
/// It listens on 127.0.0.1 only, and forgets everything when it ends. Its keys are synthetic and
/// open nothing else. An admin key for it, and files with leaked keys of it, are put into a
/// directory of yours alone.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer sandbox
  skewer sandbox --port 8080 --dir ./sandbox --generation old
  skewer sandbox --set per_minute=7 --set usage_lag_ms=60000
  skewer sandbox --example > drill.toml && skewer sandbox --script drill.toml
It can be moved from outside, while it runs:
  curl $SANDBOX/clock    -H content-type:application/json -d '{\"advance\": 3600}'
  curl $SANDBOX/faults   -H content-type:application/json -d '{\"what\": \"server_error\", \"times\": 2}'
  curl $SANDBOX/settings -H content-type:application/json -d '{\"page_size\": 5}'
  curl $SANDBOX/state")]
pub(super) struct SandboxCommand {
    /// The port on 127.0.0.1; any that is free, if not said.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true
    )]
    port: u16,
    /// The same seed makes the same organisation [default: 1].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// A file that says how large the organisation is, how it behaves, and what goes wrong.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// What the Admin API can do: what it could before July 2026, and learned since.
    #[arg(long, value_name = "WHEN", value_parser = ["old", "july", "september", "new"])]
    generation: Option<String>,
    /// A setting, as a script names it; may be given many times.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Where the admin key and the leaks are put, and left; a directory that goes with the sandbox,
    /// if not said.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print a script with every setting and every fault, and end.
    #[arg(long)]
    example: bool,
}

impl SandboxCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.example {
            io::stdout().lock().write_all(example()?.as_bytes())?;
            return Ok(Exit::Nothing);
        }
        let options = self.options()?;
        let stop = context.interruptible();
        let port = options.port;
        let running = Sandbox::start(options)
            .with_context(|| format!("can't listen on 127.0.0.1, port {port}"))
            .hint("leave --port out, and a free one is taken")?;
        let (directory, _temporary) = self.directory()?;
        let wrote = || format!("can't write to {}", directory.display());
        leave_leaks(&running, &directory).with_context(wrote)?;
        write_private(
            &directory.join("config.toml"),
            configuration(&running).as_bytes(),
        )
        .with_context(wrote)?;
        // Last, and whole at once: whoever waits for this file finds everything else.
        write_private(&directory.join("env"), &environment(&running, &directory))
            .with_context(wrote)?;
        if !context.quiet {
            let mut out = io::stdout().lock();
            out.write_all(welcome(&running, &directory).as_bytes())?;
            out.flush()?;
        }
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Exit::Nothing)
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mut script = match &self.script {
            Some(file) => {
                let text = fs::read_to_string(file)
                    .with_context(|| format!("can't read {}", file.display()))?;
                Script::parse(&text)
                    .with_context(|| format!("can't use {}", file.display()))
                    .hint("`skewer sandbox --example` prints all that a script may say")?
            }
            None => Script::default(),
        };
        for setting in &self.settings {
            script.settings = set(&script.settings, setting)
                .with_context(|| format!("can't set {setting}"))
                .hint("`skewer sandbox --example` names every setting and its value")?;
        }
        if let Some(wanted) = &self.generation {
            let found = Generation::ALL.into_iter().find(|g| g.as_str() == wanted);
            script.settings.generation = found.unwrap_or_default();
        }
        Ok(Options {
            seed: self.seed.or(script.seed).unwrap_or(1),
            shape: script.organisation,
            settings: script.settings,
            faults: script.faults,
            port: self.port,
            clock: Clock::running(|| {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
            }),
        })
    }

    /// The directory, and what removes it in the end, if it is ours.
    fn directory(&self) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
        match &self.dir {
            Some(directory) => {
                private_directory(directory)
                    .with_context(|| format!("can't make {}", directory.display()))?;
                Ok((std::path::absolute(directory)?, None))
            }
            None => {
                let mut builder = tempfile::Builder::new();
                #[cfg(unix)]
                builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
                let directory = builder.prefix("skewer-sandbox-").tempdir();
                let directory = directory.context("can't make a temporary directory")?;
                Ok((directory.path().to_owned(), Some(directory)))
            }
        }
    }
}

/// `NAME=VALUE` in its place. A value that is no JSON is text.
fn set(settings: &Settings, text: &str) -> anyhow::Result<Settings> {
    let (name, value) = text.split_once('=').context("expected NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    let changes = serde_json::Map::from_iter([(name.to_owned(), value)]);
    Ok(settings.changed(&changes.into())?)
}

fn example() -> anyhow::Result<String> {
    let mut text = toml::to_string(&Script {
        seed: Some(1),
        ..Script::default()
    })?
    .replace("faults = []\n", "");
    text.push_str("\n# [[faults]]\n# what = \"…\"           one of those below\n# on = \"GET /v1/models\"  a method or *, a path that may end in *; all requests, if not said\n# key = \"key_…\"         requests with this key only\n# skip = 3              so many requests go well first\n# times = 2             strikes so often; always, if not said\n# from = 60             seconds since the start\n# until = 120\n# delay_ms = 500        for the slow ones\n#\n");
    for what in What::ALL {
        let name = serde_json::to_value(what)?;
        text.push_str(&format!(
            "# {:<34} {}\n",
            name.as_str().unwrap_or_default(),
            what.describe()
        ));
    }
    Ok(text)
}

/// What a shell reads to talk to the sandbox.
fn environment(running: &Running, directory: &Path) -> Vec<u8> {
    let mut text = format!(
        "export OPENAI_BASE_URL='{}'\nexport SANDBOX='{}'\nexport SANDBOX_DIR=",
        running.url(),
        running.control()
    );
    text.push_str(&quoted(&directory.to_string_lossy()));
    text.push_str("\nexport OPENAI_ADMIN_KEY='");
    let mut text = text.into_bytes();
    text.extend_from_slice(running.admin_key().expose());
    text.extend_from_slice(b"'\n");
    text
}

/// What verification needs to ask the sandbox, and to ask at its pace.
fn configuration(running: &Running) -> String {
    let (per_minute, lag) = running.with(|world| {
        let settings = &world.settings;
        (
            settings.per_minute,
            settings.last_used_lag_ms.div_euclid(1000) + 1,
        )
    });
    format!(
        "[openai]\napi = \"{}\"\nrequests-per-minute = {per_minute}\nprobes-per-minute = 0\ndead-pause-seconds = 1\nlast-used-lag-seconds = {lag}\n",
        running.url()
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Files with keys in them: two that live, one that was deleted, one of another organisation.
fn leave_leaks(running: &Running, directory: &Path) -> anyhow::Result<()> {
    let pick = |form: Form, nth: usize| {
        running.with(|world| {
            let archived = |id: &str| world.project(id).is_some_and(|p| p.archived.is_some());
            let fits = |key: &crate::sandbox::Key| {
                key.form == form
                    && !key.project.as_deref().is_some_and(archived)
                    && world.lives(&key.id)
            };
            world
                .keys
                .iter()
                .enumerate()
                .filter(|(_, key)| fits(key))
                .map(|(at, key)| (at, key.value.clone()))
                .nth(nth)
        })
    };
    let leak = directory.join("leak");
    private_directory(&leak)?;
    let write = |name: &str, before: &str, key: &Secret, after: &str| {
        write_private(
            &leak.join(name),
            &[before.as_bytes(), key.expose(), after.as_bytes()].concat(),
        )
    };
    if let Some((_, key)) = pick(Form::Project, 0) {
        write("chat.env", "OPENAI_API_KEY=", &key, "\n")?;
    }
    if let Some((_, key)) = pick(Form::ServiceAccount, 0) {
        write(
            "deploy.sh",
            "#!/bin/sh\ncurl -H \"Authorization: Bearer ",
            &key,
            "\" $OPENAI_BASE_URL/models\n",
        )?;
    }
    if let Some((at, key)) = pick(Form::Project, 1) {
        running.with(|world| world.delete_key(at, None));
        write("notes.md", "The old key was `", &key, "`, it is revoked.\n")?;
    }
    write(
        "elsewhere.json",
        "{\"openai\": \"",
        &Form::Project.make(u64::MAX),
        "\"}\n",
    )?;
    Ok(())
}

/// Makes a directory for its owner alone; one that is there is taken as it is.
fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Writes a file that only its owner may read, in one step.
fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let directory = path.parent().context("a file has a directory")?;
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

fn welcome(running: &Running, directory: &Path) -> String {
    let (slug, projects, keys) = running.with(|world| {
        (
            world.organisation.slug.clone(),
            world.projects.len(),
            world.live_keys().len(),
        )
    });
    let environment = quoted(&directory.join("env").to_string_lossy());
    format!(
        "The organisation {slug} runs at {url}\n\
         with {projects} projects and {keys} keys that live. Its admin key is in a file. In another shell:\n\n  \
         . {environment}\n  \
         curl -H \"Authorization: Bearer $OPENAI_ADMIN_KEY\" $OPENAI_BASE_URL/organization/projects\n  \
         skewer scan $SANDBOX_DIR/leak\n  \
         skewer scan --config $SANDBOX_DIR/config.toml --verify --probe $SANDBOX_DIR/leak\n\n\
         Ctrl-C ends it.\n",
        url = running.url()
    )
}
