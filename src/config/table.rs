//! The table of settings. A new setting is one entry here, and one line in the README.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::ConfigError;
use super::file::{self, File};
use super::value::{Glob, Many, OnIncomplete, One, Origin, Raw, Setting, Site};

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
fn distance(a: &str, b: &str) -> usize {
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
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File {
            name: "skewer.toml".to_owned(),
            base: PathBuf::from("/r"),
            text: text.to_owned(),
        }
    }

    fn sources<'a>(project: &'a File) -> Sources<'a> {
        Sources {
            here: PathBuf::from("/r/here"),
            root: PathBuf::from("/r"),
            project: Some(project),
            ..Sources::default()
        }
    }

    fn error(text: &str) -> String {
        let file = file(text);
        Settings::resolve(&sources(&file)).unwrap_err().to_string()
    }

    fn shown(settings: &Settings) -> String {
        let line = |row: &Row| format!("{} = {}  # {}\n", row.setting.name, row.value, row.origin);
        settings.rows().iter().map(line).collect()
    }

    #[test]
    fn the_stronger_source_wins_and_lists_add_up() {
        let user = File {
            name: "~/config.toml".to_owned(),
            base: PathBuf::from("/home/u/.config/skewer"),
            text: "threads = 1\nexclude = ['*.min.js']\nrules = ['mine.toml']".to_owned(),
        };
        let project = file(
            "threads = 2\nno-ignore = true\nexclude = [\n  'vendor',\n  'dist/**',\n]\nrules = ['rules/acme.toml']\n",
        );
        let mut sources = sources(&project);
        sources.user = Some(&user);
        sources.environment = vec![
            ("SKEWER_THREADS".into(), "3".into()),
            ("SKEWER_NO_IGNORE".into(), "false".into()),
            (
                "SKEWER_ACCEPT".into(),
                std::env::join_paths(["a", "b"]).unwrap(),
            ),
            ("SKEWER_SKIP".into(), "fire".into()),
            ("PATH".into(), "/bin".into()),
        ];
        sources.flags = vec![
            ("threads", vec!["4".into(), "5".into()]),
            ("exclude", vec!["x".into()]),
        ];
        insta::assert_snapshot!(shown(&Settings::resolve(&sources).unwrap()), @r#"
        exclude = "*.min.js"  # ~/config.toml:2
        exclude = "vendor"  # skewer.toml:4
        exclude = "dist/**"  # skewer.toml:5
        exclude = "x"  # --exclude
        accept = "a"  # environment SKEWER_ACCEPT
        accept = "b"  # environment SKEWER_ACCEPT
        honour-markers = false  # default
        no-ignore = false  # environment SKEWER_NO_IGNORE
        rules = "/home/u/.config/skewer/mine.toml"  # ~/config.toml:3
        rules = "/r/rules/acme.toml"  # skewer.toml:7
        baseline = "/r/skewer-baseline.toml"  # default
        on-incomplete = "fail"  # default
        threads = 5  # --threads
        "#);
    }

    #[test]
    fn every_setting_has_a_text_a_variable_and_a_default() {
        let rows = Settings::default().rows();
        assert_eq!(rows.len(), TABLE.len());
        for row in rows {
            assert!(
                row.setting.doc.ends_with('.') && !row.setting.form.is_empty(),
                "{row:?}"
            );
            assert_eq!(row.origin, Origin::Default);
            let mut sources = Sources {
                here: "/r".into(),
                ..Sources::default()
            };
            // A default that is written out is understood.
            let text = row.value.trim_matches(['"', '\'', '[', ']']);
            sources.environment = vec![(row.setting.variable.clone().into(), text.into())];
            assert!(Settings::resolve(&sources).is_ok(), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let cases = [
            (
                "exclud = []",
                "skewer.toml:1: there is no setting `exclud`; did you mean `exclude`?",
            ),
            (
                "\nhonor-markers = true",
                "skewer.toml:2: there is no setting `honor-markers`; did you mean `honour-markers`?",
            ),
            (
                "no_ignore = true",
                "skewer.toml:1: there is no setting `no_ignore`; did you mean `no-ignore`?",
            ),
            (
                "colour = 1",
                "skewer.toml:1: there is no setting `colour`; `skewer config show` lists all",
            ),
            (
                "threads = true",
                "skewer.toml:1: `threads`: true can't be used; it takes a number",
            ),
            (
                "threads = 70000",
                "skewer.toml:1: `threads`: 70000 can't be used",
            ),
            (
                "exclude = 'a'",
                "skewer.toml:1: `exclude`: \"a\" can't be used; it takes a list",
            ),
            (
                "exclude = [\n'a',\n'!b']",
                "skewer.toml:3: `exclude`: the glob \"!b\" would take something back",
            ),
            (
                "on-incomplete = 'pass'",
                "skewer.toml:1: `on-incomplete`: \"pass\" can't be used; it takes \"fail\" or \"warn\"",
            ),
            (
                "baseline = ''",
                "skewer.toml:1: `baseline`: the path is empty",
            ),
            ("threads = 1\nthreads = 2", "skewer.toml:2: duplicate key"),
            ("threads = ", "skewer.toml:1: "),
        ];
        for (text, expected) in cases {
            assert!(error(text).starts_with(expected), "{text}\n{}", error(text));
        }
    }

    #[test]
    fn a_file_can_set_nothing_but_a_scan() {
        for (name, deed) in [
            ("base-url", "name a host"),
            ("proxy", "name a host"),
            ("post_command", "name a command"),
            ("store", "name a store"),
            ("policy", "name a policy"),
            ("output", "name a file"),
            ("reveal", "say what happens to keys"),
        ] {
            let said = error(&format!("threads = 1\n{name} = 'x'"));
            assert!(
                said.starts_with(&format!("skewer.toml:2: `{name}` would {deed}")),
                "{said}"
            );
        }
        assert!(error("[store]\npath = 'x'").contains("name a store"));
    }

    #[test]
    fn a_misspelt_variable_does_not_pass() {
        let project = file("");
        let mut sources = sources(&project);
        sources.environment = vec![("SKEWER_NO_IGNOR".into(), "1".into())];
        let said = Settings::resolve(&sources).unwrap_err().to_string();
        assert!(
            said.contains("SKEWER_NO_IGNOR: ") && said.contains("SKEWER_NO_IGNORE?"),
            "{said}"
        );
        sources.environment = vec![("SKEWER_THREADS".into(), "many".into())];
        let said = Settings::resolve(&sources).unwrap_err().to_string();
        assert!(
            said.starts_with("environment SKEWER_THREADS: `threads`: \"many\" can't"),
            "{said}"
        );
    }
}
