//! The table of settings. A new setting is one entry here, and one line in the README.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::ConfigError;
use super::file::{self, File};
use super::value::{Glob, Many, OnIncomplete, One, Origin, Raw, Setting, Site, Size};

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ident<$value:ty> $(= $default:expr)?;)+) => {
        /// All settings of a scan, each with where it was given.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $field: $kind<$value>,)+
        }

        /// What there is to be set, in the order of the table.
        pub static TABLE: LazyLock<Vec<Described>> = LazyLock::new(|| vec![
            $(describe::<$kind<$value>>(stringify!($field), concat!($($doc),+))),+
        ]);

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: settings!(@default $kind $($default)?),)+ }
            }
        }

        impl Settings {
            fn setting(&mut self, name: &str) -> Option<&mut dyn Setting> {
                $(if is_field(stringify!($field), name) { return Some(&mut self.$field); })+
                None
            }

            /// Every setting, in the order of the table.
            fn each(&self) -> Vec<&dyn Setting> {
                vec![$(&self.$field),+]
            }
        }
    };
    (@default One $default:expr) => { One::default_of($default) };
    (@default Many) => { Many(Vec::new()) };
}

settings! {
    /// Globs of paths that are not read; they are counted.
    exclude: Many<Glob>;
    /// Globs of paths that may fail to be read without failing the run.
    accept: Many<Glob>;
    /// Let the bare markers of other scanners hide keys.
    honour_markers: One<bool> = false;
    /// Read what git ignores, too.
    no_ignore: One<bool> = false;
    /// Files of rules to add to the built-in ones.
    rules: Many<PathBuf>;
    /// The baseline.
    baseline: One<PathBuf> = PathBuf::from(crate::config::BASELINE);
    /// What a run does that could not read everything.
    on_incomplete: One<OnIncomplete> = OnIncomplete::Fail;
    /// How many threads read; 0 is one for each core.
    threads: One<u16> = 0;
    /// How many archives and other containers may lie in each other (64 at most); 0 unpacks nothing.
    max_depth: One<u64> = 16;
    /// How large one member of an archive may be, unpacked.
    max_member_size: One<Size> = Size(4 << 30);
    /// How much one file may hold, unpacked.
    max_unpacked_size: One<Size> = Size(16 << 30);
    /// How many times its own size a file may hold, unpacked (64 MiB are always read).
    max_ratio: One<u64> = 1000;
    /// How many members one file may have.
    max_members: One<u64> = 1_000_000;
    /// How many seconds one file may take to be unpacked.
    max_seconds: One<u64> = 300;
    /// How much memory windows of decompressors and members that are held whole may take.
    max_memory: One<Size> = Size(256 << 20);
}

/// A setting, for people, for the command line and for documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name in files, and on the command line behind two hyphens.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// What a value has to be, in words.
    pub form: String,
    /// What a value is called on the command line.
    pub value_name: &'static str,
    /// The variable that gives it.
    pub variable: String,
    /// Whether it takes many values, to which every source adds.
    pub is_list: bool,
    /// Whether it is on or off, so that its name alone turns it on.
    pub is_switch: bool,
}

fn describe<S: Setting>(field: &str, doc: &str) -> Described {
    let kind = S::kind();
    Described {
        name: field.replace('_', "-"),
        doc: doc.trim().to_owned(),
        form: kind.form,
        value_name: kind.value_name,
        variable: format!("{PREFIX}{}", field.to_ascii_uppercase()),
        is_list: kind.is_list,
        is_switch: kind.is_switch,
    }
}

fn is_field(field: &str, name: &str) -> bool {
    field.replace('_', "-") == name
}

/// The setting of this name.
pub(super) fn described(name: &str) -> Option<&'static Described> {
    TABLE.iter().find(|setting| setting.name == name)
}

/// The setting that was probably meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let near = TABLE
        .iter()
        .map(|known| (distance(&known.name, &name), known.name.as_str()));
    let near = near.filter(|(distance, _)| *distance <= 2).min();
    near.map(|(_, known)| known)
}

/// How many letters have to change to make one of the other.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

const PREFIX: &str = "SKEWER_";

/// All that may have a say in the settings, from the weakest to the strongest.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// The working directory, absolute: relative paths of variables and flags are relative to it.
    pub here: PathBuf,
    /// The project's directory, see [`file::Project::root`]: the baseline lies there.
    pub root: PathBuf,
    /// The user's own configuration.
    pub user: Option<&'a File>,
    /// The project's configuration.
    pub project: Option<&'a File>,
    /// The environment; only names that begin with `SKEWER_` are looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings given on the command line, by [`Described::name`], each with its values.
    pub flags: Vec<(&'static str, Vec<OsString>)>,
}

/// A value of a setting, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting.
    pub setting: &'static Described,
    /// The value, as it would be written in a file.
    pub value: String,
    /// Where it was given.
    pub origin: Origin,
}

impl Settings {
    /// What all sources together say.
    ///
    /// # Errors
    /// The first value, or name, that can't be used, with its place.
    pub fn resolve(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        settings.baseline.value = sources.root.join(&settings.baseline.value);
        for (file, base) in [
            // The user's own globs are about whatever is scanned, not about their directory.
            (sources.user, Some(&sources.here)),
            (sources.project, None),
        ] {
            let Some(file) = file else { continue };
            for given in file::parse(file)? {
                let origin = Origin::File {
                    path: file.name.clone(),
                    line: given.line,
                };
                let base = match given.name.as_str() {
                    "exclude" | "accept" => base.unwrap_or(&file.base),
                    _ => &file.base,
                };
                settings.put(&given.name, given.raw, origin, base)?;
            }
        }
        for (name, value) in &sources.environment {
            settings.put_variable(name, value, &sources.here)?;
        }
        for (name, values) in &sources.flags {
            let origin = Origin::Flag((*name).to_owned());
            settings.put_texts(name, Raw::texts(values), origin, &sources.here)?;
        }
        Ok(settings)
    }

    fn put_variable(
        &mut self,
        variable: &OsString,
        value: &OsString,
        here: &Path,
    ) -> Result<(), ConfigError> {
        let Some(name) = variable.to_str().and_then(|n| n.strip_prefix(PREFIX)) else {
            return Ok(());
        };
        let name = name.to_ascii_lowercase().replace('_', "-");
        let origin = Origin::Environment(variable.to_string_lossy().into_owned());
        let Some(setting) = described(&name) else {
            // Others may begin with our name (SKEWER_SKIP does); a misspelt one must not pass.
            return match nearest(&name).and_then(described) {
                Some(near) => Err(ConfigError::Invalid {
                    origin,
                    problem: format!(
                        "no setting has this variable; did you mean {}?",
                        near.variable
                    ),
                }),
                None => Ok(()),
            };
        };
        // As in PATH; an empty list is written as an empty value.
        let parts = std::env::split_paths(value).filter(|part| !part.as_os_str().is_empty());
        let raw = match setting.is_list {
            true => Raw::texts(parts),
            false => Raw::texts([value]),
        };
        self.put_texts(&name, raw, origin, here)
    }

    /// A setting with one value takes the last text.
    fn put_texts(
        &mut self,
        name: &str,
        raw: Raw,
        origin: Origin,
        base: &Path,
    ) -> Result<(), ConfigError> {
        let raw = match raw {
            Raw::List(mut texts) if described(name).is_some_and(|s| !s.is_list) => {
                match texts.pop() {
                    Some((last, _)) => last,
                    None => return Ok(()),
                }
            }
            list => list,
        };
        self.put(name, raw, origin, base)
    }

    fn put(
        &mut self,
        name: &str,
        raw: Raw,
        origin: Origin,
        base: &Path,
    ) -> Result<(), ConfigError> {
        let setting = self
            .setting(name)
            .expect("files and variables are checked before, flags by a test");
        let site = Site { origin, base };
        setting
            .put(raw, &site)
            .map_err(|(origin, problem)| ConfigError::Invalid {
                origin,
                problem: format!("`{name}`: {problem}"),
            })
    }

    /// Every value of every setting.
    pub fn rows(&self) -> Vec<Row> {
        let values = |(setting, value): (&'static Described, &dyn Setting)| {
            let row = move |(value, origin)| Row {
                setting,
                value,
                origin,
            };
            value.shown().into_iter().map(row)
        };
        let each = TABLE.iter().zip(self.each());
        each.flat_map(values).collect()
    }
}

#[cfg(test)]
mod tests;
