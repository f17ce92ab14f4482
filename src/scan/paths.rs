//! Files and directories.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rayon::prelude::*;

use super::{Scan, lock};
use crate::coverage::Excluded;
use crate::examine;
use crate::finding::Place;
use crate::repo::{self, GitEnvironment};
use crate::source::tree::{self, Repository, Visitor};

/// A few files that have fewer bytes are read before threads have been started.
const WORTH_THREADS: u64 = 1 << 20;

impl Scan<'_> {
    /// Searches files, whatever their names or sizes, and directories with all below them, on all
    /// cores. A path that can't be read is a failure of the run.
    pub fn paths<'p>(&self, paths: impl Iterator<Item = &'p PathBuf>) {
        let mut paths: Vec<&PathBuf> = paths.collect();
        paths.dedup();
        // Hooks ask for a file or two: no threads are started for them.
        let is_little = paths.len() < 8 && {
            let size = |path: &&PathBuf| std::fs::metadata(path).map_or(0, |about| about.len());
            paths.len() < 2 || paths.iter().map(size).sum::<u64>() < WORTH_THREADS
        };
        match is_little {
            true => paths.iter().for_each(|path| self.path(path)),
            false => {
                let each = paths.par_iter().with_max_len(1);
                each.for_each(|path| self.path(path));
            }
        }
    }

    fn path(&self, path: &Path) {
        if !self.go_on() {
            return;
        }
        let about = match std::fs::metadata(path) {
            Ok(about) => about,
            Err(error) => return self.failed(path, &error),
        };
        // The user's globs count for names that are handed over, too: hooks hand over every file.
        if self.settings.exclude.matches(path) {
            return self.excluded(Excluded::Glob, 1);
        }
        if about.is_dir() {
            if self.is_elsewhere(path) {
                return;
            }
            return tree::walk(path, self.settings.no_ignore, self);
        }
        match tree::open_named(path) {
            Ok(file) => {
                let name = path.file_name().unwrap_or_default().to_owned();
                self.names(path.parent().unwrap_or(path), &[name]);
                self.file(path, file);
            }
            Err(error) => self.failed(path, &error),
        }
    }
}

impl Visitor for Scan<'_> {
    fn file(&self, path: &Path, file: File) {
        let place = || Place::File(self.shown(path));
        let again = || {
            let opened = tree::open_named(path).ok()?;
            Some(Box::new(opened) as Box<dyn Read>)
        };
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let blob = self.layouts.blob(path);
        self.read(&place, &again, |examiner, buffers, found| match &blob {
            Some(blob) => examiner.file_as(blob, &file, found),
            None => examiner.file(name, &file, buffers, found),
        });
    }

    fn names(&self, directory: &Path, names: &[OsString]) {
        // Searched together, since a search of a few bytes costs as much as one of a few hundred;
        // no key goes on over a NUL, and no name holds one.
        let mut all = Vec::with_capacity(names.iter().map(|n| n.len() + 1).sum());
        for name in names {
            all.extend_from_slice(name.as_encoded_bytes());
            all.push(0);
        }
        if self.matcher.search_all(&all).is_empty() {
            return;
        }
        for name in names {
            let place = || Place::FileName(self.shown(&directory.join(name)));
            examine::bytes(self.matcher, name.as_encoded_bytes(), &mut |found| {
                self.found(found, &place());
            });
        }
    }

    fn excluded(&self, why: Excluded, items: u64) {
        lock(&self.coverage).leave(why, items);
    }

    fn failed(&self, path: &Path, error: &io::Error) {
        self.fail(Some(path), self.masked(path), error.to_string());
    }

    fn excludes(&self, path: &Path, _is_directory: bool) -> bool {
        self.settings.exclude.matches(path)
    }

    fn is_elsewhere(&self, directory: &Path) -> bool {
        !self.elsewhere.is_empty()
            && directory
                .canonicalize()
                .is_ok_and(|full| self.elsewhere.contains(&full))
    }

    fn repository(&self, top: &Path) -> Option<Repository> {
        // Where git can't say what it ignores, everything is read.
        let opened = repo::Repository::discover(top, &GitEnvironment::default()).ok()?;
        let named = opened.excludes_file().ok().flatten();
        let excludes = named.or_else(|| self.settings.global_excludes.clone());
        Some(Repository {
            top: top.to_owned(),
            excludes: [Some(opened.info_exclude()), excludes]
                .into_iter()
                .flatten()
                .collect(),
            tracked: Box::new(Tracked {
                repository: opened,
                paths: OnceLock::new(),
            }),
        })
    }

    fn go_on(&self) -> bool {
        Scan::go_on(self)
    }
}

/// The tracked paths, read when the first ignored one is met.
struct Tracked {
    repository: repo::Repository,
    /// `None` if the index can't be read: then everything counts as tracked, and is read.
    paths: OnceLock<Option<repo::Tracked>>,
}

impl Tracked {
    fn ask(&self, path: &Path, question: impl Fn(&repo::Tracked, &[u8]) -> bool) -> bool {
        let paths = self.paths.get_or_init(|| self.repository.tracked().ok());
        let slashed = path.as_os_str().as_encoded_bytes();
        paths
            .as_ref()
            .is_none_or(|paths| match std::path::MAIN_SEPARATOR {
                '/' => question(paths, slashed),
                other => {
                    let slash = |b: &u8| if *b == other as u8 { b'/' } else { *b };
                    question(paths, &slashed.iter().map(slash).collect::<Vec<_>>())
                }
            })
    }
}

impl tree::Tracked for Tracked {
    fn file(&self, path: &Path) -> bool {
        self.ask(path, repo::Tracked::contains)
    }

    fn below(&self, directory: &Path) -> bool {
        self.ask(directory, repo::Tracked::any_below)
    }
}
