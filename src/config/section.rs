//! A table of the user's own configuration that is read by whoever knows its kind: a store, a
//! rollout, a health check. Typos are errors that name the line and the nearest name there is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::distance;
use super::value::Origin;
use super::{ConfigError, File};

/// One step from the top of the file to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A table in a configuration, not read yet.
#[derive(Clone, Debug)]
pub struct Section {
    file: Arc<File>,
    path: Vec<Step>,
    /// Names in it that somebody else reads.
    taken: Vec<&'static str>,
}

/// What every section of several kinds begins with.
#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl Section {
    /// The whole file.
    pub fn whole(file: File) -> Self {
        Self {
            file: Arc::new(file),
            path: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Its name, for people: `stores.prod`.
    pub fn name(&self) -> String {
        let steps = self.path.iter().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(n) => (n + 1).to_string(),
        });
        steps.collect::<Vec<_>>().join(".")
    }

    /// A path in it: relative ones are relative to the file's directory.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.file.base.join(path)
    }

    /// The tables below `key`, by name; none if it is missing.
    ///
    /// # Errors
    /// Something else stands there.
    pub fn tables(&self, key: &str) -> Result<Vec<(String, Self)>, ConfigError> {
        self.look(|value| {
            let Some(found) = value.get_ref().get(key) else {
                return Ok(Vec::new());
            };
            let table = found.get_ref().as_table();
            let table = table.ok_or_else(|| wrong(found, "a table of tables is expected"))?;
            let below = table.iter().map(|(name, value)| {
                let name = name.get_ref().to_string();
                match value.get_ref().is_table() {
                    true => Ok((name.clone(), self.below(key).below(&name))),
                    false => Err(wrong(value, "a table is expected")),
                }
            });
            below.collect()
        })
    }

    /// The tables in the list `key`; none if it is missing.
    ///
    /// # Errors
    /// Something else stands there.
    pub fn list(&self, key: &str) -> Result<Vec<Self>, ConfigError> {
        self.look(|value| {
            let Some(found) = value.get_ref().get(key) else {
                return Ok(Vec::new());
            };
            let list = found.get_ref().as_array();
            let list = list.ok_or_else(|| wrong(found, "a list of tables is expected"))?;
            let below = list.iter().enumerate().map(|(n, value)| {
                let mut below = self.below(key);
                below.path.push(Step::Index(n));
                match value.get_ref().is_table() {
                    true => Ok(below),
                    false => Err(wrong(value, "a table is expected")),
                }
            });
            below.collect()
        })
    }

    /// The table below `key`, if there is one.
    ///
    /// # Errors
    /// Something else stands there.
    pub fn table(&self, key: &str) -> Result<Option<Self>, ConfigError> {
        self.look(|value| match value.get_ref().get(key) {
            None => Ok(None),
            Some(found) if found.get_ref().is_table() => Ok(Some(self.below(key))),
            Some(found) => Err(wrong(found, "a table is expected")),
        })
    }

    fn below(&self, key: &str) -> Self {
        let mut path = self.path.clone();
        path.push(Step::Key(key.to_owned()));
        Self {
            file: Arc::clone(&self.file),
            path,
            taken: Vec::new(),
        }
    }

    /// The same table, of which `names` are read by somebody else.
    #[must_use]
    pub fn without(mut self, names: &[&'static str]) -> Self {
        self.taken.extend(names);
        self
    }

    /// Its entry `kind`, which says who reads it.
    ///
    /// # Errors
    /// There is none.
    pub fn kind(&self) -> Result<String, ConfigError> {
        self.look(|value| Kind::deserialize(value.clone().into_deserializer()))
            .map(|kind| kind.kind)
    }

    /// The entry of `all` that its `kind` names.
    ///
    /// # Errors
    /// There is no such kind, or none is given.
    pub fn choose<'k, K>(
        &self,
        all: &'k [K],
        name: impl Fn(&K) -> &'static str,
    ) -> Result<&'k K, ConfigError> {
        let kind = self.kind()?;
        if let Some(chosen) = all.iter().find(|entry| name(entry) == kind) {
            return Ok(chosen);
        }
        let names: Vec<&str> = all.iter().map(&name).collect();
        Err(self.invalid(unknown("kind", &kind, &names)))
    }

    /// All of it but `kind` and what others read, as `T`, which should deny unknown fields.
    ///
    /// # Errors
    /// A name or a value is wrong.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.read_part(|name| name != "kind" && !self.taken.contains(&name))
    }

    /// The named entries of it, as `T`.
    ///
    /// # Errors
    /// A value is wrong.
    pub fn pick<T: DeserializeOwned>(&self, names: &[&str]) -> Result<T, ConfigError> {
        self.read_part(|name| names.contains(&name))
    }

    fn read_part<T: DeserializeOwned>(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<T, ConfigError> {
        self.look(|value| {
            let span = value.span();
            let mut value = value.get_ref().clone();
            if let DeValue::Table(table) = &mut value {
                let names = table.keys().map(|name| name.get_ref().to_string());
                let unwanted: Vec<String> = names.filter(|name| !wanted(name)).collect();
                for name in unwanted {
                    table.remove(name.as_str());
                }
            }
            T::deserialize(Spanned::new(span, value).into_deserializer())
        })
    }

    /// An error that names this section.
    pub fn invalid(&self, problem: impl Into<String>) -> ConfigError {
        let here = self.look(|value| Ok(self.line(value.span().start)));
        let problem = match self.path.is_empty() {
            true => problem.into(),
            false => format!("[{}]: {}", self.name(), problem.into()),
        };
        ConfigError::Invalid {
            origin: Origin::File {
                path: self.file.name.clone(),
                line: here.unwrap_or(1),
            },
            problem,
        }
    }

    fn line(&self, byte: usize) -> u64 {
        let before = &self.file.text.as_bytes()[..byte.min(self.file.text.len())];
        before.iter().filter(|b| **b == b'\n').count() as u64 + 1
    }

    fn look<T>(
        &self,
        look: impl FnOnce(&Spanned<DeValue<'_>>) -> Result<T, toml::de::Error>,
    ) -> Result<T, ConfigError> {
        let parsed = DeTable::parse(&self.file.text).and_then(|table| {
            let span = table.span();
            let whole = Spanned::new(span, DeValue::Table(table.into_inner()));
            let mut at = &whole;
            for step in &self.path {
                let below = match step {
                    Step::Key(key) => at.get_ref().get(key.as_str()),
                    Step::Index(n) => at.get_ref().get(*n),
                };
                at = below.ok_or_else(|| toml::de::Error::custom("it is not there any more"))?;
            }
            look(at)
        });
        parsed.map_err(|error| {
            let line = self.line(error.span().map_or(0, |span| span.start));
            let said = explain(error.message(), &self.taken);
            let problem = match self.path.is_empty() {
                true => said,
                false => format!("[{}]: {said}", self.name()),
            };
            ConfigError::Invalid {
                origin: Origin::File {
                    path: self.file.name.clone(),
                    line,
                },
                problem,
            }
        })
    }
}

fn wrong(value: &Spanned<DeValue<'_>>, expected: &str) -> toml::de::Error {
    let found = value.get_ref().type_str();
    toml::de::Error::custom(format!("{expected}, and this is a {found}"))
}

/// serde's list of names, as advice. Its other messages stand as they are.
fn explain(message: &str, also: &[&str]) -> String {
    let kinds = [
        ("unknown field `", "setting"),
        ("unknown variant `", "choice"),
    ];
    for (beginning, what) in kinds {
        let Some(rest) = message.strip_prefix(beginning) else {
            continue;
        };
        let mut quoted = rest.split('`');
        let name = quoted.next().unwrap_or_default();
        // What stands between backquotes: separators and names take turns.
        let mut known: Vec<&str> = quoted.skip(1).step_by(2).collect();
        if what == "setting" {
            known.extend(also);
        }
        return unknown(what, name, &known);
    }
    message.to_owned()
}

/// That there is no such thing, and what there is.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    format!("there is no {what} `{name}`; {}", advice(name, known))
}

/// The nearest of the known names, or all.
fn advice(name: &str, known: &[&str]) -> String {
    let name = name.to_ascii_lowercase();
    let near = known.iter().map(|known| (distance(known, &name), known));
    let near = near.min_by_key(|(distance, _)| *distance);
    match near {
        Some((distance, near)) if distance <= 2.max(name.len() / 3) => {
            format!("did you mean `{near}`?")
        }
        _ => format!("there are `{}`", known.join("`, `")),
    }
}

/// A time span such as `90s`, `5m`, `24h` or `60d`; for `#[serde(deserialize_with)]`.
///
/// # Errors
/// It is none.
pub fn time_span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_span(&text).ok_or_else(|| {
        D::Error::custom("a time span is written like `90s`, `5m`, `24h` or `60d`".to_owned())
    })
}

/// The same, for one that may be missing; with `#[serde(default)]`.
///
/// # Errors
/// It is none.
pub(super) fn maybe_time_span<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    time_span(from).map(Some)
}

fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let seconds: u64 = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The section at the top of `text`.
    pub(crate) fn section(text: &str) -> Section {
        Section::whole(File {
            name: "config.toml".to_owned(),
            base: "/base".into(),
            text: text.to_owned(),
            trusted: true,
        })
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        address: String,
        #[serde(default, deserialize_with = "time_span")]
        pause: Duration,
    }

    fn only(text: &str) -> Section {
        section(text).tables("stores").unwrap().remove(0).1
    }

    #[test]
    fn sections_are_found_and_read() {
        let text = "[stores.a]\nkind = 'x'\naddress = 'b'\npause = '5m'\n[[c.d]]\nkind = 'y'\n";
        let found = only(text);
        assert_eq!(
            (found.name().as_str(), found.kind().unwrap().as_str()),
            ("stores.a", "x")
        );
        let settings: Settings = found.read().unwrap();
        assert_eq!(
            (settings.address.as_str(), settings.pause.as_secs()),
            ("b", 300)
        );
        assert_eq!(found.resolve("f"), std::path::Path::new("/base/f"));
        let c = section(text).table("c").unwrap().unwrap();
        assert_eq!(c.list("d").unwrap()[0].kind().unwrap(), "y");
        assert!(section(text).table("e").unwrap().is_none());
        assert!(section(text).tables("e").unwrap().is_empty());
    }

    #[test]
    fn typos_name_the_line_and_the_nearest_name() {
        let said = |text: &str| only(text).read::<Settings>().unwrap_err().to_string();
        let typo = said("[stores.a]\nkind = 'x'\nadress = 'b'\n");
        assert!(typo.contains("config.toml") && typo.contains('3'), "{typo}");
        assert!(typo.contains("[stores.a]: there is no setting `adress`; did you mean `address`?"));
        let other = said("[stores.a]\nkind = 'x'\nsomething = 'b'\n");
        assert!(other.contains("there are `address`, `pause`"), "{other}");
        let missing = said("[stores.a]\nkind = 'x'\n");
        assert!(missing.contains("missing field `address`"), "{missing}");
        let span = said("[stores.a]\naddress = 'b'\npause = '5 minutes'\n");
        assert!(span.contains("written like"), "{span}");
        let kind = only("[stores.a]\nkind = 'vualt'\n")
            .choose(&["vault", "file"], |k| k)
            .unwrap_err()
            .to_string();
        assert!(kind.contains("did you mean `vault`?"), "{kind}");
        let flat = section("stores = 3\n")
            .tables("stores")
            .unwrap_err()
            .to_string();
        assert!(flat.contains("a table of tables is expected"), "{flat}");
    }

    #[test]
    fn time_spans_have_one_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("24h", 86_400),
            ("60d", 5_184_000),
        ] {
            assert_eq!(parse_span(text), Some(Duration::from_secs(seconds)));
        }
        for bad in [
            "",
            "5",
            "m",
            "-5m",
            "5 m",
            "1h30m",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }
}
