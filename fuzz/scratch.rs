//! What the targets for git's formats share: packs, indexes and loose objects from arbitrary bytes,
//! and an audit of a directory that holds them. Streams are stored, not compressed, so that what a
//! fuzzer changes is what the reader sees.
#![allow(dead_code)] // none uses all of it

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use skewer::coverage::Progress;
use skewer::examine::Unpacking;
use skewer::history::{Chosen, History, Layout, Outcome};
use skewer::matcher::Matcher;
use skewer::rules::Rules;
use skewer::suppress::Suppressor;

pub(crate) static MATCHER: LazyLock<Matcher> =
    LazyLock::new(|| Matcher::new(&Rules::built_in(), None));

/// A git directory that is removed in the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = root.join(format!("skewer-fuzz-{}-{number}", std::process::id()));
        for directory in ["objects/pack", "objects/info", "refs/heads", "logs"] {
            std::fs::create_dir_all(root.join(directory)).expect("a scratch directory");
        }
        Self(root)
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
    }

    pub(crate) fn audit(&self) -> Outcome {
        self.asked(false, None)
    }

    /// An audit that looks up all that objects name, or only of what some commits bring.
    pub(crate) fn asked(&self, require_complete: bool, chosen: Option<&Chosen>) -> Outcome {
        let history = History {
            matcher: &MATCHER,
            suppress: &Suppressor::default(),
            unpacking: &Unpacking::default(),
            accept: &skewer::config::Globs::default(),
            memory: None,
            purge: true,
            chosen,
            require_complete,
            threads: 1,
            progress: &Progress::default(),
            stop: &AtomicBool::new(false),
        };
        history.search(&Layout {
            git_dir: self.0.clone(),
            common_dir: self.0.clone(),
            objects: self.0.join("objects"),
            alternates: Vec::new(),
            id_length: 20,
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Hands out a fuzzer's bytes; zeroes when there are none left.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub(crate) fn some(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A zlib stream that stores `bytes`.
pub(crate) fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut parts = bytes.chunks(0xffff).peekable();
    if parts.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(part) = parts.next() {
        out.push(u8::from(parts.peek().is_none()));
        let length = part.len() as u16;
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(part);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn number(bytes: &mut &[u8]) -> Option<usize> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 || shift > 28 {
            return Some(value);
        }
    }
}

/// The two sizes that a delta begins with.
pub(crate) fn sizes(base: usize, made: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for mut size in [base, made] {
        while size > 0x7f {
            out.push(size as u8 | 0x80);
            size >>= 7;
        }
        out.push(size as u8);
    }
    out
}

/// What a delta makes of its base: as gitformat-pack(5) has it, with nothing clever about it.
pub(crate) fn apply(base: &[u8], mut delta: &[u8]) -> Option<Vec<u8>> {
    let (from, to) = (number(&mut delta)?, number(&mut delta)?);
    let made = follow(base, delta, to)?;
    (from == base.len() && made.len() == to).then_some(made)
}

/// The same of instructions alone, up to about a size.
pub(crate) fn follow(base: &[u8], mut steps: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((code, rest)) = steps.split_first() {
        steps = rest;
        if code & 0x80 == 0 {
            let size = usize::from(*code);
            out.extend_from_slice(steps.get(..size).filter(|_| size > 0)?);
            steps = &steps[size..];
            continue;
        }
        let mut parts = [0u32; 7];
        for (bit, part) in parts.iter_mut().enumerate() {
            if code >> bit & 1 != 0 {
                let (byte, rest) = steps.split_first()?;
                (*part, steps) = (u32::from(*byte), rest);
            }
        }
        let [a, b, c, d, x, y, z] = parts;
        let start = (a | b << 8 | c << 16 | d << 24) as usize;
        let size = match (x | y << 8 | z << 16) as usize {
            0 => 0x10000,
            size => size,
        };
        out.extend_from_slice(base.get(start..start + size)?);
        if out.len() > most {
            return None;
        }
    }
    Some(out)
}

/// The id of the entry of this number. Nobody checks that it is a hash.
pub(crate) fn id(number: usize) -> [u8; 20] {
    let mut id = [0x5a; 20];
    id[0] = (number as u8).wrapping_mul(0x67);
    id[1] = number as u8;
    id
}

/// What names the pack in its index.
pub(crate) const CHECKSUM: [u8; 20] = [0xab; 20];

/// What an entry of a pack begins with: kind, and the size that it claims.
pub(crate) fn header(kind: u8, mut size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut byte = (kind & 7) << 4 | (size & 15) as u8;
    size >>= 4;
    while size > 0 {
        out.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    out.push(byte);
    out
}

/// How far back the base of a delta begins, as packs write it.
pub(crate) fn distance(mut back: usize) -> Vec<u8> {
    let mut out = vec![(back & 0x7f) as u8];
    while back > 0x7f {
        back = (back >> 7) - 1;
        out.push(0x80 | (back & 0x7f) as u8);
    }
    out.reverse();
    out
}

/// A pack of these entries, and where each begins.
pub(crate) fn pack(entries: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend((entries.len() as u32).to_be_bytes());
    let mut offsets = Vec::new();
    for entry in entries {
        offsets.push(pack.len());
        pack.extend_from_slice(entry);
    }
    pack.extend(CHECKSUM);
    (pack, offsets)
}

/// An index of version 2 for entries at these offsets.
pub(crate) fn index(offsets: &[usize]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..offsets.len()).collect();
    order.sort_by_key(|n| id(*n));
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    for first in 0..=255u8 {
        let upto = order.iter().filter(|n| id(**n)[0] <= first).count() as u32;
        index.extend(upto.to_be_bytes());
    }
    order.iter().for_each(|n| index.extend(id(*n)));
    index.resize(index.len() + 4 * order.len(), 0);
    order
        .iter()
        .for_each(|n| index.extend((offsets[*n] as u32).to_be_bytes()));
    index.extend(CHECKSUM);
    index.extend([0; 20]);
    index
}
