//! Objects by their id: from libgit2 where it reads the repository, else from `git cat-file`.
//! Nothing is converted on the way: no filter, no line ends, no text conversion.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::git::{Git, Output};
use super::{ObjectId, RepoError};

/// From this size on (16 MiB), an object is streamed and never held whole.
pub const STREAMED_FROM: u64 = 16 << 20;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A file's content, or a symbolic link's target.
    Blob,
    /// A directory.
    Tree,
    /// A commit.
    Commit,
    /// An annotated tag.
    Tag,
}

impl ObjectKind {
    /// git's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Commit => "commit",
            Self::Tag => "tag",
        }
    }

    /// From git's word for it.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"blob" => Some(Self::Blob),
            b"tree" => Some(Self::Tree),
            b"commit" => Some(Self::Commit),
            b"tag" => Some(Self::Tag),
            _ => None,
        }
    }

    fn from_git2(kind: git2::ObjectType) -> Option<Self> {
        match kind {
            git2::ObjectType::Blob => Some(Self::Blob),
            git2::ObjectType::Tree => Some(Self::Tree),
            git2::ObjectType::Commit => Some(Self::Commit),
            git2::ObjectType::Tag => Some(Self::Tag),
            git2::ObjectType::Any => None,
        }
    }
}

/// A reader of objects. Each thread has its own.
pub struct Objects {
    odb: Option<git2::Odb<'static>>,
    git: Git,
    /// Started when first needed.
    batch: Option<Batch>,
}

impl Objects {
    pub(super) fn new(odb: Option<git2::Odb<'static>>, git: Git) -> Self {
        Self {
            odb,
            git,
            batch: None,
        }
    }

    /// What the object is and how many bytes it has.
    ///
    /// # Errors
    /// [`RepoError::Missing`] if it isn't here.
    pub fn header(&mut self, id: ObjectId) -> Result<(ObjectKind, u64), RepoError> {
        if let Some(odb) = &self.odb
            && let Ok(oid) = git2::Oid::from_bytes(id.as_bytes())
            && let Ok((size, kind)) = odb.read_header(oid)
            && let Some(kind) = ObjectKind::from_git2(kind)
        {
            return Ok((kind, size as u64));
        }
        let batch = self.batch(id)?;
        let header = batch.ask("info", id)?;
        Ok(header)
    }

    /// The whole object. For those that the repository's own structure consists of (trees,
    /// commits), and for blobs known to be small: see [`Objects::open`].
    ///
    /// # Errors
    /// [`RepoError::Missing`] if it isn't here.
    pub fn read(&mut self, id: ObjectId) -> Result<(ObjectKind, Vec<u8>), RepoError> {
        if let Some(odb) = &self.odb
            && let Ok(oid) = git2::Oid::from_bytes(id.as_bytes())
            && let Ok(object) = odb.read(oid)
            && let Some(kind) = ObjectKind::from_git2(object.kind())
        {
            return Ok((kind, object.data().to_vec()));
        }
        // Not there, or not for libgit2: git has the last word.
        let batch = self.batch(id)?;
        let (kind, size) = batch.ask("contents", id)?;
        let data = batch.body(size).map_err(|source| RepoError::Object {
            id,
            reason: source.to_string(),
        })?;
        Ok((kind, data))
    }

    /// The object as a stream: small ones from memory, those of [`STREAMED_FROM`] bytes and more
    /// from a `git cat-file` that must end with success.
    ///
    /// # Errors
    /// [`RepoError::Missing`] if it isn't here. The stream ends with an error, never early.
    pub fn open(&mut self, id: ObjectId) -> Result<ObjectReader, RepoError> {
        let (kind, size) = self.header(id)?;
        let source = if size < STREAMED_FROM {
            Source::Memory(Cursor::new(self.read(id)?.1))
        } else {
            let name = match kind {
                ObjectKind::Blob => "blob",
                ObjectKind::Tree => "tree",
                ObjectKind::Commit => "commit",
                ObjectKind::Tag => "tag",
            };
            let args = ["cat-file", name, &id.to_string()];
            Source::Child(Output::new(self.git.spawn(&args, Stdio::null())?, size))
        };
        Ok(ObjectReader { kind, size, source })
    }

    fn batch(&mut self, id: ObjectId) -> Result<&mut Batch, RepoError> {
        if self.batch.is_none() {
            let started = Batch::start(&self.git);
            match started {
                Ok(batch) => self.batch = Some(batch),
                // libgit2 looked and found nothing; only a machine without git ends up here.
                Err(RepoError::NoGit(_)) if self.odb.is_some() => {
                    return Err(RepoError::Missing { id });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.batch.as_mut().expect("started above"))
    }
}

/// An object's bytes, see [`Objects::open`].
#[derive(Debug)]
pub struct ObjectReader {
    kind: ObjectKind,
    size: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory(Cursor<Vec<u8>>),
    Child(Output),
}

impl ObjectReader {
    /// What it is.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All of it, if it is in memory anyway (below [`STREAMED_FROM`]) and nothing of it was read.
    ///
    /// # Errors
    /// Gives the reader back if it is a stream.
    pub fn into_memory(self) -> Result<Vec<u8>, Self> {
        match self.source {
            Source::Memory(cursor) if cursor.position() == 0 => Ok(cursor.into_inner()),
            _ => Err(self),
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Memory(cursor) => cursor.read(buf),
            Source::Child(output) => output.read(buf),
        }
    }
}

/// A running `git cat-file --batch-command`, asked one object at a time.
struct Batch {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Batch {
    fn start(git: &Git) -> Result<Self, RepoError> {
        let mut child = git.spawn(&["cat-file", "--batch-command"], Stdio::piped())?;
        let stdin = child.stdin.take().expect("spawned with a pipe");
        let stdout = child.stdout.take().expect("spawned with a pipe");
        Ok(Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    fn ask(&mut self, what: &str, id: ObjectId) -> Result<(ObjectKind, u64), RepoError> {
        let mut line = Vec::new();
        let answered = writeln!(self.stdin, "{what} {id}")
            .and_then(|()| self.stdin.flush())
            .and_then(|()| self.stdout.read_until(b'\n', &mut line));
        let words: Vec<&[u8]> = line.trim_ascii_end().split(|b| *b == b' ').collect();
        match (answered, words.as_slice()) {
            (Ok(_), [_, b"missing"]) => Err(RepoError::Missing { id }),
            (Ok(_), [_, kind, size]) => ObjectKind::from_name(kind)
                .zip(std::str::from_utf8(size).ok().and_then(|s| s.parse().ok()))
                .ok_or_else(|| Self::odd(id, &line)),
            (Ok(_), _) => Err(Self::odd(id, &line)),
            (Err(error), _) => Err(RepoError::Object {
                id,
                reason: format!("git cat-file: {error}"),
            }),
        }
    }

    fn odd(id: ObjectId, line: &[u8]) -> RepoError {
        let reason = if line.is_empty() {
            "git cat-file gave up on it: damaged, or not in this repository".to_owned()
        } else {
            let said = String::from_utf8_lossy(line);
            format!("git cat-file answered `{}`", said.trim_end())
        };
        RepoError::Object { id, reason }
    }

    fn body(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        (&mut self.stdout).take(size).read_to_end(&mut data)?;
        let mut end = [0];
        self.stdout.read_exact(&mut end)?;
        if data.len() as u64 != size || end != *b"\n" {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(data)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The object database at these directories, for libgit2; `None` if it can't have them all.
pub(super) fn odb(directories: &[PathBuf]) -> Option<git2::Odb<'static>> {
    let odb = git2::Odb::new().ok()?;
    for directory in directories {
        // It takes the alternates that each of them names along.
        odb.add_disk_alternate(directory.to_str()?).ok()?;
    }
    Some(odb)
}

/// Splits GIT_ALTERNATE_OBJECT_DIRECTORIES; `None` for the quoted form, which only git reads.
pub(super) fn split_alternates(list: &OsStr, base: &Path) -> Option<Vec<PathBuf>> {
    if list.as_encoded_bytes().contains(&b'"') {
        return None;
    }
    let named = |path: &PathBuf| !path.as_os_str().is_empty();
    let all = std::env::split_paths(list).filter(named);
    Some(all.map(|path| base.join(path)).collect())
}
