//! Files that others rely on: replaced whole or not at all, and changed by one process at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Holds a file locked until it is dropped; other processes that [take](Guard::take) it wait. The
/// system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Guard(File);

impl Guard {
    /// Opens the file, or makes it (for its owner only), and waits until nobody else holds it.
    ///
    /// # Errors
    /// It can't be opened or locked.
    pub fn take(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        lock(options, path).map(Self)
    }

    /// Waits until nobody else holds the directory in this way; its files are not locked.
    ///
    /// # Errors
    /// It can't be opened or locked.
    pub fn directory(path: &Path) -> io::Result<Self> {
        lock_directory(path).map(Self)
    }

    /// The file, which may be read, and written at its end.
    pub fn file(&self) -> &File {
        &self.0
    }
}

#[cfg(unix)]
fn lock(mut options: OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    flocked(options.mode(0o600).open(path)?)
}

#[cfg(unix)]
fn lock_directory(path: &Path) -> io::Result<File> {
    flocked(File::open(path)?)
}

#[cfg(unix)]
fn flocked(file: File) -> io::Result<File> {
    use rustix::fs::{FlockOperation, flock};
    while let Err(error) = flock(&file, FlockOperation::LockExclusive) {
        if error != rustix::io::Errno::INTR {
            return Err(error.into());
        }
    }
    Ok(file)
}

/// A file that nobody else may open as long as it is open here.
#[cfg(windows)]
fn lock(mut options: OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const SHARING_VIOLATION: i32 = 32;
    options.share_mode(0);
    let mut tries = 0;
    loop {
        match options.open(path) {
            Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) && tries < 500 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

/// A directory can't be kept open by one process alone, so a file in it is, and goes with it.
#[cfg(windows)]
fn lock_directory(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const DELETE_ON_CLOSE: u32 = 0x0400_0000;
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .custom_flags(DELETE_ON_CLOSE);
    lock(options, &path.join(".skewer-guard"))
}

/// Whether files in `directory` can be replaced by ones that have the mode and the owner of
/// `like`. Nothing is seen of the attempt.
///
/// # Errors
/// They can't.
pub fn may_replace(directory: &Path, like: &File) -> io::Result<()> {
    let trial = tempfile::tempfile_in(directory)?;
    let old = like.metadata()?;
    keep_owner(&trial, &old)?;
    trial.set_permissions(old.permissions())
}

/// Writes `bytes` in the place of the file at `path`, in one step: whoever reads it gets the old
/// one or the new one. The new one has the mode and the owner of `like`, or is for its owner only.
///
/// # Errors
/// It can't be written, or `like`'s owner can't be kept; then the old one is untouched.
pub fn replace(path: &Path, bytes: &[u8], like: Option<&File>) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut new = tempfile::Builder::new()
        .prefix(".skewer-")
        .tempfile_in(directory)?;
    new.write_all(bytes)?;
    if let Some(like) = like {
        let old = like.metadata()?;
        keep_owner(new.as_file(), &old)?;
        // After the owner: changing that takes set-id bits away.
        new.as_file().set_permissions(old.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(path)?;
    sync(directory)
}

#[cfg(unix)]
fn keep_owner(new: &File, old: &std::fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let made = new.metadata()?;
    let changed = |is: u32, was: u32| (is != was).then_some(was);
    match (
        changed(made.uid(), old.uid()),
        changed(made.gid(), old.gid()),
    ) {
        (None, None) => Ok(()),
        (uid, gid) => std::os::unix::fs::fchown(new, uid, gid),
    }
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)] // as the other one
fn keep_owner(_: &File, _: &std::fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// Makes a new name in a directory last.
///
/// # Errors
/// The system can't.
#[cfg(unix)]
pub fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a new name in a directory last; here, the system sees to it.
///
/// # Errors
/// None.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)] // as the other one
pub fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let guard = Guard::take(&path).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(guard);
                    }
                });
            }
        });
    }

    #[test]
    #[cfg(unix)]
    fn a_replaced_file_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"one", None).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let old = File::open(&path).unwrap();
        replace(&path, b"two", Some(&old)).unwrap();
        assert_eq!(mode(&path), 0o640);
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
