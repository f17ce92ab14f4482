//! Where a credential of ours comes from: a variable, a file, a program, the system's keyring; never
//! the configuration itself, which is a plain file, and never an argument.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::Section;
use crate::process::Program;
use crate::secret::Secret;

/// The largest credential, in bytes: a signed token has a few thousand.
const LARGEST: u64 = 64 << 10;

/// How long a program may take to give one.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same, if it may ask its user for something.
const WITH_A_USER: Duration = Duration::from_secs(5 * 60);

/// Where a credential comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// `{ env = "NAME" }`: a variable of the environment.
    Env(String),
    /// `{ file = "PATH" }`: a file with the credential and nothing else.
    File(PathBuf),
    /// `{ command = ["PROGRAM", "ARGUMENT"] }`: what a program prints. No shell is involved.
    Command(Vec<String>),
    /// `{ keyring = "SERVICE" }`: an entry of the system's keyring, by its service's name.
    Keyring(String),
}

/// What the program was started in, as far as configurations refer to it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Looks up a variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<Secret>,
}

/// Why a credential can't be had.
#[derive(Debug, thiserror::Error)]
#[error("no credential from {from}: {reason}")]
pub struct NoCredential {
    /// Where it should have come from.
    pub from: String,
    /// What is wrong. It may quote a program's words: to be redacted before it is shown.
    pub reason: String,
}

/// The program that reads the system's keyring.
fn keyring(service: &str) -> Vec<String> {
    let words: &[&str] = match cfg!(target_os = "macos") {
        true => &["security", "find-generic-password", "-w", "-s", service],
        false => &["secret-tool", "lookup", "service", service],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Credential {
    /// Gets it; white space around it is taken away. `section` tells where relative paths begin.
    ///
    /// # Errors
    /// It is not there, or empty.
    pub fn get(
        &self,
        section: &Section,
        around: &Surroundings<'_>,
    ) -> Result<Secret, NoCredential> {
        self.fetch(&section.resolve(""), around, false)
    }

    /// The same, for one whose relative paths begin at `base`. `has_user`: a program may ask
    /// somebody for something, on our terminal.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn fetch(
        &self,
        base: &Path,
        around: &Surroundings<'_>,
        has_user: bool,
    ) -> Result<Secret, NoCredential> {
        let no = |reason: String| NoCredential {
            from: match self {
                Self::Env(name) => format!("the variable {name}"),
                Self::File(path) => format!("the file {}", path.display()),
                Self::Command(command) => {
                    format!("the program {}", command.first().map_or("", String::as_str))
                }
                Self::Keyring(service) => format!("the keyring's entry {service}"),
            },
            reason,
        };
        let got = match self {
            Self::Env(name) => {
                (around.variable)(name).ok_or_else(|| no(format!("{name} is not set")))?
            }
            Self::File(path) => {
                let path = base.join(path);
                let read = std::fs::metadata(&path).and_then(|about| match about.len() {
                    0..=LARGEST => std::fs::read(&path),
                    _ => Err(std::io::Error::other("it is too large for a credential")),
                });
                Secret::new(read.map_err(|error| no(error.to_string()))?)
            }
            Self::Command(command) => printed(command.clone(), has_user).map_err(no)?,
            Self::Keyring(service) => printed(keyring(service), has_user).map_err(no)?,
        };
        let trimmed = got.expose().trim_ascii();
        match trimmed.len() {
            0 => Err(no("it is empty".to_owned())),
            n if n as u64 > LARGEST => Err(no("it is too large for a credential".to_owned())),
            _ => Ok(Secret::new(trimmed.to_vec())),
        }
    }
}

/// What a program prints.
fn printed(command: Vec<String>, has_user: bool) -> Result<Secret, String> {
    let program = Program {
        command,
        directory: None,
        environment: Vec::new(),
        limit: if has_user { WITH_A_USER } else { PATIENCE },
    };
    let output = match has_user {
        true => program.ask(),
        false => program.run(&Secret::new(Vec::new())),
    };
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err([output.status.to_string(), output.stderr].join(": ")),
    }
}

/// A credential that is got again once it has ended: a file is read and a program asked anew, while
/// a variable stays as it was.
pub struct Source {
    credential: Credential,
    section: Section,
    /// What was got first, until it is used; a variable's value for good.
    first: Mutex<Option<Secret>>,
}

impl Source {
    /// Gets the credential for the first time.
    ///
    /// # Errors
    /// See [`Credential::get`].
    pub fn new(
        credential: Credential,
        section: &Section,
        around: &Surroundings<'_>,
    ) -> Result<Self, NoCredential> {
        let first = credential.get(section, around)?;
        Ok(Self {
            credential,
            section: section.clone(),
            first: Mutex::new(Some(first)),
        })
    }

    /// The credential as it is now.
    ///
    /// # Errors
    /// See [`Credential::get`].
    pub fn get(&self) -> Result<Secret, NoCredential> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match self.credential {
            Credential::Env(_) => first.clone(),
            _ => first.take(),
        };
        let nothing = Surroundings {
            variable: &|_| None,
        };
        first.map_or_else(|| self.credential.get(&self.section, &nothing), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::section;

    fn get(credential: &Credential) -> Result<Secret, NoCredential> {
        let variable = |name: &str| (name == "HERE").then(|| Secret::new(b" v\n".to_vec()));
        credential.get(
            &section(""),
            &Surroundings {
                variable: &variable,
            },
        )
    }

    #[test]
    fn they_come_from_variables_files_and_programs() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "v\n").unwrap();
        assert_eq!(
            get(&Credential::Env("HERE".to_owned())).unwrap().expose(),
            b"v"
        );
        assert_eq!(get(&Credential::File(file.clone())).unwrap().expose(), b"v");
        std::fs::write(&file, "\n").unwrap();
        let empty = get(&Credential::File(file)).unwrap_err().to_string();
        assert!(empty.contains("it is empty"), "{empty}");
        let unset = get(&Credential::Env("GONE".to_owned()))
            .unwrap_err()
            .to_string();
        assert!(
            unset.contains("the variable GONE: GONE is not set"),
            "{unset}"
        );
    }

    #[test]
    #[cfg(unix)]
    fn a_program_prints_one() {
        let shell =
            |script: &str| Credential::Command(["sh", "-c", script].map(str::to_owned).to_vec());
        assert_eq!(get(&shell("echo v")).unwrap().expose(), b"v");
        let failed = get(&shell("echo v; echo why >&2; exit 1"))
            .unwrap_err()
            .to_string();
        assert!(failed.contains("why"), "{failed}");
    }

    #[test]
    fn a_source_reads_a_file_anew_and_keeps_a_variable() {
        let variable = |name: &str| (name == "HERE").then(|| Secret::new(b"v".to_vec()));
        let around = Surroundings {
            variable: &variable,
        };
        let kept = Source::new(Credential::Env("HERE".to_owned()), &section(""), &around).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one").unwrap();
        let path = Credential::File(file.path().to_owned());
        let read = Source::new(path, &section(""), &around).unwrap();
        for expected in ["one", "two"] {
            assert_eq!(read.get().unwrap().expose(), expected.as_bytes());
            assert_eq!(kept.get().unwrap().expose(), b"v");
            std::fs::write(file.path(), "two").unwrap();
        }
    }

    #[test]
    fn none_stands_in_the_configuration() {
        #[derive(Debug, Deserialize)]
        struct Settings {
            #[allow(dead_code)]
            token: Credential,
        }
        assert!(section("token = { env = 'X' }").read::<Settings>().is_ok());
        assert!(section("token = 'abc'").read::<Settings>().is_err());
    }
}
