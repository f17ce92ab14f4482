//! Files that grow: searched as lines come, until the run is stopped.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::{Scan, lock};
use crate::examine::{Buffers, Follower, Found};
use crate::finding::Place;
use crate::source::tree::Visitor;

/// How often nothing must have come until a line that ended counts as whole, and until one counts
/// that has not: a key may go on in the next line, or in the rest of this one.
const LINE_WAITS: u32 = 1;
const REST_WAITS: u32 = 8;

/// One of the files.
struct Followed<'a> {
    path: &'a Path,
    /// None while it is not there, or after it failed.
    file: Option<File>,
    failed: bool,
    follower: Follower<'a>,
    /// How often nothing came since something did.
    quiet: u32,
}

impl Scan<'_> {
    /// Searches files and what is added to them until the run is stopped. A file that is truncated
    /// is read from its start again; of one that is replaced the old one is read to its end, then
    /// the new one. `wait` lets some time pass.
    pub fn follow(&self, paths: &[PathBuf], wait: &dyn Fn()) {
        self.follows.store(true, Ordering::Relaxed);
        let mut buffers: Vec<Buffers> = paths.iter().map(|_| Buffers::default()).collect();
        let mut all: Vec<Followed<'_>> = paths
            .iter()
            .zip(&mut buffers)
            .map(|(path, buffers)| Followed {
                path,
                file: None,
                failed: false,
                follower: Follower::new(self.matcher, buffers),
                quiet: 0,
            })
            .collect();
        while self.go_on() && all.iter().any(|one| !one.failed) {
            for one in all.iter_mut().filter(|one| !one.failed) {
                if let Err(error) = self.look(one) {
                    self.failed(one.path, &error);
                    (one.file, one.failed) = (None, true);
                }
            }
            if self.go_on() {
                wait();
            }
        }
        for one in all.iter_mut().filter(|one| one.file.is_some()) {
            self.end(one);
        }
    }

    /// Reads what was added to one file, and sees whether it is still the same one.
    fn look(&self, one: &mut Followed<'_>) -> io::Result<()> {
        let now = match std::fs::metadata(one.path) {
            Ok(about) => Some(about),
            // Between the old one and the new one there may be none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(file) = &one.file {
            if one.follower.is_other(file) {
                self.end(one);
                one.file = None;
            } else {
                let replaced = match &now {
                    Some(now) => !is_same(&file.metadata()?, now),
                    None => false,
                };
                self.read_on(one)?;
                if replaced {
                    self.end(one);
                    one.file = None;
                }
            }
        }
        if one.file.is_none() && now.is_some() {
            one.file = match File::open(one.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            one.follower.restart();
            self.read_on(one)?;
        }
        Ok(())
    }

    fn read_on(&self, one: &mut Followed<'_>) -> io::Result<()> {
        let Some(file) = &one.file else {
            return Ok(());
        };
        let mut tell = self.teller(one.path);
        let mut came = 0;
        while self.go_on() {
            match one.follower.read(file, &mut tell) {
                Ok(0) => break,
                Ok(read) => came += read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.progress.bytes.fetch_add(came, Ordering::Relaxed);
        one.quiet = if came > 0 {
            0
        } else {
            one.quiet.saturating_add(1)
        };
        let enough = match one.follower.at_line_end() {
            true => LINE_WAITS,
            false => REST_WAITS,
        };
        if one.quiet == enough {
            one.follower.settle(&mut tell);
        }
        Ok(())
    }

    /// The file as it was is at its end.
    fn end(&self, one: &mut Followed<'_>) {
        one.follower.settle(&mut self.teller(one.path));
        one.quiet = 0;
        if one.follower.read_so_far() > 0 {
            lock(&self.coverage).read.items += 1;
        }
    }

    fn teller<'s>(&'s self, path: &'s Path) -> impl FnMut(Found) + 's {
        let mut place = None;
        move |found| {
            let place = place.get_or_insert_with(|| Place::File(self.shown(path)));
            self.found(found, place);
        }
    }
}

/// Whether two descriptions are of one file.
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    }
    #[cfg(not(unix))]
    {
        use std::os::windows::fs::MetadataExt;
        a.creation_time() == b.creation_time()
    }
}
