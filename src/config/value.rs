//! The kinds of values a setting can have, how each is read, and where it was given.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::globs;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In a configuration file.
    File {
        /// The file, as it was named.
        path: String,
        /// The line, from 1.
        line: u64,
    },
    /// In a variable of the environment.
    Environment(String),
    /// On the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// A value as it was written, before anybody knows what it should be.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Bool(bool),
    Integer(i64),
    Text(OsString),
    /// Elements, each with its line.
    List(Vec<(Raw, u64)>),
    /// Something that no setting takes, by its name in TOML.
    Other(&'static str),
}

/// Where a value was written, and what relative paths in it are relative to.
pub(super) struct Site<'a> {
    pub(super) origin: Origin,
    pub(super) base: &'a Path,
}

impl Site<'_> {
    /// The same site, at another line.
    fn at_line(&self, at: u64) -> Origin {
        match &self.origin {
            Origin::File { path, .. } => Origin::File {
                path: path.clone(),
                line: at,
            },
            other => other.clone(),
        }
    }
}

/// One kind of value.
pub(super) trait Value: Sized {
    /// What it has to be, for people.
    const FORM: &'static str;

    /// What it is called on the command line.
    const NAME: &'static str;

    /// Whether it is on or off.
    const IS_SWITCH: bool = false;

    /// Reads it; `None` if it is of another form.
    fn read(raw: &Raw, base: &Path) -> Result<Option<Self>, String>;

    /// As it would be written in a file.
    fn show(&self) -> String;
}

impl Value for bool {
    const FORM: &'static str = "true or false";
    const NAME: &'static str = "BOOL";
    const IS_SWITCH: bool = true;

    fn read(raw: &Raw, _: &Path) -> Result<Option<Self>, String> {
        Ok(match raw {
            Raw::Bool(value) => Some(*value),
            Raw::Text(text) => match text.to_str() {
                Some("true" | "1") => Some(true),
                Some("false" | "0") => Some(false),
                _ => None,
            },
            _ => None,
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u16 {
    const FORM: &'static str = "a number from 0 to 65535";
    const NAME: &'static str = "N";

    fn read(raw: &Raw, _: &Path) -> Result<Option<Self>, String> {
        Ok(match raw {
            Raw::Integer(value) => Self::try_from(*value).ok(),
            Raw::Text(text) => text.to_str().and_then(|text| text.parse().ok()),
            _ => None,
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    const FORM: &'static str = "a whole number";
    const NAME: &'static str = "N";

    fn read(raw: &Raw, _: &Path) -> Result<Option<Self>, String> {
        Ok(match raw {
            Raw::Integer(value) => Self::try_from(*value).ok(),
            Raw::Text(text) => text.to_str().and_then(|text| text.parse().ok()),
            _ => None,
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// Units, the largest first.
const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Value for Size {
    const FORM: &'static str = "a size, such as \"64MiB\" or \"2GB\"";
    const NAME: &'static str = "SIZE";

    fn read(raw: &Raw, base: &Path) -> Result<Option<Self>, String> {
        let Raw::Text(text) = raw else {
            return Ok(u64::read(raw, base)?.map(Self));
        };
        let Some(text) = text.to_str() else {
            return Ok(None);
        };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let unit = text[digits.len()..].trim();
        let of_unit = |(name, _): &&(&str, u64)| unit.eq_ignore_ascii_case(name);
        let unit = match unit {
            "" => Some(1),
            _ => UNITS.iter().find(of_unit).map(|(_, bytes)| *bytes),
        };
        let number: Option<u64> = digits.parse().ok();
        Ok(number
            .zip(unit)
            .and_then(|(number, unit)| number.checked_mul(unit))
            .map(Self))
    }

    fn show(&self) -> String {
        let fits = |(_, bytes): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*bytes);
        let (unit, bytes) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
        quoted(&format!("{}{unit}", self.0 / bytes))
    }
}

/// What a run does that could not read everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnIncomplete {
    /// It fails, with an exit status of its own.
    Fail,
    /// It says so.
    Warn,
}

impl Value for OnIncomplete {
    const FORM: &'static str = "\"fail\" or \"warn\"";
    const NAME: &'static str = "WHAT";

    fn read(raw: &Raw, _: &Path) -> Result<Option<Self>, String> {
        Ok(match raw {
            Raw::Text(text) if text == "fail" => Some(Self::Fail),
            Raw::Text(text) if text == "warn" => Some(Self::Warn),
            _ => None,
        })
    }

    fn show(&self) -> String {
        quoted(match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
        })
    }
}

impl Value for PathBuf {
    const FORM: &'static str = "a path";
    const NAME: &'static str = "PATH";

    fn read(raw: &Raw, base: &Path) -> Result<Option<Self>, String> {
        let Raw::Text(text) = raw else {
            return Ok(None);
        };
        match text.is_empty() {
            true => Err("the path is empty".to_owned()),
            false => Ok(Some(base.join(text))),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

/// A glob, and the directory where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// As it was written.
    pub pattern: String,
    /// The directory it is relative to.
    pub base: PathBuf,
}

impl Value for Glob {
    const FORM: &'static str = "a glob, such as \"vendor/**\"";
    const NAME: &'static str = "GLOB";

    fn read(raw: &Raw, base: &Path) -> Result<Option<Self>, String> {
        let Raw::Text(text) = raw else {
            return Ok(None);
        };
        let pattern = text.to_str().ok_or("a glob has to be UTF-8")?.to_owned();
        globs::compile(&pattern)?;
        Ok(Some(Self {
            pattern,
            base: base.to_owned(),
        }))
    }

    fn show(&self) -> String {
        quoted(&self.pattern)
    }
}

/// A setting with one value: the last to speak wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct One<T> {
    /// The value.
    pub value: T,
    /// Where it was given.
    pub origin: Origin,
}

impl<T> One<T> {
    pub(super) fn default_of(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }
}

/// A setting with many values: everybody adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Many<T>(pub Vec<One<T>>);

impl<T> Many<T> {
    /// The values, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|one| &one.value)
    }

    /// Whether nobody gave any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What there is to say of a setting's kind.
pub(super) struct Kind {
    /// What a value has to be, for people.
    pub(super) form: String,
    /// What a value is called on the command line.
    pub(super) value_name: &'static str,
    /// Whether it takes many values.
    pub(super) is_list: bool,
    /// Whether it is on or off.
    pub(super) is_switch: bool,
}

/// What the table does with a setting, whatever its kind.
pub(super) trait Setting {
    /// Its kind.
    fn kind() -> Kind
    where
        Self: Sized;

    /// Takes a value over. An error has the line of the element that is wrong.
    fn put(&mut self, raw: Raw, site: &Site<'_>) -> Result<(), (Origin, String)>;

    /// Every value and where it was given.
    fn shown(&self) -> Vec<(String, Origin)>;
}

fn read<T: Value>(raw: &Raw, site: &Site<'_>, origin: Origin) -> Result<One<T>, (Origin, String)> {
    match T::read(raw, site.base) {
        Ok(Some(value)) => Ok(One { value, origin }),
        Ok(None) => Err((
            origin,
            format!("{} can't be used; it takes {}", raw.shown(), T::FORM),
        )),
        Err(problem) => Err((origin, problem)),
    }
}

impl<T: Value> Setting for One<T> {
    fn kind() -> Kind {
        Kind {
            form: T::FORM.to_owned(),
            value_name: T::NAME,
            is_list: false,
            is_switch: T::IS_SWITCH,
        }
    }

    fn put(&mut self, raw: Raw, site: &Site<'_>) -> Result<(), (Origin, String)> {
        *self = read(&raw, site, site.origin.clone())?;
        Ok(())
    }

    fn shown(&self) -> Vec<(String, Origin)> {
        vec![(self.value.show(), self.origin.clone())]
    }
}

impl<T: Value> Setting for Many<T> {
    fn kind() -> Kind {
        Kind {
            form: format!("a list; each {}", T::FORM),
            value_name: T::NAME,
            is_list: true,
            is_switch: false,
        }
    }

    fn put(&mut self, raw: Raw, site: &Site<'_>) -> Result<(), (Origin, String)> {
        let Raw::List(elements) = raw else {
            let problem = format!(
                "{} can't be used; it takes {}",
                raw.shown(),
                Self::kind().form
            );
            return Err((site.origin.clone(), problem));
        };
        for (element, line) in elements {
            self.0.push(read(&element, site, site.at_line(line))?);
        }
        Ok(())
    }

    fn shown(&self) -> Vec<(String, Origin)> {
        let one = |one: &One<T>| (one.value.show(), one.origin.clone());
        match self.0.is_empty() {
            true => vec![("[]".to_owned(), Origin::Default)],
            false => self.0.iter().map(one).collect(),
        }
    }
}

impl Raw {
    /// What was written, for an error.
    fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(text) => quoted(&text.to_string_lossy()),
            Self::List(_) => "a list".to_owned(),
            Self::Other(kind) => format!("a TOML {kind}"),
        }
    }

    /// What a variable or a flag says: a list, if several values are wanted of it.
    pub(super) fn texts(texts: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let text = |text: &OsStr| (Self::Text(text.to_owned()), 0);
        Self::List(texts.into_iter().map(|t| text(t.as_ref())).collect())
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
