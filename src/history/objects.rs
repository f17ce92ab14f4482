//! Everything under `objects/`: packs, loose objects, alternates.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flate2::bufread::ZlibDecoder;

use super::damage::Damage;
use super::delta::Parsed;
use super::ends::NO_ENDS;
use super::forest::Forest;
use super::inflate::Inflater;
use super::loose::{self, Loose};
use super::pack::{Form, Pack};
use super::version::{Cursors, Node, Version};
use crate::repo::{ObjectId, ObjectKind as Kind};

/// Alternates of alternates are followed this far, as git does.
const DEEPEST: usize = 5;

/// Objects beyond this (512 MiB) are not rebuilt; in tests, smaller ones are not.
pub(super) const LARGEST: u64 = if cfg!(test) { 1 << 20 } else { 512 << 20 };

/// From this size on (16 MiB), an object is not held whole where once through it is enough.
const STREAMED_FROM: u64 = if cfg!(test) { 64 << 10 } else { 16 << 20 };

/// An object database: all directories that hold objects of a repository.
pub(super) struct Objects {
    pub(super) packs: Vec<Pack>,
    /// Their forests, planted when somebody asks.
    forests: Vec<OnceLock<Forest>>,
    /// Directories of objects, the repository's own first.
    pub(super) directories: Vec<PathBuf>,
    /// What could not be read at all.
    pub(super) damaged: Vec<(PathBuf, Damage)>,
    id_len: usize,
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Packed {
    /// Which of [`Objects::packs`].
    pub(super) pack: u32,
    /// Where its entry begins.
    pub(super) start: u64,
}

impl Objects {
    /// Opens the directory `objects` and its alternates; ids have `id_len` bytes.
    pub(super) fn open(objects: &Path, alternates: &[PathBuf], id_len: usize) -> Self {
        let mut all = Self {
            packs: Vec::new(),
            forests: Vec::new(),
            directories: Vec::new(),
            damaged: Vec::new(),
            id_len,
        };
        let mut seen = BTreeSet::new();
        all.add(objects, 0, &mut seen);
        for alternate in alternates {
            all.add(alternate, 1, &mut seen);
        }
        all.forests.resize_with(all.packs.len(), OnceLock::new);
        all
    }

    fn add(&mut self, directory: &Path, depth: usize, seen: &mut BTreeSet<PathBuf>) {
        let canonical = match directory.canonicalize() {
            Ok(canonical) => canonical,
            Err(error) => return self.damaged.push((directory.to_owned(), error.into())),
        };
        if !seen.insert(canonical) {
            return;
        }
        self.directories.push(directory.to_owned());
        match pack_files(&directory.join("pack")) {
            Ok(files) => {
                for file in files {
                    match Pack::open(&file, self.id_len) {
                        Ok(pack) => self.packs.push(pack),
                        Err(damage) => self.damaged.push((file, damage)),
                    }
                }
            }
            Err(error) => self.damaged.push((directory.join("pack"), error.into())),
        }
        let list = directory.join("info").join("alternates");
        let text = match std::fs::read(&list) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.damaged.push((list, error.into())),
        };
        for line in text.split(|b| *b == b'\n') {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let path = directory.join(PathBuf::from(String::from_utf8_lossy(line).into_owned()));
            if depth == DEEPEST {
                let error = io::Error::other("alternates nested deeper than git follows them");
                self.damaged.push((path, error.into()));
            } else {
                self.add(&path, depth + 1, seen);
            }
        }
    }

    /// The forest of a pack; all that walk it share it.
    pub(super) fn forest(&self, pack: usize) -> &Forest {
        self.forests[pack].get_or_init(|| Forest::plant(&self.packs[pack]))
    }

    /// Whether some pack came from a promisor: this is a partial clone, and what such a pack
    /// names may be missing.
    pub(super) fn is_partial(&self) -> bool {
        self.packs.iter().any(Pack::is_promised)
    }

    /// Where a pack holds an object.
    pub(super) fn find(&self, id: &ObjectId) -> Option<Packed> {
        self.packs.iter().enumerate().find_map(|(pack, packed)| {
            Some(Packed {
                pack: pack as u32,
                start: packed.offset(id)?,
            })
        })
    }

    /// Bytes in an id.
    pub(super) fn id_length(&self) -> usize {
        self.id_len
    }

    /// Whether an object is here. Only looked up, not read.
    pub(super) fn holds(&self, id: &ObjectId) -> bool {
        let is_loose = |directory: &PathBuf| loose::path(directory, id).exists();
        self.find(id).is_some() || self.directories.iter().any(is_loose)
    }

    /// What a packed object is, however many deltas say so.
    pub(super) fn kind(&self, mut at: Packed) -> Option<Kind> {
        for _ in 0..=self.longest_chain() {
            let pack = &self.packs[at.pack as usize];
            at = match pack.entry(at.start).ok()?.0.form {
                Form::Whole(kind) => return Some(kind),
                Form::Offset(start) => Packed { start, ..at },
                Form::Reference(id) => match self.base(&id, at) {
                    Some(base) => base,
                    None => return self.read(&id).ok().flatten().map(|(kind, _)| kind),
                },
            };
        }
        None
    }

    /// Whether an object is here and of this kind.
    pub(super) fn is(&self, id: &ObjectId, kind: Kind) -> bool {
        match self.find(id) {
            Some(at) => self.kind(at) == Some(kind),
            None => {
                matches!(loose::find(&self.directories, id), Ok(Some(loose)) if loose.kind == kind)
            }
        }
    }

    /// An object to be read once, however large; `None` if it isn't here.
    pub(super) fn stream(&self, id: &ObjectId) -> Result<Option<Loose<'_>>, Damage> {
        match self.find(id) {
            Some(at) => self.stream_packed(at).map(Some),
            None => loose::find(&self.directories, id),
        }
    }

    /// A packed object to be read once. Only what is no delta can be very large.
    pub(super) fn stream_packed(&self, at: Packed) -> Result<Loose<'_>, Damage> {
        let (header, data) = self.packs[at.pack as usize].entry(at.start)?;
        let (kind, size, body): (_, _, Box<dyn Read>) = match header.form {
            Form::Whole(kind) if header.size > STREAMED_FROM => {
                let stream = ZlibDecoder::new(data).take(header.size.saturating_add(1));
                (kind, header.size, Box::new(stream))
            }
            _ => {
                let (kind, bytes) = self.rebuild(at, LARGEST)?;
                (kind, bytes.len() as u64, Box::new(Cursor::new(bytes)))
            }
        };
        Ok(Loose { kind, size, body })
    }

    /// No chain is longer, unless it goes round in circles.
    fn longest_chain(&self) -> usize {
        self.packs.iter().map(Pack::bound).sum()
    }

    /// Where the base of a delta is, by id: in its own pack, or else in any other.
    fn base(&self, id: &ObjectId, delta: Packed) -> Option<Packed> {
        let here = self.packs[delta.pack as usize].offset(id);
        here.map(|start| Packed { start, ..delta })
            .or_else(|| self.find(id))
    }

    /// An object and its bytes; `None` if it isn't here.
    pub(super) fn read(&self, id: &ObjectId) -> Result<Option<(Kind, Vec<u8>)>, Damage> {
        self.read_within(id, LARGEST)
    }

    /// The same, unless it or what it is made of has more than `most` bytes.
    pub(super) fn read_within(
        &self,
        id: &ObjectId,
        most: u64,
    ) -> Result<Option<(Kind, Vec<u8>)>, Damage> {
        if let Some(at) = self.find(id) {
            return self.rebuild(at, most).map(Some);
        }
        loose::read(&self.directories, id, most)
    }

    /// Rebuilds a packed object, unless it or what it is made of has more than `most` bytes.
    pub(super) fn rebuild(&self, at: Packed, most: u64) -> Result<(Kind, Vec<u8>), Damage> {
        let mut chain = vec![at];
        let mut inflater = Inflater::default();
        // Down to the bytes …
        let (kind, mut bytes) = loop {
            let at = chain[chain.len() - 1];
            let (header, data) = self.packs[at.pack as usize].entry(at.start)?;
            if header.size > most {
                return Err(Damage::TooLarge(header.size));
            }
            let base = match header.form {
                Form::Whole(kind) => {
                    let bytes = inflater.inflate(data, header.size)?.own();
                    chain.pop();
                    break (kind, bytes.to_vec());
                }
                Form::Offset(start) => Packed { start, ..at },
                Form::Reference(id) => match self.base(&id, at) {
                    Some(base) => base,
                    None => {
                        let base = loose::read(&self.directories, &id, most)?;
                        break base.ok_or(Damage::Base(id))?;
                    }
                },
            };
            if chain.len() > self.longest_chain() {
                return Err(Damage::Unrooted);
            }
            chain.push(base);
        };
        // … and up again.
        let mut parsed = Parsed::default();
        while let Some(at) = chain.pop() {
            let (header, data) = self.packs[at.pack as usize].entry(at.start)?;
            let delta = inflater.inflate(data, header.size)?;
            parsed.parse(delta, bytes.len() as u64, &NO_ENDS)?;
            let delta = parsed.view();
            if u64::from(delta.length) > most {
                return Err(Damage::TooLarge(delta.length.into()));
            }
            let base = Node::whole(bytes, ())?;
            bytes = Vec::with_capacity(delta.length as usize);
            let version = Version {
                delta,
                base: &base,
                cursors: &Cursors::default(),
            };
            version.fetch(0..delta.length, &mut bytes);
        }
        Ok((kind, bytes))
    }
}

/// All packs of a directory, those without an index too (they may be half received).
fn pack_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_pack = path.extension().is_some_and(|e| e == "pack");
        let is_partial = path.file_name().is_some_and(|name| {
            name.to_str()
                .is_some_and(|name| name.starts_with("tmp_pack_"))
        });
        if is_pack || is_partial {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
