//! What the tests of all formats share: a [`Members`] that unpacks everything and notes it down.

use std::collections::HashSet;
use std::io::Read;
use std::ops::Range;

use super::{
    Access, Body, Budget, Chain, Damage, EachMember, Input, Members, ReadAt, Reservation, Step,
    Stop, recognise, recognise_tail,
};
use crate::coverage::Unread;

/// One thing that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// A member's content, and what reading it came to.
    Member(Vec<u8>, Option<String>),
    /// What can't be read.
    Unread(Unread),
    /// Text.
    Text(Vec<u8>),
    /// So many bytes that were handed out before.
    Seen(u64),
    /// Raw bytes at an offset.
    Raw(u64, Vec<u8>),
    /// A container inside that could not be read on.
    Damage(String),
}

/// Everything handed out, with the way in: `a.zip/b` is `["a.zip", "b"]`; a step that is no file is
/// its kind and name, as `layer 3`.
#[derive(Debug, Default)]
pub(crate) struct Notes(pub(crate) Vec<(Vec<String>, Got)>, HashSet<[u8; 32]>);

/// No test unpacks more of one member.
const MOST: u64 = 64 << 20;

/// No test goes deeper.
const DEEPEST: usize = 40;

/// How much memory each test's formats may reserve: half of it for one chain.
const MEMORY: u64 = 256 << 20;

impl Notes {
    /// The contents of members that are no containers, by the way in, joined by `!`.
    pub(crate) fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let content = |(way, got): &(Vec<String>, Got)| match got {
            Got::Member(bytes, None) => Some((way.join("!"), bytes.clone())),
            _ => None,
        };
        self.0.iter().filter_map(content).collect()
    }

    /// What could not be read, in words, by the way in.
    pub(crate) fn unread(&self) -> Vec<(String, String)> {
        let unread = |(way, got): &(Vec<String>, Got)| match got {
            Got::Unread(why) => Some((way.join("!"), why.to_string())),
            Got::Member(_, Some(error)) => Some((way.join("!"), error.clone())),
            Got::Damage(why) => Some((way.join("!"), why.clone())),
            _ => None,
        };
        self.0.iter().filter_map(unread).collect()
    }

    /// Whether `text` was handed out anywhere: in a member, a text, raw bytes or a name.
    pub(crate) fn hold(&self, text: &str) -> bool {
        self.0.iter().any(|(way, got)| {
            let bytes = match got {
                Got::Member(bytes, _) | Got::Text(bytes) | Got::Raw(_, bytes) => &bytes[..],
                Got::Unread(_) | Got::Damage(_) | Got::Seen(_) => b"",
            };
            memchr::memmem::find(bytes, text.as_bytes()).is_some()
                || way.iter().any(|step| step.contains(text))
        })
    }
}

/// Unpacks `bytes` with all that lies in them, as bytes in memory.
pub(crate) fn unpack(name: &str, bytes: &[u8]) -> Notes {
    let mut notes = Notes::default();
    let chain = Budget::new(MEMORY).chain();
    let mut collector = Collector::new(vec![], &chain, &mut notes);
    collector.blob(name.as_bytes(), bytes);
    notes
}

/// The same, but the outermost container is given as a stream, in pieces of `piece` bytes.
pub(crate) fn unpack_stream(name: &str, bytes: &[u8], piece: usize) -> Notes {
    let mut notes = Notes::default();
    let chain = Budget::new(MEMORY).chain();
    let format = recognise(&bytes[..bytes.len().min(super::HEAD)], name.as_bytes()).unwrap();
    let mut collector = Collector::new(vec![], &chain, &mut notes);
    let mut pieces = Pieces { bytes, piece };
    collector.container(format, Input::Stream(&mut pieces));
    notes
}

struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let most = self.piece.max(1).min(to.len());
        self.bytes.read(&mut to[..most])
    }
}

struct Collector<'a> {
    way: Vec<String>,
    chain: &'a Chain,
    notes: &'a mut Notes,
    covered: Vec<Range<u64>>,
}

impl<'a> Collector<'a> {
    fn new(way: Vec<String>, chain: &'a Chain, notes: &'a mut Notes) -> Self {
        Self {
            way,
            chain,
            notes,
            covered: Vec::new(),
        }
    }

    fn note(&mut self, way: Vec<String>, got: Got) {
        self.notes.0.push((way, got));
    }

    fn inside(&self, step: &Step<'_>) -> Vec<String> {
        let name = String::from_utf8_lossy(&step.name).into_owned();
        let shown = match (step.kind, name.is_empty()) {
            (Step::FILE, _) => name,
            (kind, true) => kind.to_owned(),
            (kind, false) => format!("{kind} {name}"),
        };
        let mut way = self.way.clone();
        way.push(shown);
        way
    }

    fn blob(&mut self, name: &[u8], bytes: &[u8]) {
        let head = &bytes[..bytes.len().min(super::HEAD)];
        let format = recognise(head, name).or_else(|| recognise_tail(head, bytes));
        match format.filter(|_| self.way.len() < DEEPEST) {
            Some(format) => self.container(format, Input::Random(&bytes)),
            None => self.note(self.way.clone(), Got::Member(bytes.to_vec(), None)),
        }
    }

    fn container(&mut self, format: &dyn super::Format, input: Input<'_>) {
        let source: Option<&dyn ReadAt> = match &input {
            Input::Random(source) => Some(*source),
            Input::Stream(_) => None,
        };
        let result = format.unpack(input, self);
        if let Err(error) = result {
            self.note(self.way.clone(), Got::Damage(error.to_string()));
        }
        let (Some(source), Access::Random) = (source, format.access()) else {
            return;
        };
        self.covered.sort_by_key(|range| range.start);
        let mut at = 0;
        let mut gaps = Vec::new();
        for range in self.covered.drain(..) {
            if range.start > at {
                gaps.push(at..range.start);
            }
            at = at.max(range.end);
        }
        gaps.push(at..source.size().max(at));
        for gap in gaps {
            let start = gap.start;
            let _ = self.raw(start, &mut source.section(gap));
        }
    }
}

impl Members for Collector<'_> {
    fn member(&mut self, step: Step<'_>, body: Body<'_>) -> Result<(), Stop> {
        let way = self.inside(&step);
        let mut held = Vec::new();
        let (bytes, error) = match body {
            Body::Bytes(bytes) => (bytes, None),
            Body::Stream(reader, _) => {
                let read = reader.take(MOST).read_to_end(&mut held);
                (&held[..], read.err().map(|error| error.to_string()))
            }
        };
        match error {
            Some(_) => self.note(way, Got::Member(bytes.to_vec(), error)),
            None => Collector::new(way, self.chain, self.notes).blob(&step.name, bytes),
        }
        Ok(())
    }

    fn unread(&mut self, step: Step<'_>, why: Unread) {
        let way = self.inside(&step);
        self.note(way, Got::Unread(why));
    }

    fn text(&mut self, step: Step<'_>, bytes: &[u8]) {
        let way = self.inside(&step);
        self.note(way, Got::Text(bytes.to_vec()));
    }

    fn raw(&mut self, offset: u64, bytes: &mut dyn Read) -> Result<(), Stop> {
        let mut held = Vec::new();
        let _ = bytes.take(MOST).read_to_end(&mut held);
        if !held.is_empty() {
            self.note(self.way.clone(), Got::Raw(offset, held));
        }
        Ok(())
    }

    fn covers(&mut self, range: Range<u64>) {
        self.covered.push(range);
    }

    fn reserve(&mut self, bytes: u64) -> Option<Reservation> {
        self.chain.reserve(bytes)
    }

    fn seen(&mut self, identity: [u8; 32], bytes: u64) -> bool {
        let seen = !self.notes.1.insert(identity);
        if seen {
            self.note(self.way.clone(), Got::Seen(bytes));
        }
        seen
    }

    fn each(&mut self, count: usize, one: &EachMember<'_>) -> Result<(), Damage> {
        (0..count).try_for_each(|number| one(number, self))
    }
}

/// A gzip of it.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// A gzip of at most 65,535 bytes, stored.
pub(crate) fn gzip_stored(bytes: &[u8]) -> Vec<u8> {
    let mut sum = libdeflater::Crc::new();
    sum.update(bytes);
    let length = bytes.len() as u16;
    let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(bytes);
    packed.extend(sum.sum().to_le_bytes());
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}

/// A tar (ustar) of files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        tar.extend(tar_entry(name.as_bytes(), b'0', bytes));
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// A header of a tar, and what it is of, padded.
pub(crate) fn tar_entry(name: &[u8], kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut entry = header.to_vec();
    entry.extend_from_slice(bytes);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

/// A zip of files, each compressed by the method of this number.
pub(crate) fn zip(files: &[(&str, u16, &[u8])]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, method, bytes) in files {
        let packed = zip_packed(*method, bytes);
        let mut sum = libdeflater::Crc::new();
        sum.update(bytes);
        let mut fields = Vec::new();
        fields.extend([20, 0, 0, 0]);
        fields.extend(method.to_le_bytes());
        fields.extend([0; 4]);
        fields.extend(sum.sum().to_le_bytes());
        fields.extend((packed.len() as u32).to_le_bytes());
        fields.extend((bytes.len() as u32).to_le_bytes());
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0; 2]);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend((zip.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        zip.extend(b"PK\x03\x04");
        zip.extend(&fields);
        zip.extend(name.as_bytes());
        zip.extend(&packed);
    }
    let start = zip.len() as u32;
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend((files.len() as u16).to_le_bytes());
    zip.extend((files.len() as u16).to_le_bytes());
    zip.extend((directory.len() as u32).to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0; 2]);
    zip
}

fn zip_packed(method: u16, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    match method {
        // What is short enough is the same in both.
        8 | 9 => {
            let mut to =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }
        12 => bzip2(bytes),
        14 => {
            // The properties' size, and their own place, are another one than in a file.
            let alone = lzma(bytes);
            [&[9, 4, 5, 0], &alone[..5], &alone[13..]].concat()
        }
        20 | 93 => zstd(bytes),
        95 => xz(bytes),
        // An order of 4, a MiB of memory, which is emptied when it is full (APPNOTE.TXT, 5.10).
        98 => [&[0x03, 0x00][..], &ppmd(bytes)].concat(),
        _ => bytes.to_vec(),
    }
}

/// A bzip2 of it.
pub(crate) fn bzip2(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut to = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// What PPMd, variant I, makes of it, with an end mark.
fn ppmd(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let restore = ppmd_rust::RestoreMethod::Restart;
    let mut to = ppmd_rust::Ppmd8Encoder::new(Vec::new(), 4, 1 << 20, restore).unwrap();
    to.write_all(bytes).unwrap();
    to.finish(true).unwrap()
}

/// An xz of it.
pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    liblzma::encode_all(bytes, 0).unwrap()
}

/// A file of lzma alone, with its size.
pub(crate) fn lzma(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut to = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// A zstd of it.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::stream::encode_all(bytes, 1).unwrap()
}

/// An lz4 of it, in linked blocks, with a checksum.
pub(crate) fn lz4(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let info = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .content_checksum(true);
    let mut to = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// A brotli of it, stored: 64 KiB of window, and pieces of up to 64 KiB.
pub(crate) fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0, 1); // a window of 16 bits
    for piece in bytes.chunks(1 << 16) {
        bits.put(0, 1); // not the last
        bits.put(0, 2); // four nibbles of length follow
        bits.put(piece.len() as u32 - 1, 16);
        bits.put(1, 1); // stored
        bits.align();
        bits.bytes.extend(piece);
    }
    bits.put(3, 2); // the last, and empty
    bits.align();
    bits.bytes
}

/// A `.Z` of it, with codes of up to `most` bits.
pub(crate) fn compress(bytes: &[u8], most: u32) -> Vec<u8> {
    use std::collections::HashMap;
    let mut bits = Bits::default();
    bits.bytes.extend([0x1f, 0x9d, 0x80 | most as u8]);
    let (mut words, mut next, mut width) = (HashMap::<(u32, u8), u32>::new(), 257u32, 9);
    let (mut group, mut last) = (0, None);
    let put = |bits: &mut Bits, code: u32, width: u32, group: &mut u32| {
        bits.put(code, width);
        *group = (*group + 1) % 8;
    };
    for byte in bytes {
        let Some(word) = last else {
            last = Some(u32::from(*byte));
            continue;
        };
        if let Some(longer) = words.get(&(word, *byte)) {
            last = Some(*longer);
            continue;
        }
        put(&mut bits, word, width, &mut group);
        if next < 1 << most {
            words.insert((word, *byte), next);
            next += 1;
            // The reader is a word behind.
            if next - 1 > (1 << width) - 1 && width < most {
                while group != 0 {
                    put(&mut bits, 0, width, &mut group);
                }
                width += 1;
            }
        }
        last = Some(u32::from(*byte));
    }
    if let Some(word) = last {
        put(&mut bits, word, width, &mut group);
    }
    bits.align();
    bits.bytes
}

/// Bits, the lowest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    fn align(&mut self) {
        if self.count > 0 {
            self.bytes.push(self.held as u8);
        }
        (self.held, self.count) = (0, 0);
    }
}

/// A good one of every format, with its name, that holds `text` where it can be read.
pub(crate) fn samples(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a.gz", gzip(text)),
        ("a.bz2", bzip2(text)),
        ("a.xz", xz(text)),
        ("a.lzma", lzma(text)),
        ("a.zst", zstd(text)),
        ("a.lz4", lz4(text)),
        ("a.br", brotli(text)),
        ("a.Z", compress(text, 16)),
        ("a.tar", tar(&[("b", text), ("c/d", b"")])),
        ("a.tgz", gzip(&tar(&[("b", text)]))),
        ("stored.zip", zip(&[("b", 0, text)])),
        ("deflate.zip", zip(&[("b", 8, text)])),
        ("deflate64.zip", zip(&[("b", 9, text)])),
        ("bzip2.zip", zip(&[("b", 12, text)])),
        ("lzma.zip", zip(&[("b", 14, text)])),
        ("zstd.zip", zip(&[("b", 93, text)])),
        ("xz.zip", zip(&[("b", 95, text)])),
        ("ppmd.zip", zip(&[("b", 98, text)])),
    ]
}
