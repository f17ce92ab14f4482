//! `skewer.toml`: where it is looked for, and what its text says.

use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::{Origin, Raw};
use super::{ConfigError, private, table};

/// The name of a project's configuration.
pub const FILE_NAME: &str = "skewer.toml";

/// The user's own, below the directory for configurations.
pub const USER_FILE: &str = "skewer/config.toml";

/// A configuration is a page of text; more is a mistake, or an attack on memory.
const LARGEST: u64 = 1 << 20;

/// Words that a configuration must not know, and what they would let it do.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "host", "hosts", "url", "urls", "uri", "endpoint", "address", "proxy", "server",
            "webhook",
        ],
        "name a host",
    ),
    (
        &[
            "command", "commands", "cmd", "exec", "run", "program", "shell", "script", "hook",
            "hooks", "plugin",
        ],
        "name a command",
    ),
    (
        &[
            "store",
            "stores",
            "vault",
            "rotate",
            "rotation",
            "consumer",
            "consumers",
        ],
        "name a store",
    ),
    (&["policy", "policies"], "name a policy"),
    (&["output", "cache", "log"], "name a file to be written"),
    (
        &[
            "verify",
            "reveal",
            "key",
            "keys",
            "token",
            "secret",
            "organization",
            "organisation",
        ],
        "say what happens to keys",
    ),
];

/// A configuration's text, and where it stands.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, for people: a path, or a ref and a path.
    pub name: String,
    /// The directory that relative paths in it are relative to.
    pub base: PathBuf,
    /// The text.
    pub text: String,
    /// Whether it is the user's own word, and not a file that came with a repository: only then it
    /// may say what [`Private`](super::Private) holds.
    pub trusted: bool,
}

/// Where the program was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The directory of the configuration, else the repository's top, else the working directory.
    pub root: PathBuf,
    /// The configuration.
    pub file: Option<PathBuf>,
}

/// Looks for a `skewer.toml` from `start` (absolute) upward. The nearest one is taken; the search
/// ends at the top of the repository, or of the file system.
///
/// # Errors
/// Something that can't be looked at: it might be a configuration.
pub fn find(start: &Path) -> Result<Project, ConfigError> {
    for directory in start.ancestors() {
        let file = directory.join(FILE_NAME);
        if exists(&file)? {
            return Ok(Project {
                root: directory.to_owned(),
                file: Some(file),
            });
        }
        if exists(&directory.join(".git"))? {
            return Ok(Project {
                root: directory.to_owned(),
                file: None,
            });
        }
    }
    Ok(Project {
        root: start.to_owned(),
        file: None,
    })
}

fn exists(path: &Path) -> Result<bool, ConfigError> {
    path.try_exists().map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: std::io::Error) -> ConfigError {
    ConfigError::Unreadable {
        path: path.display().to_string(),
        error,
    }
}

/// Reads a configuration. Nobody vouches for it yet: see [`File::trusted`].
///
/// # Errors
/// It can't be read, or is larger than any configuration.
pub fn read(path: &Path) -> Result<File, ConfigError> {
    let wrong = |error| unreadable(path, error);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(wrong)?;
    if text.len() as u64 > LARGEST {
        let error = std::io::Error::other("it is larger than 1 MiB, so no configuration");
        return Err(wrong(error));
    }
    Ok(File {
        name: path.display().to_string(),
        base: path.parent().unwrap_or(path).to_owned(),
        text,
        trusted: false,
    })
}

/// A setting as a file gives it.
pub(super) struct Given {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) raw: Raw,
}

/// The settings of a file, in the order of their names; those that don't exist are an error.
pub(super) fn parse(file: &File) -> Result<Vec<Given>, ConfigError> {
    let invalid = |line: u64, problem: String| ConfigError::Invalid {
        origin: Origin::File {
            path: file.name.clone(),
            line,
        },
        problem,
    };
    let line = |byte: usize| {
        let before = &file.text.as_bytes()[..byte.min(file.text.len())];
        before.iter().filter(|b| **b == b'\n').count() as u64 + 1
    };
    let table = DeTable::parse(&file.text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        invalid(line(start), error.message().to_owned())
    })?;
    let mut given = Vec::new();
    for (name, value) in table.get_ref() {
        let at = line(name.span().start);
        let name = name.get_ref().to_string();
        if let Some((_, deed)) = private::SECTIONS
            .iter()
            .find(|(section, _)| *section == name)
        {
            if file.trusted {
                continue;
            }
            return Err(invalid(at, explain_private(&name, deed)));
        }
        if table::described(&name).is_none() {
            return Err(invalid(at, explain_unknown(&name)));
        }
        given.push(Given {
            name,
            line: at,
            raw: raw(value, &line),
        });
    }
    Ok(given)
}

fn raw(value: &Spanned<DeValue<'_>>, line: &impl Fn(usize) -> u64) -> Raw {
    match value.get_ref() {
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
            .map_or(Raw::Other("integer of that size"), Raw::Integer),
        DeValue::String(text) => Raw::Text(text.as_ref().into()),
        DeValue::Array(elements) => {
            let element = |e: &Spanned<DeValue<'_>>| (raw(e, line), line(e.span().start));
            Raw::List(elements.iter().map(element).collect())
        }
        other => Raw::Other(other.type_str()),
    }
}

fn explain_private(name: &str, deed: &str) -> String {
    format!(
        "`{name}` would {deed}; whoever can change a repository could change this file, so it belongs into your own configuration ($XDG_CONFIG_HOME/{USER_FILE}), or into one that you name with --config"
    )
}

fn explain_unknown(name: &str) -> String {
    let parts: Vec<String> = name
        .split(['-', '_', '.'])
        .map(str::to_ascii_lowercase)
        .collect();
    let refused = REFUSED
        .iter()
        .find(|(words, _)| parts.iter().any(|part| words.contains(&part.as_str())));
    if let Some((_, deed)) = refused {
        return format!(
            "`{name}` would {deed}; a configuration holds scan settings only, since whoever can change a repository could change it"
        );
    }
    match table::nearest(name) {
        Some(near) => format!("there is no setting `{name}`; did you mean `{near}`?"),
        None => format!("there is no setting `{name}`; `skewer config show` lists all there are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_counts_and_the_repository_ends_the_search() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("repo/a/b");
        std::fs::create_dir_all(&deep).unwrap();
        let outside = top.path().join(FILE_NAME);
        std::fs::write(&outside, "").unwrap();
        assert_eq!(find(&deep).unwrap().file, Some(outside));
        std::fs::create_dir(top.path().join("repo/.git")).unwrap();
        let repo = top.path().join("repo");
        assert_eq!(
            find(&deep).unwrap(),
            Project {
                root: repo.clone(),
                file: None
            }
        );
        for directory in [repo.clone(), repo.join("a")] {
            let file = directory.join(FILE_NAME);
            std::fs::write(&file, "").unwrap();
            assert_eq!(
                find(&deep).unwrap(),
                Project {
                    root: directory,
                    file: Some(file)
                }
            );
        }
    }

    #[test]
    fn a_file_that_is_too_large_or_not_text_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join(FILE_NAME);
        std::fs::write(&path, " ".repeat(LARGEST as usize + 1)).unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("larger than 1 MiB")
        );
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert!(read(&path).is_err());
        assert!(read(&top.path().join("none")).is_err());
        std::fs::write(&path, "threads = 1\n").unwrap();
        let file = read(&path).unwrap();
        assert_eq!(
            (file.base.as_path(), file.text.as_str()),
            (top.path(), "threads = 1\n")
        );
    }
}
