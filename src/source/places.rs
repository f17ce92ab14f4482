//! Where keys settle on this machine: the patterns of a [`Place`] become the paths that are there.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::rules::{Place, System};

/// What a machine's paths begin with. Whoever looks gives it in: no room reads the environment.
pub struct Bases<'a> {
    /// The system whose places are meant.
    pub system: System,
    /// The home directory.
    pub home: PathBuf,
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
}

/// What is there of a place.
#[derive(Debug, Default)]
pub struct There {
    /// Files and directories, each once.
    pub paths: Vec<PathBuf>,
    /// Directories that can't be looked into, so that nobody knows what is there.
    pub failures: Vec<(PathBuf, io::Error)>,
}

impl Bases<'_> {
    /// What is there of `place`.
    pub fn find(&self, place: &Place) -> There {
        let mut there = There::default();
        for pattern in &place.paths {
            let (start, rest) = pattern.split_once('/').unwrap_or((pattern, ""));
            for base in self.starts(start) {
                let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
                expand(base, &parts, &mut there);
            }
        }
        there.paths.sort();
        there.paths.dedup();
        // What lies in a directory that is read anyway.
        let mut kept: Vec<PathBuf> = Vec::new();
        for path in std::mem::take(&mut there.paths) {
            if !kept.last().is_some_and(|last| path.starts_with(last)) {
                kept.push(path);
            }
        }
        there.paths = kept;
        there
    }

    /// The directories that the first part of a pattern means.
    fn starts(&self, start: &str) -> Vec<PathBuf> {
        let Some(name) = start.strip_prefix('$') else {
            return vec![match start {
                "~" => self.home.clone(),
                "" => PathBuf::from("/"),
                drive => PathBuf::from(format!("{drive}/")),
            }];
        };
        let given = |name: &str| (self.variable)(name).filter(|value| !value.is_empty());
        // As the XDG Base Directory Specification has it: relative paths are to be ignored.
        let xdg = |name: &str, or: &str| {
            let value = given(name).map(PathBuf::from).filter(|p| p.is_absolute());
            vec![value.unwrap_or_else(|| self.home.join(or))]
        };
        let windows = |name: &str, or: &str| {
            let value = given(name).map(PathBuf::from);
            vec![value.unwrap_or_else(|| self.home.join(or))]
        };
        match (name, self.system) {
            ("CONFIG", _) | ("APPS", System::Linux) => xdg("XDG_CONFIG_HOME", ".config"),
            ("DATA", _) => xdg("XDG_DATA_HOME", ".local/share"),
            ("STATE", _) => xdg("XDG_STATE_HOME", ".local/state"),
            ("APPS", System::MacOs) => vec![self.home.join("Library/Application Support")],
            ("APPS" | "APPDATA", System::Windows) => windows("APPDATA", "AppData/Roaming"),
            ("LOCALAPPS" | "LOCALAPPDATA", System::Windows) => {
                windows("LOCALAPPDATA", "AppData/Local")
            }
            ("CACHE" | "LOCALAPPS", _) => xdg("XDG_CACHE_HOME", ".cache"),
            _ => given(name)
                .map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
                .unwrap_or_default()
                .into_iter()
                .filter(|path| path.is_absolute())
                .collect(),
        }
    }
}

fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '[', '{'])
}

/// How a pattern names things in one directory.
fn matcher(part: &str) -> Option<GlobMatcher> {
    let mut glob = GlobBuilder::new(part);
    let glob = glob
        .literal_separator(true)
        .case_insensitive(cfg!(windows))
        .build();
    glob.ok().map(|glob| glob.compile_matcher())
}

fn expand(base: PathBuf, parts: &[&str], there: &mut There) {
    // What has a plain name need not be searched for, and may be a link.
    let plain = parts.iter().take_while(|part| !is_pattern(part)).count();
    let path = parts[..plain]
        .iter()
        .fold(base, |path, part| path.join(part));
    let rest = &parts[plain..];
    let Some((pattern, below)) = rest.split_first() else {
        return match fs::metadata(&path) {
            Ok(_) => there.paths.push(path),
            Err(error) => fail(path, error, there),
        };
    };
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) => return fail(path, error, there),
    };
    let wanted = matcher(pattern);
    let hidden = pattern.starts_with(['.', '{']);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let fits = wanted
            .as_ref()
            .is_some_and(|w| w.is_match(Path::new(&name)))
            && (hidden || !name.as_encoded_bytes().starts_with(b"."));
        if !fits {
            continue;
        }
        // Links to directories may go round in circles; where they lead is looked at by its name.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match below.is_empty() {
            true => there.paths.push(entry.path()),
            false if is_directory => expand(entry.path(), below, there),
            false => {}
        }
    }
}

/// What isn't there is no failure.
fn fail(path: PathBuf, error: io::Error, there: &mut There) {
    let absent = matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
    );
    if !absent {
        there.failures.push((path, error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_list_compiles() {
        for system in [System::Linux, System::MacOs, System::Windows] {
            for place in Place::all(system) {
                let parts = place.paths.iter().flat_map(|path| path.split('/'));
                for part in parts.filter(|part| is_pattern(part)) {
                    assert!(matcher(part).is_some(), "{}: {part}", place.name);
                }
            }
        }
    }

    #[test]
    fn patterns_become_what_is_there() {
        let home = tempfile::tempdir().unwrap();
        let files = [
            ".env",
            ".bashrc",
            "work/.env.local",
            "work/app/.env",
            "work/app/prod.env",
            "work/.git/x.env",
            ".config/Code/User/History/1/a",
            ".config/Code - OSS/User/settings.json",
            "elsewhere/config",
            ".kube/config.old",
            "Desktop/key.txt",
        ];
        for file in files {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let kube = std::env::join_paths([
            home.path().join("elsewhere/config"),
            home.path().join("gone"),
        ]);
        let kube = kube.unwrap();
        let variable = |name: &str| (name == "KUBECONFIG").then(|| kube.clone());
        let bases = Bases {
            system: System::Linux,
            home: home.path().to_owned(),
            variable: &variable,
        };
        let find = |name: &str| {
            let place = Place::named(System::Linux, &[name.to_owned()]).unwrap();
            let there = bases.find(&place[0]);
            assert!(there.failures.is_empty());
            let names = there.paths.iter().filter_map(|path| {
                let path = path.strip_prefix(home.path()).ok()?;
                Some(path.to_str().unwrap().replace('\\', "/"))
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(
            find("env-files"),
            [
                ".env",
                "work/.env.local",
                "work/app/.env",
                "work/app/prod.env"
            ]
        );
        assert_eq!(
            find("vscode"),
            [
                ".config/Code/User/History",
                ".config/Code - OSS/User/settings.json"
            ]
        );
        assert_eq!(find("kubernetes"), [".kube/config.old", "elsewhere/config"]);
        assert_eq!(find("shell-profiles"), [".bashrc"]);
        assert_eq!(find("codex"), [""; 0]);
    }
}
