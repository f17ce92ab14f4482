//! Where the files of a tar lie, found without reading them: for saved images, whose manifests stand
//! behind what they are about.

use std::io::{self, Read};
use std::ops::Range;

use crate::unpack::ReadAt;
use crate::unpack::tar::header::{BLOCK, Header};

pub(super) struct Index<'a> {
    file: &'a dyn ReadAt,
    pub(super) entries: Vec<Entry>,
    /// Links' names and targets, and records about the files.
    pub(super) texts: Vec<Vec<u8>>,
    /// Where the last one ends.
    pub(super) end: u64,
}

pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) range: Range<u64>,
}

/// How large records may be, and manifests and configurations.
pub(super) const MOST: u64 = 4 << 20;
/// No image has more files.
const MOST_ENTRIES: usize = 100_000;

impl<'a> Index<'a> {
    /// `None` if there is anything that images don't have: long names, sparse files, wrong sums.
    pub(super) fn read(file: &'a dyn ReadAt) -> io::Result<Option<Self>> {
        let mut index = Self {
            file,
            entries: Vec::new(),
            texts: Vec::new(),
            end: 0,
        };
        let mut block = [0; BLOCK];
        while file.read_full(&mut block, index.end)? == BLOCK {
            if block.iter().all(|byte| *byte == 0) {
                break;
            }
            let header = Header::parse(&block);
            let Some((header, size)) = header.and_then(|h| h.size().map(|size| (h, size))) else {
                return Ok(None);
            };
            let from = index.end + BLOCK as u64;
            let range = from..from.saturating_add(size);
            let mut length = size;
            match header.kind() {
                0 | b'0' => index.entries.push(Entry {
                    path: plain(header.path()),
                    range,
                }),
                b'1' | b'2' | b'5' => {
                    index.texts.extend([header.path(), header.link().to_vec()]);
                    length = 0;
                }
                b'x' | b'g' if size <= MOST => {
                    let mut records = Vec::new();
                    file.section(range).read_to_end(&mut records)?;
                    let says = |key: &[u8]| memchr::memmem::find(&records, key).is_some();
                    if says(b" path=") || says(b" size=") || says(b" GNU.") {
                        return Ok(None);
                    }
                    index.texts.push(records);
                }
                _ => return Ok(None),
            }
            if index.entries.len() > MOST_ENTRIES || index.texts.len() > MOST_ENTRIES {
                return Ok(None);
            }
            let next = length.checked_next_multiple_of(BLOCK as u64);
            let Some(next) = next.and_then(|length| from.checked_add(length)) else {
                return Ok(None);
            };
            index.end = next;
        }
        Ok(Some(index))
    }

    /// A file's content, if it is not too large. Of several with a path, the last one counts.
    pub(super) fn content(&self, path: &[u8]) -> Option<Vec<u8>> {
        let entry = self.entries.iter().rev().find(|entry| entry.path == path)?;
        self.bytes(entry)
    }

    /// The same of a file that was found.
    pub(super) fn bytes(&self, entry: &Entry) -> Option<Vec<u8>> {
        if entry.range.end - entry.range.start > MOST {
            return None;
        }
        let mut bytes = Vec::new();
        self.file
            .section(entry.range.clone())
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }
}

/// A path as manifests write it.
pub(super) fn plain(path: Vec<u8>) -> Vec<u8> {
    match path.strip_prefix(b"./") {
        Some(rest) => rest.to_vec(),
        None => path,
    }
}
