//! What earlier runs know, in a directory that anybody may delete at any time. An entry is a file:
//! named after what it is about, written whole or not at all, its owner's alone, and checked when
//! it is read. What is damaged counts as not there. Whoever writes entries sees to it that they
//! hold no key.

mod codec;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

pub use self::codec::{Decoder, Encoder};

/// Begins every entry; another form of entries gets another number.
const MAGIC: &[u8] = b"skewer cache 1\n";

/// Bytes in the name of an entry and in its checksum.
const HASH: usize = 32;

/// All entries end with this, so that nothing else is ever removed.
const EXTENSION: &str = "skewer";

/// An entry's time says when it was last used, give or take this.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// Names an entry: a hash of all that it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name([u8; HASH]);

impl Name {
    /// The name for these parts. Where one ends and the next begins has a say.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The hash, to be a part of another name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A directory of entries.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    limit: u64,
    now: SystemTime,
}

/// Why a directory can't serve.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It can't be made or written to.
    #[error("can't keep anything in {path}: {error}; name another directory, or use --no-cache")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others may write to it: what they write would be believed.
    #[error(
        "{0} is open to others, and what they write there would be believed; make it yours alone (chmod 700), or use --no-cache"
    )]
    Open(PathBuf),
}

impl Cache {
    /// Opens a directory, or makes it. Its entries have at most `limit` bytes together; `now` is
    /// what the clock says.
    ///
    /// # Errors
    /// The directory can't be made or written to, or is not the user's alone.
    pub fn open(directory: &Path, limit: u64, now: SystemTime) -> Result<Self, CacheError> {
        let unusable = |error| CacheError::Unusable {
            path: directory.to_owned(),
            error,
        };
        make_private(directory).map_err(unusable)?;
        if !is_private(directory).map_err(unusable)? {
            return Err(CacheError::Open(directory.to_owned()));
        }
        Ok(Self {
            directory: directory.to_owned(),
            limit,
            now,
        })
    }

    fn path(&self, name: &Name) -> PathBuf {
        use std::fmt::Write as _;
        let mut file = String::with_capacity(2 * HASH + 8);
        for byte in &name.0 {
            write!(file, "{byte:02x}").expect("a String takes all");
        }
        self.directory.join(file).with_extension(EXTENSION)
    }

    /// What an entry holds; `None` if there is none that is sound.
    pub fn get(&self, name: &Name) -> Option<Vec<u8>> {
        let file = File::open(self.path(name)).ok()?;
        let about = file.metadata().ok()?;
        if about.len() > self.limit {
            return None;
        }
        let mut bytes = Vec::with_capacity(about.len() as usize);
        io::Read::read_to_end(&mut io::Read::take(&file, self.limit), &mut bytes).ok()?;
        let (held, checksum) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
        let content = held.strip_prefix(MAGIC)?.strip_prefix(&name.0)?;
        if Sha256::digest(held).as_slice() != checksum {
            return None;
        }
        let (first, last) = (MAGIC.len() + HASH, MAGIC.len() + HASH + content.len());
        let used = about.modified().ok()?;
        if self.now.duration_since(used).is_ok_and(|age| age > FRESH) {
            // It is only to be told from older ones; nothing is lost if that fails.
            let _ = file.set_modified(self.now);
        }
        bytes.truncate(last);
        bytes.drain(..first);
        Some(bytes)
    }

    /// Writes an entry, in place of an older one, and removes the oldest ones if all together have
    /// become too large. What is too large itself is not written.
    ///
    /// # Errors
    /// It can't be written; nothing is left behind.
    pub fn put(&self, name: &Name, content: &[u8]) -> io::Result<()> {
        let size = (MAGIC.len() + 2 * HASH + content.len()) as u64;
        if size > self.limit / 2 {
            return Ok(());
        }
        let mut hash = Sha256::new();
        let mut file = NamedTempFile::new_in(&self.directory)?;
        for part in [MAGIC, &name.0, content] {
            hash.update(part);
            file.write_all(part)?;
        }
        file.write_all(&hash.finalize())?;
        file.as_file().set_modified(self.now)?;
        file.persist(self.path(name)).map_err(|error| error.error)?;
        self.trim()
    }

    /// Removes the entries that were used longest ago, until the rest is within the limit.
    fn trim(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            // Another run may have removed it just now.
            let about = path.metadata().ok().filter(|about| about.is_file());
            if let (Some(about), true) = (about, is_ours(&path)) {
                entries.push((about.modified()?, path, about.len()));
            }
        }
        let mut total: u64 = entries.iter().map(|entry| entry.2).sum();
        entries.sort();
        for (_, path, size) in entries {
            if total <= self.limit {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => total -= size,
            }
        }
        Ok(())
    }
}

/// Entries, and files that a run which was killed has not renamed.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    path.extension().is_some_and(|e| e == EXTENSION) || name.starts_with(b".tmp")
}

#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Whether the directory belongs to this user, and nobody else may write there. A new file tells
/// who this user is.
#[cfg(unix)]
fn is_private(directory: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (theirs, ours) = (
        directory.metadata()?,
        tempfile::tempfile_in(directory)?.metadata()?,
    );
    Ok(theirs.uid() == ours.uid() && theirs.mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(directory: &Path) -> io::Result<bool> {
    tempfile::tempfile_in(directory).map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    fn open(directory: &Path, limit: u64, seconds: u64) -> Cache {
        Cache::open(directory, limit, after(seconds)).unwrap()
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn entries_are_kept_apart_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let cache = open(&directory.path().join("a/b"), 1 << 20, 0);
        let (one, other) = (Name::of(&[b"ab", b"c"]), Name::of(&[b"a", b"bc"]));
        assert_eq!(cache.get(&one), None);
        cache.put(&one, b"first").unwrap();
        cache.put(&other, b"").unwrap();
        cache.put(&one, b"second").unwrap();
        assert_eq!(cache.get(&one).as_deref(), Some(&b"second"[..]));
        assert_eq!(cache.get(&other).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn what_is_damaged_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let cache = open(&directory.path().join("cache"), 1 << 20, 0);
        let name = Name::of(&[b"x"]);
        cache.put(&name, b"some content").unwrap();
        let path = cache.path(&name);
        let sound = fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut broken = sound.clone();
            broken[at] ^= 1;
            fs::write(&path, &broken).unwrap();
            assert_eq!(cache.get(&name), None, "byte {at}");
            fs::write(&path, &sound[..at]).unwrap();
            assert_eq!(cache.get(&name), None, "cut at {at}");
        }
        // The entry of another name is none, however sound.
        let other = Name::of(&[b"y"]);
        fs::write(cache.path(&other), &sound).unwrap();
        assert_eq!(cache.get(&other), None);
        cache.put(&name, b"again").unwrap();
        assert_eq!(cache.get(&name).as_deref(), Some(&b"again"[..]));
    }

    #[test]
    fn the_oldest_entries_go() {
        let directory = tempfile::tempdir().unwrap();
        let names: Vec<Name> = (0..10u8).map(|n| Name::of(&[&[n]])).collect();
        for (n, name) in names.iter().enumerate() {
            let cache = open(&directory.path().join("cache"), 5000, n as u64);
            cache.put(name, &[b'x'; 1000]).unwrap();
        }
        let bystander = directory.path().join("cache/notes.txt");
        fs::write(&bystander, [b'x'; 9000]).unwrap();
        // Reading the oldest one that is left makes it the newest.
        let left = |cache: &Cache| -> Vec<usize> {
            let is_left = |n: &usize| cache.path(&names[*n]).exists();
            (0..names.len()).filter(is_left).collect()
        };
        let cache = open(&directory.path().join("cache"), 5000, 10_000);
        assert_eq!(left(&cache), [6, 7, 8, 9]);
        assert!(cache.get(&names[6]).is_some());
        cache.put(&names[0], &[b'x'; 1000]).unwrap();
        assert_eq!(left(&cache), [0, 6, 8, 9]);
        cache.put(&names[1], &[b'x'; 4000]).unwrap();
        assert_eq!(left(&cache), [0, 6, 8, 9], "too large to be kept");
        assert!(bystander.exists());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_or_writes() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let cache = open(&path, 1 << 20, 0);
        cache.put(&Name::of(&[]), b"x").unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        for file in files(&path) {
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let opened = Cache::open(&path, 1 << 20, after(0));
        assert!(matches!(opened, Err(CacheError::Open(_))), "{opened:?}");
    }
}
