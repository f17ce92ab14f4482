//! A directory tree, walked in parallel: every entry is either handed to the visitor or accounted
//! for.
//!
//! Symbolic links are not followed (their target's name is searched, and what it points at is read
//! where it lies); devices, sockets and pipes are not opened; git's object database is left to the
//! history room, the rest of a `.git` directory is read like any other; what git ignores is left
//! out unless git tracks it all the same.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::Scope;
use rayon::prelude::*;

use super::ignores::Ignores;
pub use super::ignores::{Repository, Tracked};
use crate::coverage::Excluded;

/// Who is told what the walk meets. Called from many threads.
pub trait Visitor: Sync {
    /// A regular file, open for reading.
    fn file(&self, path: &Path, file: File);
    /// The names in a directory, and the targets of links there, to be searched as well.
    fn names(&self, directory: &Path, names: &[OsString]);
    /// Something that policy leaves out, `items` times.
    fn excluded(&self, why: Excluded, items: u64);
    /// Something that could not be read.
    fn failed(&self, path: &Path, error: &io::Error);
    /// Whether the user's globs exclude this path.
    fn excludes(&self, path: &Path, is_directory: bool) -> bool;
    /// Whether this git directory is searched by other means.
    fn is_elsewhere(&self, directory: &Path) -> bool;
    /// What the repository whose top this is says of its tree; none if it can't be opened (which
    /// the visitor has then accounted for), and then nothing is ignored.
    fn repository(&self, top: &Path) -> Option<Repository>;
    /// Whether to go on.
    fn go_on(&self) -> bool;
}

/// How many files one task takes, so that a directory of 100,000 files keeps all cores busy.
const BATCH: usize = 32;

/// Walks `root`, a directory. `ignored` says to read what git ignores, too.
pub fn walk(root: &Path, ignored: bool, visitor: &dyn Visitor) {
    let ignores = if ignored { None } else { above(root, visitor) };
    let walk = Walk { visitor, ignored };
    rayon::scope(|scope| walk.directory(scope, root.to_owned(), ignores, Mode::Read));
}

/// Opens one file that the user named: links are followed, and any kind of file that can be read
/// as a stream will do.
///
/// # Errors
/// What the system said.
pub fn open_named(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// The rules that hold in `root` because of the repository it lies in.
fn above(root: &Path, visitor: &dyn Visitor) -> Option<Arc<Ignores>> {
    let full = std::path::absolute(root).ok()?;
    // The root itself is looked at by the walk.
    let top = full
        .ancestors()
        .skip(1)
        .find(|dir| dir.join(".git").exists())?;
    if full.join(".git").exists() {
        return None;
    }
    let mut ignores = Ignores::at_top(visitor.repository(top)?);
    let mut between: Vec<&Path> = full
        .ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(top))
        .collect();
    between.reverse();
    for directory in between {
        if directory.join(".gitignore").exists() {
            ignores = ignores.with_file_in(directory);
        }
    }
    Some(ignores)
}

/// What is done with the files of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They are read, unless ignored.
    Read,
    /// They are ignored, unless git tracks them.
    Ignored,
}

#[derive(Clone, Copy)]
struct Walk<'v> {
    visitor: &'v dyn Visitor,
    ignored: bool,
}

impl<'v> Walk<'v> {
    fn directory<'s>(
        self,
        scope: &Scope<'s>,
        path: PathBuf,
        ignores: Option<Arc<Ignores>>,
        mode: Mode,
    ) where
        'v: 's,
    {
        if !self.visitor.go_on() {
            return;
        }
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) => return self.visitor.failed(&path, &error),
        };
        let mut listing = Listing::default();
        for entry in entries {
            let kind = entry.and_then(|entry| Ok((entry.file_type()?, entry)));
            match kind {
                Ok((kind, entry)) => listing.add(entry.file_name(), kind),
                Err(error) => self.visitor.failed(&path, &error),
            }
        }
        let ignores = self.ignores_in(&path, &listing, ignores);
        if mode == Mode::Read {
            let mut names = listing.names();
            names.extend(listing.links.iter().filter_map(|name| {
                fs::read_link(path.join(name))
                    .ok()
                    .map(PathBuf::into_os_string)
            }));
            self.visitor.names(&path, &names);
            self.visitor
                .excluded(Excluded::SymbolicLink, listing.links.len() as u64);
            self.visitor
                .excluded(Excluded::SpecialFile, listing.special);
        }
        let is_git = listing.is_git_directory();
        for name in listing.directories {
            let child = path.join(&name);
            if is_git && name == "objects" {
                self.visitor.excluded(Excluded::GitObjects, 1);
                continue;
            }
            if name == ".git" && self.visitor.is_elsewhere(&child) {
                continue;
            }
            let Some(mode) = self.mode_of(&child, true, ignores.as_deref(), mode) else {
                continue;
            };
            let ignores = if name == ".git" {
                None
            } else {
                ignores.clone()
            };
            scope.spawn(move |scope| self.directory(scope, child, ignores, mode));
        }
        let mut batch = Vec::with_capacity(BATCH.min(listing.files.len()));
        for name in listing.files {
            let child = path.join(name);
            if self.mode_of(&child, false, ignores.as_deref(), mode) != Some(Mode::Read) {
                continue;
            }
            batch.push(child);
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                scope.spawn(move |_| self.files(&full));
            }
        }
        self.files(&batch);
    }

    /// Each file can be taken by another thread: one may be an archive that takes long.
    fn files(&self, batch: &[PathBuf]) {
        let each = batch.par_iter().with_max_len(1);
        each.for_each(|path| self.file(path));
    }

    /// The rules for what is in this directory.
    fn ignores_in(
        &self,
        path: &Path,
        listing: &Listing,
        above: Option<Arc<Ignores>>,
    ) -> Option<Arc<Ignores>> {
        if self.ignored {
            return None;
        }
        let ignores = match listing.has_git {
            true => std::path::absolute(path)
                .ok()
                .and_then(|top| self.visitor.repository(&top))
                .map(Ignores::at_top),
            false => above,
        }?;
        Some(match listing.has_gitignore {
            true => std::path::absolute(path)
                .map_or_else(|_| Arc::clone(&ignores), |dir| ignores.with_file_in(&dir)),
            false => ignores,
        })
    }

    /// How to treat an entry; none if it is left out and accounted for.
    fn mode_of(
        &self,
        path: &Path,
        is_directory: bool,
        ignores: Option<&Ignores>,
        mode: Mode,
    ) -> Option<Mode> {
        if self.visitor.excludes(path, is_directory) {
            self.visitor.excluded(Excluded::Glob, 1);
            return None;
        }
        let Some(ignores) = ignores else {
            return Some(mode);
        };
        let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if mode == Mode::Read && !ignores.ignores(&full, is_directory) {
            return Some(Mode::Read);
        }
        match (is_directory, ignores.tracks(&full, is_directory)) {
            (false, true) => Some(Mode::Read),
            (true, true) => Some(Mode::Ignored),
            (false, false) => {
                self.visitor.excluded(Excluded::Ignored, 1);
                None
            }
            (true, false) => {
                self.visitor.excluded(Excluded::Ignored, self.count(path));
                None
            }
        }
    }

    /// How many files lie below an ignored directory.
    fn count(&self, path: &Path) -> u64 {
        let mut files = 0;
        let mut waiting = vec![path.to_owned()];
        while let Some(directory) = waiting.pop() {
            // What can't be listed would not have been read anyway.
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && self.visitor.go_on() => waiting.push(entry.path()),
                    _ => files += 1,
                }
            }
        }
        files
    }

    fn file(&self, path: &Path) {
        if !self.visitor.go_on() {
            return;
        }
        match open_regular(path) {
            Ok(file) => self.visitor.file(path, file),
            Err(error) => self.visitor.failed(path, &error),
        }
    }
}

/// Opens what the listing called a regular file. Should it have become a link or a pipe since, it
/// is neither followed nor waited for.
fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits() as i32);
    }
    options.open(path)
}

/// A directory's entries, by kind.
#[derive(Default)]
struct Listing {
    directories: Vec<OsString>,
    files: Vec<OsString>,
    links: Vec<OsString>,
    special: u64,
    has_git: bool,
    has_gitignore: bool,
    has_head: bool,
}

impl Listing {
    fn add(&mut self, name: OsString, kind: fs::FileType) {
        self.has_git |= name == ".git";
        if kind.is_dir() {
            self.directories.push(name);
        } else if kind.is_file() {
            self.has_gitignore |= name == ".gitignore";
            self.has_head |= name == "HEAD";
            self.files.push(name);
        } else if kind.is_symlink() {
            self.links.push(name);
        } else {
            self.special += 1;
        }
    }

    fn names(&self) -> Vec<OsString> {
        [&self.directories, &self.files, &self.links]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Whether this is a repository's own directory: `.git`, a bare one, a submodule's.
    fn is_git_directory(&self) -> bool {
        self.has_head
            && ["objects", "refs"]
                .iter()
                .all(|name| self.directories.iter().any(|d| d == name))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Seen {
        files: Mutex<Vec<String>>,
        excluded: Mutex<std::collections::BTreeMap<Excluded, u64>>,
        tracked: Vec<&'static str>,
    }

    struct Listed(Vec<&'static str>);

    impl Tracked for Listed {
        fn file(&self, path: &Path) -> bool {
            self.0.iter().any(|p| Path::new(p) == path)
        }
        fn below(&self, directory: &Path) -> bool {
            self.0.iter().any(|p| Path::new(p).starts_with(directory))
        }
    }

    impl Visitor for Seen {
        fn file(&self, path: &Path, _: File) {
            self.files
                .lock()
                .unwrap()
                .push(path.to_string_lossy().into_owned());
        }
        fn names(&self, _: &Path, _: &[OsString]) {}
        fn excluded(&self, why: Excluded, items: u64) {
            *self.excluded.lock().unwrap().entry(why).or_default() += items;
        }
        fn failed(&self, path: &Path, error: &io::Error) {
            panic!("{}: {error}", path.display());
        }
        fn excludes(&self, path: &Path, _: bool) -> bool {
            path.ends_with("globbed")
        }
        fn is_elsewhere(&self, _: &Path) -> bool {
            false
        }
        fn repository(&self, top: &Path) -> Option<Repository> {
            Some(Repository {
                top: top.to_owned(),
                excludes: vec![top.join(".git/info/exclude")],
                tracked: Box::new(Listed(self.tracked.clone())),
            })
        }
        fn go_on(&self) -> bool {
            true
        }
    }

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn run(root: &Path, ignored: bool, tracked: &[&'static str]) -> (Vec<String>, u64) {
        let seen = Seen {
            tracked: tracked.to_vec(),
            ..Seen::default()
        };
        walk(root, ignored, &seen);
        let mut files: Vec<String> = seen
            .files
            .into_inner()
            .unwrap()
            .iter()
            .map(|f| {
                f.strip_prefix(&format!("{}/", root.display()))
                    .unwrap()
                    .to_owned()
            })
            .collect();
        files.sort();
        let excluded = seen.excluded.into_inner().unwrap();
        (
            files,
            excluded.get(&Excluded::Ignored).copied().unwrap_or(0),
        )
    }

    const FILES: &[(&str, &str)] = &[
        (".git/HEAD", "ref: refs/heads/main"),
        (".git/objects/pack/x.pack", ""),
        (".git/refs/heads/main", ""),
        (".git/info/exclude", "*.tmp\n"),
        (".gitignore", "/out\n*.log\n!keep.log\n"),
        ("out/a", ""),
        ("out/deep/b", ""),
        ("x.log", ""),
        ("keep.log", ""),
        ("y.tmp", ""),
        ("sub/.gitignore", "*.txt\n!*.log\n"),
        ("sub/z.log", ""),
        ("sub/w.txt", ""),
        (".hidden/globbed", ""),
        (".hidden/seen", ""),
    ];

    #[test]
    fn git_decides_what_is_ignored_and_everything_is_accounted_for() {
        let dir = tree(FILES);
        let (files, ignored) = run(dir.path(), false, &[]);
        let git = [".git/HEAD", ".git/info/exclude", ".git/refs/heads/main"];
        let mut expected: Vec<_> = git
            .into_iter()
            .chain([
                ".gitignore",
                ".hidden/seen",
                "keep.log",
                "sub/.gitignore",
                "sub/z.log",
            ])
            .collect();
        expected.sort_unstable();
        assert_eq!(files, expected);
        assert_eq!(ignored, 5);
    }

    #[test]
    fn tracked_files_are_read_although_a_rule_ignores_them() {
        let dir = tree(FILES);
        let (files, ignored) = run(dir.path(), false, &["out/deep/b", "x.log"]);
        assert!(
            files.contains(&"out/deep/b".to_owned()) && files.contains(&"x.log".to_owned()),
            "{files:?}"
        );
        assert_eq!(ignored, 3);
    }

    #[test]
    fn everything_is_read_on_request_and_below_a_path_given_by_name() {
        let dir = tree(FILES);
        assert_eq!(run(dir.path(), true, &[]).0.len(), FILES.len() - 2);
        assert_eq!(run(&dir.path().join("out"), false, &[]).0, ["a", "deep/b"]);
        assert_eq!(
            run(&dir.path().join("sub"), false, &[]).0,
            [".gitignore", "z.log"]
        );
    }

    /// Waits in a file until another is being read, too.
    struct Together(std::sync::atomic::AtomicUsize);

    impl Visitor for Together {
        fn file(&self, _: &Path, _: File) {
            use std::sync::atomic::Ordering::SeqCst;
            self.0.fetch_add(1, SeqCst);
            let start = std::time::Instant::now();
            while self.0.load(SeqCst) < 2 {
                assert!(start.elapsed().as_secs() < 60, "the other one waits");
                std::thread::yield_now();
            }
        }
        fn names(&self, _: &Path, _: &[OsString]) {}
        fn excluded(&self, _: Excluded, _: u64) {}
        fn failed(&self, _: &Path, _: &io::Error) {}
        fn excludes(&self, _: &Path, _: bool) -> bool {
            false
        }
        fn is_elsewhere(&self, _: &Path) -> bool {
            false
        }
        fn repository(&self, _: &Path) -> Option<Repository> {
            None
        }
        fn go_on(&self) -> bool {
            true
        }
    }

    #[test]
    fn two_files_of_a_directory_are_read_side_by_side() {
        let dir = tree(&[("a", ""), ("b", "")]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        let visitor = Together(0.into());
        pool.unwrap().install(|| walk(dir.path(), true, &visitor));
        assert_eq!(visitor.0.into_inner(), 2);
    }
}
