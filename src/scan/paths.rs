//! Files and directories.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use super::{NoSuchPath, Scan, lock};
use crate::coverage::Excluded;
use crate::examine;
use crate::finding::Place;
use crate::source::tree::{self, Repository, Visitor};

impl Scan<'_> {
    /// Searches a file, whatever its name or size, or a directory and all below it.
    ///
    /// # Errors
    /// The path does not exist or can't be looked at: nothing was scanned then.
    pub fn path(&self, path: &Path) -> Result<(), NoSuchPath> {
        let wrong = |error| NoSuchPath {
            path: path.to_owned(),
            error,
        };
        let about = std::fs::metadata(path).map_err(wrong)?;
        // The user's globs count for names that are handed over, too: hooks hand over every file.
        if self.settings.exclude.matches(path) {
            self.excluded(Excluded::Glob, 1);
            return Ok(());
        }
        if about.is_dir() {
            tree::walk(path, self.settings.no_ignore, self);
        } else {
            let file = tree::open_named(path).map_err(wrong)?;
            self.names(
                path.parent().unwrap_or(path),
                &[path.file_name().unwrap_or_default().to_owned()],
            );
            self.file(path, file);
        }
        Ok(())
    }
}

impl Visitor for Scan<'_> {
    fn file(&self, path: &Path, file: File) {
        self.read(&|| Place::File(self.shown(path)), |buffers, found| {
            examine::file(self.matcher, &file, buffers, &|| self.go_on(), found)
        });
    }

    fn names(&self, directory: &Path, names: &[OsString]) {
        let mut all = Vec::with_capacity(names.iter().map(|n| n.len() + 1).sum());
        for name in names {
            all.extend_from_slice(name.as_encoded_bytes());
            all.push(b'\n');
        }
        examine::bytes(self.matcher, &all, &mut |mut found| {
            let Some(name) = usize::try_from(found.line - 1)
                .ok()
                .and_then(|n| names.get(n))
            else {
                return;
            };
            found.offset = found.column - 1;
            found.line = 1;
            self.found(found, &Place::FileName(self.shown(&directory.join(name))));
        });
    }

    fn excluded(&self, why: Excluded, items: u64) {
        if items > 0 {
            lock(&self.coverage).excluded.entry(why).or_default().items += items;
        }
    }

    fn failed(&self, path: &Path, error: &io::Error) {
        self.fail(Some(path), self.masked(path), error.to_string());
    }

    fn excludes(&self, path: &Path, _is_directory: bool) -> bool {
        self.settings.exclude.matches(path)
    }

    fn repository(&self, top: &Path) -> Option<Repository> {
        let _ = top;
        None
    }

    fn go_on(&self) -> bool {
        Scan::go_on(self)
    }
}
