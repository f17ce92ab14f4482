//! The settings of a scan: a flag for each, the files they are read from, and what is made of them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use jiff::civil::Date;

use super::Exit;
use super::error::Hint;
use crate::config::{
    self, File, Globs, OnIncomplete, Origin, Outer, Private, Settings, Sources, TABLE, USER_FILE,
};
use crate::examine::{Limits, Unpacking};
use crate::matcher::Matcher;
use crate::repo::{GitEnvironment, Repository};
use crate::rules::Rules;
use crate::scan;
use crate::suppress::{Baseline, Markers, Suppressor};
use crate::unpack::Budget;

/// To be flattened into every command that scans.
#[derive(Debug, Default, clap::Args)]
pub(super) struct SettingFlags {
    #[command(flatten)]
    given: Given,
    /// Take the project's settings from FILE instead of the nearest skewer.toml.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    config: Option<PathBuf>,
    /// Read no configuration: flags and SKEWER_… variables only.
    #[arg(long, conflicts_with = "config", help_heading = HEADING)]
    no_config: bool,
    /// Read the project's skewer.toml, its baseline and its rules as they are in REF, and heed no
    /// markers in lines, so that a change can't excuse itself.
    #[arg(long, value_name = "REF", help_heading = HEADING)]
    suppress_from: Option<String>,
}

const HEADING: &str = "Settings (`skewer config show` says where each value comes from)";

/// A flag for each entry of the table of settings.
#[derive(Clone, Debug, Default)]
struct Given(Vec<(&'static str, Vec<OsString>)>);

impl clap::Args for Given {
    fn augment_args(command: Command) -> Command {
        TABLE.iter().fold(command, |command, setting| {
            let arg = Arg::new(setting.name.as_str())
                .long(setting.name.as_str())
                .help(setting.doc.trim_end_matches('.'))
                .value_name(setting.value_name)
                .value_parser(clap::value_parser!(OsString))
                .help_heading(HEADING);
            let arg = match (setting.is_list, setting.is_switch) {
                (true, _) => arg.action(ArgAction::Append),
                (_, true) => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
                _ => arg,
            };
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = |name: &str| matches.get_many::<OsString>(name).map(|v| v.cloned());
        let given = TABLE.iter().filter_map(|setting| {
            let name = setting.name.as_str();
            Some((name, values(name)?.collect()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A ref that the project's files are read from, and not from the working tree.
struct Base {
    name: String,
    repository: Repository,
    /// The top of the working tree; the working directory, if there is none.
    top: PathBuf,
}

impl Base {
    fn open(name: &str, here: &Path) -> anyhow::Result<Self> {
        let environment = GitEnvironment::from_lookup(|name| std::env::var_os(name));
        let wrong = || format!("can't read suppressions from {name:?}");
        let repository = Repository::discover(here, &environment).with_context(wrong)?;
        repository
            .resolve(name)
            .with_context(wrong)
            .hint("in CI, fetch the branch that the change goes to, and name it")?;
        let top = repository.top().unwrap_or(here);
        let top = std::fs::canonicalize(top).with_context(wrong)?;
        Ok(Self {
            name: name.to_owned(),
            repository,
            top,
        })
    }

    /// The text that the file at `path` (absolute, in the working tree) has there; `None` if it
    /// isn't there.
    fn text(&self, path: &Path) -> anyhow::Result<Option<String>> {
        let Ok(inside) = path.strip_prefix(&self.top) else {
            return Ok(None);
        };
        let parts: Vec<&[u8]> = inside.iter().map(|part| part.as_encoded_bytes()).collect();
        let bytes = self.repository.file_at(&self.name, &parts.join(&b'/'))?;
        let text = bytes.map(String::from_utf8).transpose();
        text.with_context(|| format!("{}:{} is not UTF-8", self.name, inside.display()))
    }

    /// The nearest configuration, from `here` up to the top.
    fn project(&self, here: &Path) -> anyhow::Result<(PathBuf, Option<File>)> {
        let inside = |directory: &&Path| directory.starts_with(&self.top);
        for directory in here.ancestors().take_while(inside) {
            let path = directory.join(config::FILE_NAME);
            if let Some(text) = self.text(&path)? {
                let file = File {
                    name: format!("{}:{}", self.name, path.display()),
                    base: directory.to_owned(),
                    text,
                    trusted: false,
                };
                return Ok((directory.to_owned(), Some(file)));
            }
        }
        Ok((self.top.clone(), None))
    }
}

/// Settings, ready for use.
pub(super) struct Loaded {
    /// The values and their origins.
    pub(super) settings: Settings,
    here: PathBuf,
    /// The project's directory: the baseline is about all of it.
    root: PathBuf,
    base: Option<Base>,
    /// The files that may say more than settings of a scan, the stronger one last.
    trusted: Vec<File>,
}

impl SettingFlags {
    /// As if these files of rules were named, and nothing else: for commands that heed no other
    /// setting.
    pub(super) fn with_rules(files: &[PathBuf]) -> Self {
        let files = files.iter().map(|file| file.clone().into_os_string());
        let given = (files.len() > 0).then(|| ("rules", files.collect()));
        Self {
            given: Given(given.into_iter().collect()),
            ..Self::default()
        }
    }

    /// Puts all sources together. The project's configuration is looked for from the working
    /// directory upward, wherever the scan's target is: a target has no say in how it is scanned.
    pub(super) fn load(&self) -> anyhow::Result<Loaded> {
        let here = std::env::current_dir().context("can't find the working directory")?;
        let base = self.suppress_from.as_deref();
        let base = base.map(|name| Base::open(name, &here)).transpose()?;
        let (root, nearest) = match &base {
            Some(base) => base.project(&here)?,
            None => {
                let config::Project { root, file } = config::find(&here)?;
                let wanted = file.filter(|_| self.config.is_none() && !self.no_config);
                (root, wanted.as_deref().map(config::read).transpose()?)
            }
        };
        let project = match (&self.config, self.no_config) {
            (_, true) => None,
            // Whoever starts the program names it, so it is the user's own word.
            (Some(path), _) => Some(trusted(&here.join(path))?),
            (None, _) => nearest,
        };
        let user = match self.no_config {
            true => None,
            false => user_file()?,
        };
        let mut environment: Vec<_> = std::env::vars_os().collect();
        environment.sort();
        let settings = Settings::resolve(&Sources {
            here: here.clone(),
            root: root.clone(),
            user: user.as_ref(),
            project: project.as_ref(),
            environment,
            flags: self.given.0.clone(),
        })?;
        let trusted = user.into_iter().chain(project).filter(|file| file.trusted);
        Ok(Loaded {
            settings,
            here,
            root,
            base,
            trusted: trusted.collect(),
        })
    }
}

/// `$XDG_CONFIG_HOME`, or what stands for it.
fn user_directory() -> Option<PathBuf> {
    let variable = |name: &str| {
        let value = PathBuf::from(std::env::var_os(name)?);
        // The XDG specification: relative paths are to be ignored.
        value.is_absolute().then_some(value)
    };
    variable("XDG_CONFIG_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".config")))
        .or_else(|| variable("APPDATA"))
}

/// The user's own configuration.
fn user_file() -> anyhow::Result<Option<File>> {
    match user_directory().map(|directory| directory.join(USER_FILE)) {
        Some(path) if path.try_exists()? => Ok(Some(trusted(&path)?)),
        _ => Ok(None),
    }
}

fn trusted(path: &Path) -> anyhow::Result<File> {
    Ok(File {
        trusted: true,
        ..config::read(path)?
    })
}

impl Loaded {
    /// What only the user's own files may say. A file that is named on the command line stands in
    /// the place of the other.
    pub(super) fn private(&self) -> anyhow::Result<Private> {
        let file = self.trusted.last();
        Ok(file.map(Private::parse).transpose()?.unwrap_or_default())
    }

    /// What rotations need of the user's own file.
    pub(super) fn outer(&self) -> anyhow::Result<Outer> {
        let none = || File {
            name: USER_FILE.to_owned(),
            base: PathBuf::new(),
            text: String::new(),
            trusted: true,
        };
        let file = self.trusted.last().cloned().unwrap_or_else(none);
        Ok(Outer::read(file)?)
    }

    /// The built-in rules and those of the settings.
    pub(super) fn rules(&self) -> anyhow::Result<Rules> {
        let mut files = Vec::new();
        for one in &self.settings.rules.0 {
            let text = self
                .text(&one.value, &one.origin)?
                .with_context(|| format!("there is no {} ({})", one.value.display(), one.origin))
                .hint("rules are named relative to the file, or the directory, that names them")?;
            files.push((one.value.display().to_string(), text));
        }
        let files = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        Ok(Rules::with_files(files)?)
    }

    /// What a run of the `scan` room needs. Starts the threads.
    pub(super) fn for_scan(&self, matcher: &Matcher) -> anyhow::Result<scan::Settings> {
        let threads = usize::from(self.settings.threads.value);
        if threads > 0 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build_global()
                .with_context(|| format!("can't start {threads} threads"))?;
        }
        Ok(scan::Settings {
            no_ignore: self.settings.no_ignore.value,
            exclude: Globs::new(&self.settings.exclude, &self.here),
            accept: Globs::new(&self.settings.accept, &self.here),
            suppress: self.suppressor(matcher)?,
            unpacking: self.unpacking(),
            global_excludes: user_directory().map(|directory| directory.join("git/ignore")),
        })
    }

    /// How containers are unpacked.
    pub(super) fn unpacking(&self) -> Unpacking {
        let settings = &self.settings;
        let start = Instant::now();
        Unpacking {
            limits: Limits {
                depth: settings.max_depth.value,
                member_size: settings.max_member_size.value.0,
                unpacked_size: settings.max_unpacked_size.value.0,
                ratio: settings.max_ratio.value,
                members: settings.max_members.value,
                time: Duration::from_secs(settings.max_seconds.value),
            },
            budget: Budget::new(settings.max_memory.value.0),
            clock: Arc::new(move || start.elapsed()),
            seen: Arc::default(),
        }
    }

    /// Whether these paths are the whole project, or more: only then can an entry of the baseline
    /// be called unused.
    pub(super) fn is_whole(&self, paths: &[PathBuf]) -> bool {
        let resolved = |path: &Path| std::fs::canonicalize(self.here.join(path));
        let root = resolved(&self.root);
        let holds = |path: &PathBuf| match (resolved(path), &root) {
            (Ok(path), Ok(root)) => root.starts_with(path),
            _ => false,
        };
        paths.iter().any(holds)
    }

    /// How a run ends that found nothing and could not read everything.
    pub(super) fn incomplete(&self) -> Exit {
        match self.settings.on_incomplete.value {
            OnIncomplete::Fail => Exit::Incomplete,
            OnIncomplete::Warn => Exit::Nothing,
        }
    }

    fn suppressor(&self, matcher: &Matcher) -> anyhow::Result<Suppressor> {
        let markers = match (&self.base, self.settings.honour_markers.value) {
            (Some(_), _) => Markers::Off,
            (None, true) => Markers::All,
            (None, false) => Markers::Own,
        };
        let redact = |text: &[u8]| matcher.redact(text);
        Ok(Suppressor::new(
            &self.baseline()?,
            today(),
            markers,
            &redact,
        ))
    }

    /// The baseline; an empty one if there is none where nobody said that there is one.
    pub(super) fn baseline(&self) -> anyhow::Result<Baseline> {
        let one = &self.settings.baseline;
        match self.text(&one.value, &one.origin)? {
            Some(text) => Ok(Baseline::parse(&text, &one.value.display().to_string())?),
            None if one.origin == Origin::Default => Ok(Baseline::default()),
            None => Err(anyhow::anyhow!(
                "there is no baseline {} ({})",
                one.value.display(),
                one.origin
            ))
            .hint("`skewer baseline write` makes one"),
        }
    }

    /// The text of a file that a setting names: from the base ref, if there is one, unless
    /// whoever started the program named the file.
    fn text(&self, path: &Path, origin: &Origin) -> anyhow::Result<Option<String>> {
        match (&self.base, origin) {
            (Some(base), Origin::Default | Origin::File { .. }) => base.text(path),
            _ => read_text(path),
        }
    }
}

/// A small text; `None` if there is no such file.
pub(super) fn read_text(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
    }
}

/// The day, in UTC: an entry expires everywhere at once.
pub(super) fn today() -> Date {
    let now = jiff::Timestamp::now();
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}
