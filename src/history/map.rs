//! The one place that maps files: packs and their indexes, which git never changes in place. A
//! mapped file that is cut short under us would kill the process, so nothing else is mapped.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A read-only view of a whole file.
pub(super) struct Map(Option<memmap2::Mmap>);

impl Map {
    /// Maps `path`; an empty file is an empty view.
    #[allow(unsafe_code)]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the view is only read, as plain bytes, and every length is checked against it.
        // Git writes packs and indexes under another name and renames them when they are whole;
        // it removes them, which a mapping outlives, but never truncates or rewrites them.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self(Some(map)))
    }

    /// Has the processor fetch the two cache lines at `at`, which will soon be read: that takes as
    /// long as hundreds of instructions, which can go on meanwhile.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    pub(super) fn expect(&self, at: usize) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        for line in [at, at.saturating_add(64)] {
            if let Some(byte) = self.get(line) {
                // SAFETY: this reads nothing that the program could see, and the byte is within the
                // mapping.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
            }
        }
    }

    /// Nothing to be had here.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn expect(&self, _at: usize) {}
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
