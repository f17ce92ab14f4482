//! A value in a file: `.env`, YAML, JSON, or a file that holds nothing else. The rest of the file,
//! its mode and its owner stay as they are. Key B waits in a file beside it, as does key A, for
//! their owner only; consumers read neither.

mod env;
pub(super) mod json;
mod raw;
mod yaml;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::slots::{About, Expect, Put, Slots, conflict};
use super::types::{Capabilities, CheckAndSet, GivesBack, Held, Note, Slot, Version};
use super::{Outside, Store, StoreError};
use crate::config::{ConfigError, Section};
use crate::disk::{self, Guard};
use crate::secret::Secret;

/// A configuration is a few pages of text.
const LARGEST: u64 = 16 << 20;

/// Writes a value in the way of its place; `None` if it can't be.
type Write = fn(&Secret) -> Option<Vec<u8>>;

/// Where a value stands in a text, and how it is written there.
pub(super) struct Found {
    /// Its bytes, without quotes.
    pub(super) span: Range<usize>,
    /// The value.
    pub(super) value: Secret,
    /// How another value is written in the same place; `None` if it can't be.
    pub(super) write: Write,
}

/// Why a value can't be found in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is not there.
    Absent,
    /// The text can't be understood, or the place must not be written; says why.
    Unusable(String),
    /// This value can't be written there; says why.
    Refused(&'static str),
}

impl Problem {
    /// The error for a store's user; `what` is the text.
    pub(super) fn told(self, place: &str, what: &str) -> StoreError {
        let place = place.to_owned();
        match self {
            Self::Absent => StoreError::NotFound {
                place,
                what: "this name".to_owned(),
            },
            Self::Unusable(reason) => StoreError::Malformed {
                place,
                reason: format!("{what}: {reason}"),
            },
            Self::Refused(reason) => StoreError::Refused {
                place,
                reason: reason.to_owned(),
            },
        }
    }
}

/// A form of file: finds the value at a path of names.
pub(super) type Find = fn(&[u8], &[String]) -> Result<Found, Problem>;

/// The forms. A new one is one file and one line here: its name, the endings of files that are
/// taken for it, its way to find a value.
#[rustfmt::skip]
const FORMS: &[(&str, &[&str], Find)] = &[
    ("env", &["env"], env::find),
    ("json", &["json"], json::find),
    ("yaml", &["yaml", "yml"], yaml::find),
    ("raw", &[], raw::find),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The file.
    path: String,
    /// The name of the value, or the names on the way to it.
    #[serde(default)]
    key: Key,
    /// The form, if the name of the file does not tell.
    format: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Key {
    #[default]
    None,
    One(String),
    Path(Vec<String>),
}

struct Values {
    about: About,
    path: PathBuf,
    key: Vec<String>,
    find: Find,
}

/// Opens what a section describes.
pub(super) fn open(section: &Section, _: &Outside<'_>) -> Result<Box<dyn Store>, ConfigError> {
    let settings: Settings = section.read()?;
    let key = match settings.key {
        Key::None => Vec::new(),
        Key::One(name) => vec![name],
        Key::Path(names) => names,
    };
    let path = section.resolve(&settings.path);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = file.rsplit('.').next().unwrap_or_default();
    // `.env.production` is one, too.
    let ending = if file.starts_with(".env") {
        "env"
    } else {
        ending
    };
    let form = match &settings.format {
        Some(name) => FORMS.iter().find(|(form, ..)| form == name),
        None => FORMS
            .iter()
            .find(|(_, endings, _)| endings.contains(&ending)),
    };
    let Some((form, _, find)) = form else {
        let forms: Vec<&str> = FORMS.iter().map(|(name, ..)| *name).collect();
        return Err(section.invalid(format!(
            "`format` has to be one of `{}`",
            forms.join("`, `")
        )));
    };
    match (*form, key.len()) {
        ("raw", 0) => {}
        ("raw", _) => {
            return Err(section.invalid("a raw file has no `key`: all of it is the value"));
        }
        (_, 0) => return Err(section.invalid("`key` says which value of the file it is")),
        ("env", 2..) => return Err(section.invalid("an env file has one level of names")),
        _ => {}
    }
    Ok(Box::new(Values::new(path, key, *find)))
}

/// A slot beside the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
}

impl Values {
    fn new(path: PathBuf, key: Vec<String>, find: Find) -> Self {
        let place = match key.is_empty() {
            true => path.display().to_string(),
            false => format!("{}, {}", path.display(), key.join(".")),
        };
        let rights = vec![
            format!("read and write {}", path.display()),
            "write its directory: the file is replaced in one step".to_owned(),
            "be its owner, or root: owner and mode are kept".to_owned(),
        ];
        Self {
            about: About {
                place,
                can: Capabilities {
                    two_versions: true,
                    reads_back: true,
                    gives_back: GivesBack::Itself,
                    check_and_set: CheckAndSet::Narrow,
                    locks: true,
                },
                rights,
            },
            path,
            key,
            find,
        }
    }

    /// The file itself, if the path is a link.
    fn real(&self) -> Result<PathBuf, StoreError> {
        std::fs::canonicalize(&self.path).map_err(|error| self.wrong("find the file", error))
    }

    fn wrong(&self, doing: &str, error: io::Error) -> StoreError {
        let place = self.about.place.clone();
        match error.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound {
                place,
                what: "the file".to_owned(),
            },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::Denied {
                    place,
                    doing: doing.to_owned(),
                    reason: error.to_string(),
                    rights: self.about.rights.join("; "),
                }
            }
            _ => StoreError::Unreachable {
                place,
                doing: doing.to_owned(),
                reason: error.to_string(),
                sent: false,
            },
        }
    }

    fn malformed(&self, reason: String) -> StoreError {
        StoreError::Malformed {
            place: self.about.place.clone(),
            reason,
        }
    }

    /// Where a slot is kept: beside the file, with a name that no two values share.
    fn beside(&self, real: &Path, slot: Slot) -> PathBuf {
        let mut hash = Sha256::new();
        for name in &self.key {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        let hash = hash.finalize();
        let name = real.file_name().unwrap_or_default().to_string_lossy();
        let name = format!(
            ".{}.{:02x}{:02x}{:02x}{:02x}.skewer-{}",
            name.trim_start_matches('.'),
            hash[0],
            hash[1],
            hash[2],
            hash[3],
            slot.name()
        );
        real.with_file_name(name)
    }

    fn guard(&self, real: &Path) -> Result<Guard, StoreError> {
        let directory = real.parent().unwrap_or(Path::new("/"));
        Guard::directory(directory).map_err(|error| self.wrong("lock the directory", error))
    }

    fn text(&self, real: &Path) -> Result<(File, Vec<u8>), StoreError> {
        let read = || {
            let file = File::open(real)?;
            let mut bytes = Vec::with_capacity(file.metadata()?.len().min(LARGEST) as usize + 1);
            (&file).take(LARGEST + 1).read_to_end(&mut bytes)?;
            match bytes.len() as u64 > LARGEST {
                true => Err(io::Error::other("it is too large for a configuration")),
                false => Ok((file, bytes)),
            }
        };
        read().map_err(|error| self.wrong("read the file", error))
    }

    fn found(&self, text: &[u8]) -> Result<Found, StoreError> {
        (self.find)(text, &self.key).map_err(|problem| self.problem(problem))
    }

    fn problem(&self, problem: Problem) -> StoreError {
        problem.told(&self.about.place, "the file")
    }

    fn current(&self, real: &Path) -> Result<Held, StoreError> {
        let value = self.found(&self.text(real)?.1)?.value;
        Ok(Held {
            version: version_of(&value),
            value: Some(value),
            note: None,
        })
    }

    fn side(&self, real: &Path, slot: Slot) -> Result<Option<Held>, StoreError> {
        let path = self.beside(real, slot);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| self.wrong("read what stands beside the file", error))?,
        };
        let bytes = Secret::new(bytes);
        let beside: Beside = serde_json::from_slice(bytes.expose())
            .map_err(|_| self.malformed(format!("{} is none of ours", path.display())))?;
        Ok(Some(Held {
            version: version_of(&bytes),
            value: Some(Secret::new(beside.value.into())),
            note: beside.note,
        }))
    }

    fn rewritten(&self, text: &[u8], value: &Secret) -> Result<Vec<u8>, StoreError> {
        rewrite(self.find, &self.key, text, value).map_err(|problem| self.problem(problem))
    }
}

/// Writes the value into the text, and looks whether it is there and all else as before.
pub(super) fn rewrite(
    find: Find,
    key: &[String],
    text: &[u8],
    value: &Secret,
) -> Result<Vec<u8>, Problem> {
    let found = find(text, key)?;
    let written = (found.write)(value).ok_or(Problem::Refused(
        "this value can't be written here without being changed",
    ))?;
    let mut new = Vec::with_capacity(text.len() + written.len());
    new.extend_from_slice(&text[..found.span.start]);
    new.extend_from_slice(&written);
    new.extend_from_slice(&text[found.span.end..]);
    match find(&new, key) {
        Ok(again) if again.value == *value => Ok(new),
        _ => Err(Problem::Refused(
            "the value would not be read back as it is written",
        )),
    }
}

fn version_of(value: &Secret) -> Version {
    Version::new(value.fingerprint().to_string())
}

impl Slots for Values {
    fn about(&self) -> &About {
        &self.about
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let real = self.real()?;
        let (file, text) = self.text(&real)?;
        let found = self.found(&text)?;
        self.rewritten(&text, &found.value)?;
        if links(&file).map_err(|error| self.wrong("look at the file", error))? > 1 {
            return Err(StoreError::Refused {
                place: self.about.place.clone(),
                reason: "the file has more than one hard link, which replacing it would part"
                    .to_owned(),
            });
        }
        let directory = real.parent().unwrap_or(Path::new("/"));
        disk::may_replace(directory, &file)
            .map_err(|error| self.wrong("replace the file with its owner and mode", error))?;
        let mut remarks = Vec::new();
        if real != self.path {
            remarks.push(format!(
                "it is a link to {}, which is replaced",
                real.display()
            ));
        }
        Ok(remarks)
    }

    fn get(&self, slot: Slot) -> Result<Option<Held>, StoreError> {
        let real = self.real()?;
        match slot {
            Slot::Current => self.current(&real).map(Some),
            slot => self.side(&real, slot),
        }
    }

    fn put(&self, slot: Slot, put: Put<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let real = self.real()?;
        let _guard = self.guard(&real)?;
        let there = self.get(slot)?.map(|held| held.version);
        let fits = match expect {
            Expect::Absent => there.is_none(),
            Expect::Version(version) => there.as_ref() == Some(version),
        };
        if !fits {
            return Err(conflict(self, slot, expect, there.as_ref()));
        }
        let failed = |error| self.wrong("write the file", error);
        if slot == Slot::Current {
            let (file, text) = self.text(&real)?;
            let new = Secret::new(self.rewritten(&text, put.value)?);
            disk::replace(&real, new.expose(), Some(&file)).map_err(failed)?;
            return Ok(version_of(put.value));
        }
        let value = std::str::from_utf8(put.value.expose());
        let beside = Beside {
            value: value
                .map_err(|_| self.malformed("the value is no text".to_owned()))?
                .to_owned(),
            note: put.note.cloned(),
        };
        let bytes = serde_json::to_vec(&beside).expect("texts can be written");
        let bytes = Secret::new(bytes);
        disk::replace(&self.beside(&real, slot), bytes.expose(), None).map_err(failed)?;
        Ok(version_of(&bytes))
    }

    fn remove(&self, slot: Slot, held: &Held) -> Result<(), StoreError> {
        let real = self.real()?;
        let _guard = self.guard(&real)?;
        match self.side(&real, slot)? {
            None => Ok(()),
            Some(there) if there.version != held.version => {
                let expect = Expect::Version(&held.version);
                Err(conflict(self, slot, expect, Some(&there.version)))
            }
            Some(_) => std::fs::remove_file(self.beside(&real, slot))
                .map_err(|error| self.wrong("remove what stands beside the file", error)),
        }
    }
}

#[cfg(unix)]
fn links(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink())
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)] // as the other one
fn links(_: &File) -> io::Result<u64> {
    Ok(1)
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
