//! Names for commits: refs, HEAD and reflogs. What git stores in files is read here; for other
//! stores (reftable) git is asked, and if it can't say that is a failure, never "no refs".

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::repo::ObjectId;

/// Symbolic refs that name each other are followed this far, as git does.
const DEEPEST: usize = 5;

/// All names of a repository.
#[derive(Debug, Default)]
pub(super) struct Refs {
    /// Full names, such as `refs/heads/main`, and what they stand for.
    pub(super) named: Vec<(Vec<u8>, ObjectId)>,
    /// What is checked out.
    pub(super) head: Option<ObjectId>,
    /// What refs stood for earlier.
    pub(super) logged: Vec<ObjectId>,
    /// Private directories of linked worktrees.
    pub(super) worktrees: Vec<PathBuf>,
    /// What could not be read.
    pub(super) failed: Vec<(PathBuf, String)>,
    /// What git said of a store that only git can read: names and messages, to be searched.
    pub(super) told: Vec<u8>,
}

enum Target {
    Object(ObjectId),
    Name(Vec<u8>),
}

/// Reads all names below `common`, and what belongs to the worktree of `git_dir` alone.
pub(super) fn read(git_dir: &Path, common: &Path) -> Refs {
    let mut refs = Refs::default();
    refs.list_worktrees(&common.join("worktrees"));
    if common.join("reftable").is_dir() {
        refs.ask_git(git_dir);
        return refs;
    }
    let mut targets = BTreeMap::new();
    refs.packed(&common.join("packed-refs"), &mut targets);
    for root in [common, git_dir] {
        refs.loose(root, &root.join("refs"), &mut targets);
        refs.logs(&root.join("logs"));
    }
    let heads = [(git_dir.join("HEAD"), &b"HEAD"[..])];
    for (path, name) in heads {
        if let Some(target) = refs.target(&path) {
            targets.insert(name.to_vec(), target);
        }
    }
    for name in targets.keys() {
        match resolve(&targets, name) {
            Some(id) if name == b"HEAD" => refs.head = Some(id),
            Some(id) => refs.named.push((name.clone(), id)),
            None => {}
        }
    }
    for worktree in refs.worktrees.clone() {
        if let Some(Target::Object(id)) = refs.target(&worktree.join("HEAD")) {
            refs.logged.push(id);
        }
        refs.logs(&worktree.join("logs"));
    }
    refs
}

fn resolve(targets: &BTreeMap<Vec<u8>, Target>, name: &[u8]) -> Option<ObjectId> {
    let mut name = name;
    for _ in 0..=DEEPEST {
        match targets.get(name)? {
            Target::Object(id) => return Some(*id),
            Target::Name(other) => name = other,
        }
    }
    None
}

impl Refs {
    fn fail(&mut self, path: &Path, error: &io::Error) {
        // Files come and go while git works; most are optional.
        if error.kind() != io::ErrorKind::NotFound {
            self.failed.push((path.to_owned(), error.to_string()));
        }
    }

    fn list_worktrees(&mut self, directory: &Path) {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return self.fail(directory, &error),
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.worktrees.push(entry.path()),
                Err(error) => self.fail(directory, &error),
            }
        }
        self.worktrees.sort();
    }

    fn packed(&mut self, path: &Path, targets: &mut BTreeMap<Vec<u8>, Target>) {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => return self.fail(path, &error),
        };
        for line in text.split(|b| *b == b'\n') {
            if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"^") {
                continue;
            }
            let space = line.iter().position(|b| *b == b' ');
            let read =
                space.and_then(|at| Some((ObjectId::from_hex(&line[..at])?, &line[at + 1..])));
            match read {
                Some((id, name)) => {
                    targets.insert(name.to_vec(), Target::Object(id));
                }
                None => self
                    .failed
                    .push((path.to_owned(), "a line in it names no object".to_owned())),
            }
        }
    }

    fn loose(&mut self, root: &Path, directory: &Path, targets: &mut BTreeMap<Vec<u8>, Target>) {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return self.fail(directory, &error),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.fail(directory, &error);
                    continue;
                }
            };
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.loose(root, &path, targets),
                Ok(_) if path.extension().is_some_and(|e| e == "lock") => {}
                _ => {
                    let Some(target) = self.target(&path) else {
                        continue;
                    };
                    let name = path.strip_prefix(root).unwrap_or(&path);
                    let name = name.as_os_str().as_encoded_bytes().to_vec();
                    #[cfg(windows)]
                    let name = name
                        .iter()
                        .map(|b| if *b == b'\\' { b'/' } else { *b })
                        .collect();
                    targets.insert(name, target);
                }
            }
        }
    }

    fn target(&mut self, path: &Path) -> Option<Target> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => {
                self.fail(path, &error);
                return None;
            }
        };
        let text = text.trim_ascii_end();
        let target = match text.strip_prefix(b"ref:") {
            Some(name) => Some(Target::Name(name.trim_ascii().to_vec())),
            None => ObjectId::from_hex(text).map(Target::Object),
        };
        if target.is_none() {
            self.failed.push((
                path.to_owned(),
                "it names no object and no other ref".to_owned(),
            ));
        }
        target
    }

    fn logs(&mut self, path: &Path) {
        if path.is_dir() {
            match std::fs::read_dir(path) {
                Ok(entries) => entries.for_each(|entry| match entry {
                    Ok(entry) => self.logs(&entry.path()),
                    Err(error) => self.fail(path, &error),
                }),
                Err(error) => self.fail(path, &error),
            }
            return;
        }
        match std::fs::read(path) {
            Ok(text) => {
                let fields = text
                    .split(|b| *b == b'\n')
                    .flat_map(|line| line.splitn(3, |b| *b == b' ').take(2));
                let ids = fields
                    .filter_map(ObjectId::from_hex)
                    .filter(|id| !id.is_zero());
                self.logged.extend(ids);
                self.logged.sort_unstable();
                self.logged.dedup();
            }
            Err(error) => self.fail(path, &error),
        }
    }

    fn ask_git(&mut self, git_dir: &Path) {
        let mut ask = |args: &[&str]| {
            let mut command = Command::new("git");
            // Nothing that the repository's configuration names may be run, and nothing fetched.
            command.args([
                "--no-pager",
                "-c",
                "core.fsmonitor=false",
                "-c",
                "core.hooksPath=/dev/null",
            ]);
            command.args([
                "-c",
                "protocol.allow=never",
                "-c",
                "log.showSignature=false",
            ]);
            command
                .env("GIT_NO_LAZY_FETCH", "1")
                .stdin(std::process::Stdio::null());
            command.arg("--git-dir").arg(git_dir).args(args);
            match command.output() {
                Ok(said) if said.status.success() => Some(said.stdout),
                Ok(said) => {
                    let why = format!(
                        "git {} failed: {}",
                        args[0],
                        String::from_utf8_lossy(&said.stderr).trim()
                    );
                    self.failed.push((git_dir.join("reftable"), why));
                    None
                }
                Err(error) => {
                    let why =
                        format!("only git reads this store of refs, and it did not start: {error}");
                    self.failed.push((git_dir.join("reftable"), why));
                    None
                }
            }
        };
        let named = ask(&["for-each-ref", "--format=%(objectname) %(refname)"]);
        let logged = ask(&[
            "log",
            "--no-show-signature",
            "--walk-reflogs",
            "--all",
            "--format=%H %gD %gn <%ge> %gs",
        ]);
        let head = ask(&[
            "for-each-ref",
            "--include-root-refs",
            "--format=%(objectname)",
            "HEAD",
        ]);
        for line in named.iter().flat_map(|text| text.split(|b| *b == b'\n')) {
            let mut fields = line.splitn(2, |b| *b == b' ');
            if let (Some(Some(id)), Some(name)) =
                (fields.next().map(ObjectId::from_hex), fields.next())
            {
                self.named.push((name.to_vec(), id));
            }
        }
        for line in logged.iter().flat_map(|text| text.split(|b| *b == b'\n')) {
            self.logged.extend(
                line.split(|b| *b == b' ')
                    .next()
                    .and_then(ObjectId::from_hex),
            );
        }
        self.head = head.and_then(|text| ObjectId::from_hex(text.trim_ascii()));
        self.told = [named, logged].into_iter().flatten().flatten().collect();
    }
}
