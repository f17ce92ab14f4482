//! OCI layouts among the directories that are scanned: which of the files are layers of an image.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::lock;
use crate::source::tree;
use crate::unpack::{Blob, Layout};

/// The layouts that were met, by their directories.
#[derive(Default)]
pub(super) struct Layouts(Mutex<HashMap<PathBuf, Arc<Layout>>>);

/// How large an index may be.
const MOST: u64 = 4 << 20;

impl Layouts {
    /// How a file is to be read that lies among the blobs of a layout, as `blobs/ALGORITHM/DIGEST`.
    pub(super) fn blob(&self, path: &Path) -> Option<Blob> {
        let algorithm = path.parent()?;
        let blobs = algorithm.parent()?;
        if blobs.file_name()? != "blobs" {
            return None;
        }
        let top = blobs.parent()?;
        let layout = {
            let mut known = lock(&self.0);
            let layout = known.entry(top.to_owned());
            Arc::clone(layout.or_insert_with(|| Arc::new(layout_at(top))))
        };
        let digest = path.file_name()?.to_str()?;
        layout.blob(&format!(
            "blobs/{}/{digest}",
            algorithm.file_name()?.to_str()?
        ))
    }
}

fn layout_at(top: &Path) -> Layout {
    match top.join("oci-layout").is_file() {
        true => Layout::read(&|path| {
            let mut bytes = Vec::new();
            let file = tree::open_named(&top.join(path)).ok()?;
            let read = file.take(MOST + 1).read_to_end(&mut bytes).ok()?;
            (read as u64 <= MOST).then_some(bytes)
        }),
        false => Layout::default(),
    }
}
