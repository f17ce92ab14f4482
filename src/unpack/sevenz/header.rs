//! What a 7z archive's header says: packed streams, the *folders* that they are decoded by, files.
//! Counts are believed only as far as bytes follow that could be theirs.
//!
//! Source: `7zFormat.txt` of the LZMA SDK.

use crate::unpack::Damage;

/// Property ids.
pub(super) mod id {
    pub(in super::super) const END: u64 = 0x00;
    pub(in super::super) const HEADER: u64 = 0x01;
    pub(in super::super) const ARCHIVE_PROPERTIES: u64 = 0x02;
    pub(in super::super) const MAIN_STREAMS: u64 = 0x04;
    pub(in super::super) const FILES: u64 = 0x05;
    pub(in super::super) const PACK_INFO: u64 = 0x06;
    pub(in super::super) const UNPACK_INFO: u64 = 0x07;
    pub(in super::super) const SUB_STREAMS: u64 = 0x08;
    pub(in super::super) const SIZE: u64 = 0x09;
    pub(in super::super) const CRC: u64 = 0x0a;
    pub(in super::super) const FOLDER: u64 = 0x0b;
    pub(in super::super) const UNPACK_SIZES: u64 = 0x0c;
    pub(in super::super) const COUNTS: u64 = 0x0d;
    pub(in super::super) const EMPTY_STREAMS: u64 = 0x0e;
    pub(in super::super) const NAMES: u64 = 0x11;
    pub(in super::super) const ENCODED_HEADER: u64 = 0x17;
    pub(in super::super) const DUMMY: u64 = 0x19;
}

/// No folder has more coders, and no coder more inputs.
const MOST_CODERS: usize = 16;

/// As many times a header's size is what was read of it: a file takes 50 bytes and more of a header
/// that a program wrote. What is reserved for a header.
pub(super) const ROOM: u64 = 8;

/// What a short header may take beyond that.
const ROOM_AT_LEAST: usize = 1 << 20;

/// What lies around the lists of a folder in memory, and around a file's name, about.
const ALLOCATIONS: usize = 64;

/// One step of decoding.
#[derive(Debug)]
pub(super) struct Coder {
    /// Its method's id.
    pub(super) method: u64,
    /// The number of its first input among all of the folder.
    pub(super) first_input: usize,
    /// How many inputs it has. Outputs: one.
    pub(super) inputs: usize,
    pub(super) properties: Vec<u8>,
}

/// Packed streams and how they become one.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) coders: Vec<Coder>,
    /// Which input is fed by which coder.
    pub(super) bonds: Vec<(usize, usize)>,
    /// Which input is fed by which packed stream of the archive.
    pub(super) packed: Vec<(usize, usize)>,
    /// How much each coder puts out.
    pub(super) sizes: Vec<u64>,
    /// The files that follow each other in it.
    pub(super) files: Vec<Content>,
    sum: Option<u32>,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) size: u64,
    /// Its CRC-32.
    pub(super) sum: Option<u32>,
}

impl Folder {
    /// The coder whose output no other takes.
    pub(super) fn last(&self) -> Option<usize> {
        (0..self.coders.len()).find(|coder| self.bonds.iter().all(|(_, from)| from != coder))
    }

    /// How much it holds.
    pub(super) fn size(&self) -> u64 {
        let last = self.last().and_then(|last| self.sizes.get(last));
        last.copied().unwrap_or(0)
    }
}

/// Packed streams and folders.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Where each packed stream lies, counted from behind the signature header.
    pub(super) packed: Vec<std::ops::Range<u64>>,
    pub(super) folders: Vec<Folder>,
}

/// A file or directory.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) name: Vec<u8>,
    /// Whether a folder holds bytes for it.
    pub(super) has_stream: bool,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) streams: Streams,
    pub(super) files: Vec<File>,
}

impl Header {
    /// Reads what follows the id of a plain header.
    pub(super) fn parse(bytes: &mut Bytes<'_>) -> Result<Self, Damage> {
        let mut header = Self::default();
        let mut met = Met::default();
        loop {
            match met.next(bytes)? {
                id::END => return Ok(header),
                id::ARCHIVE_PROPERTIES => {
                    while bytes.number()? != id::END {
                        let size = bytes.count()?;
                        bytes.take(size)?;
                    }
                }
                id::MAIN_STREAMS => header.streams = Streams::parse(bytes)?,
                id::FILES => header.files = files(bytes)?,
                other => return Err(unknown("header", other)),
            }
        }
    }
}

impl Streams {
    /// Reads what follows the id of a header's streams.
    pub(super) fn parse(bytes: &mut Bytes<'_>) -> Result<Self, Damage> {
        let mut streams = Self::default();
        let mut met = Met::default();
        loop {
            match met.next(bytes)? {
                id::END => break,
                id::PACK_INFO => streams.pack_info(bytes)?,
                id::UNPACK_INFO => streams.unpack_info(bytes)?,
                id::SUB_STREAMS => streams.sub_streams(bytes)?,
                other => return Err(unknown("list of streams", other)),
            }
        }
        Ok(streams)
    }

    fn pack_info(&mut self, bytes: &mut Bytes<'_>) -> Result<(), Damage> {
        let mut from = bytes.number()?;
        let count = bytes.count()?;
        loop {
            match bytes.number()? {
                id::END => return Ok(()),
                id::SIZE => {
                    for _ in 0..count {
                        let to = from.checked_add(bytes.number()?).ok_or_else(overflow)?;
                        self.packed.push(from..to);
                        from = to;
                    }
                }
                id::CRC => drop(bytes.sums(count)?),
                other => return Err(unknown("list of packed streams", other)),
            }
        }
    }

    fn unpack_info(&mut self, bytes: &mut Bytes<'_>) -> Result<(), Damage> {
        bytes.expect(id::FOLDER)?;
        let count = bytes.count()?;
        bytes.not_elsewhere()?;
        let mut packed = 0;
        for _ in 0..count {
            let folder = folder(bytes, packed)?;
            packed += folder.packed.len();
            self.folders.push(folder);
        }
        bytes.expect(id::UNPACK_SIZES)?;
        for folder in &mut self.folders {
            for _ in 0..folder.coders.len() {
                folder.sizes.push(bytes.number()?);
            }
        }
        loop {
            match bytes.number()? {
                id::END => break,
                id::CRC => {
                    for (folder, sum) in self.folders.iter_mut().zip(bytes.sums(count)?) {
                        folder.sum = sum;
                    }
                }
                other => return Err(unknown("list of folders", other)),
            }
        }
        // Unless a list of files says something else.
        for folder in &mut self.folders {
            let (size, sum) = (folder.size(), folder.sum);
            folder.files = vec![Content { size, sum }];
        }
        Ok(())
    }

    fn sub_streams(&mut self, bytes: &mut Bytes<'_>) -> Result<(), Damage> {
        let mut counts = vec![1; self.folders.len()];
        let mut next = bytes.number()?;
        if next == id::COUNTS {
            for count in &mut counts {
                *count = bytes.count()?;
            }
            next = bytes.number()?;
        }
        // All sizes but the last one of each folder are written down.
        let written: usize = counts.iter().map(|count| count.saturating_sub(1)).sum();
        if written > bytes.left.len() {
            return Err(too_many());
        }
        let has_sizes = next == id::SIZE;
        for (folder, count) in self.folders.iter_mut().zip(&counts) {
            folder.files.clear();
            let mut left = folder.size();
            for last in (0..*count).rev() {
                let size = match last {
                    0 => left,
                    _ if has_sizes => bytes.number()?,
                    _ => 0,
                };
                left = left.checked_sub(size).ok_or_else(overflow)?;
                let sum = folder.sum.filter(|_| *count == 1);
                folder.files.push(Content { size, sum });
            }
        }
        if has_sizes {
            next = bytes.number()?;
        }
        // The sum of a folder that holds one file is not written again.
        let files = self.folders.iter_mut().flat_map(|folder| &mut folder.files);
        let mut files: Vec<&mut Content> = files.filter(|file| file.sum.is_none()).collect();
        loop {
            match next {
                id::END => return Ok(()),
                id::CRC => {
                    let sums = bytes.sums(files.len())?;
                    for (file, sum) in files.iter_mut().zip(sums) {
                        file.sum = sum;
                    }
                }
                other => return Err(unknown("list of files' sizes", other)),
            }
            next = bytes.number()?;
        }
    }
}

fn folder(bytes: &mut Bytes<'_>, first_packed: usize) -> Result<Folder, Damage> {
    let mut folder = Folder::default();
    let count = bytes.count()?;
    if count == 0 || count > MOST_CODERS {
        return Err(Damage::broken(format!("a folder of {count} coders")));
    }
    bytes.keep(size_of::<Folder>() + ALLOCATIONS)?;
    bytes.keep(count * (size_of::<Coder>() + size_of::<u64>()))?;
    folder.coders.reserve_exact(count);
    folder.sizes.reserve_exact(count);
    let mut inputs = 0;
    for _ in 0..count {
        let flags = bytes.byte()?;
        let method = bytes.take(usize::from(flags & 0x0f).min(8))?;
        let method = method.iter().fold(0, |all, b| all << 8 | u64::from(*b));
        let (ins, outs) = match flags & 0x10 {
            0 => (1, 1),
            _ => (bytes.number()?, bytes.number()?),
        };
        if ins == 0 || ins > MOST_CODERS as u64 || outs != 1 || flags & 0x80 != 0 {
            return Err(Damage::broken("a coder with outputs that nobody writes"));
        }
        let properties = match flags & 0x20 {
            0 => Vec::new(),
            _ => {
                let size = bytes.count()?;
                bytes.take(size)?.to_vec()
            }
        };
        folder.coders.push(Coder {
            method,
            first_input: inputs,
            inputs: ins as usize,
            properties,
        });
        inputs += ins as usize;
    }
    for _ in 1..count {
        let (input, coder) = (bytes.number()?, bytes.number()?);
        if input >= inputs as u64 || coder >= count as u64 {
            return Err(Damage::broken("coders are joined that do not exist"));
        }
        folder.bonds.push((input as usize, coder as usize));
    }
    let free = |folder: &Folder, input: &usize| folder.bonds.iter().all(|(i, _)| i != input);
    let packed = (inputs + 1).saturating_sub(count);
    folder.packed.reserve_exact(packed);
    for n in 0..packed {
        let input = match packed {
            1 => (0..inputs).find(|input| free(&folder, input)),
            _ => usize::try_from(bytes.number()?).ok(),
        };
        let input = input.ok_or_else(|| Damage::broken("a folder without an input"))?;
        folder.packed.push((input, first_packed + n));
    }
    Ok(folder)
}

fn files(bytes: &mut Bytes<'_>) -> Result<Vec<File>, Damage> {
    let count = bytes.count()?;
    bytes.keep(count * size_of::<File>())?;
    let mut files: Vec<File> = Vec::new();
    files.resize_with(count, || File {
        name: Vec::new(),
        has_stream: true,
    });
    let mut met = Met::default();
    loop {
        let property = met.next(bytes)?;
        if property == id::END {
            return Ok(files);
        }
        let size = bytes.count()?;
        let mut inside = Bytes::new(bytes.take(size)?);
        match property {
            id::EMPTY_STREAMS => {
                for (file, empty) in files.iter_mut().zip(bits(inside.left)) {
                    file.has_stream = !empty;
                }
            }
            id::NAMES => {
                inside.not_elsewhere()?;
                let mut units = inside
                    .left
                    .chunks_exact(2)
                    .map(|b| u16::from_le_bytes([b[0], b[1]]));
                for file in &mut files {
                    let name = units.by_ref().take_while(|unit| *unit != 0);
                    let name: String = char::decode_utf16(name)
                        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                        .collect();
                    file.name = name.into_bytes();
                }
            }
            // Times and attributes.
            _ => {}
        }
    }
}

/// Bits, the most significant first.
fn bits(bytes: &[u8]) -> impl Iterator<Item = bool> {
    bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
}

fn unknown(what: &str, id: u64) -> Damage {
    Damage::broken(format!(
        "its {what} has an entry {id} that does not belong there"
    ))
}

fn too_many() -> Damage {
    Damage::broken("it counts more than its header has room for")
}

fn overflow() -> Damage {
    Damage::broken("the sizes that it states do not add up")
}

/// Which entries of a list were met.
#[derive(Default)]
struct Met(u64);

impl Met {
    /// The next entry's id. What goes over all that was counted comes once: a header that repeats it
    /// was made to be slow.
    fn next(&mut self, bytes: &mut Bytes<'_>) -> Result<u64, Damage> {
        let id = bytes.number()?;
        let bit = match id {
            0..64 if id != id::DUMMY => 1 << id,
            _ => 0,
        };
        if self.0 & bit != 0 {
            return Err(Damage::broken(format!("its header has entry {id} twice")));
        }
        self.0 |= bit;
        Ok(id)
    }
}

/// The header's bytes that were not read yet.
pub(super) struct Bytes<'a> {
    pub(super) left: &'a [u8],
    /// How much memory what is read of them may take yet.
    room: usize,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            left: bytes,
            room: bytes.len() * ROOM as usize + ROOM_AT_LEAST,
        }
    }

    /// Something of so many bytes is going to be held.
    fn keep(&mut self, bytes: usize) -> Result<(), Damage> {
        self.room = self.room.checked_sub(bytes).ok_or_else(too_many)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Damage> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self
            .left
            .split_at_checked(count)
            .ok_or_else(|| Damage::broken("its header ends too early"))?;
        self.left = rest;
        Ok(taken)
    }

    /// A number of 1 to 9 bytes: the first one's leading ones say how many follow, which are the
    /// less significant ones.
    pub(super) fn number(&mut self) -> Result<u64, Damage> {
        let first = self.byte()?;
        let following = first.leading_ones() as usize;
        let low = self.take(following)?;
        let low = low.iter().rev().fold(0, |all, b| all << 8 | u64::from(*b));
        let high = match following {
            0..=6 => u64::from(first & (0x7f >> following)) << (8 * following),
            _ => 0,
        };
        Ok(high | low)
    }

    /// A number of things each of which takes a byte at least.
    fn count(&mut self) -> Result<usize, Damage> {
        let number = self.number()?;
        match usize::try_from(number) {
            Ok(count) if count <= self.left.len() => Ok(count),
            _ => Err(too_many()),
        }
    }

    fn expect(&mut self, id: u64) -> Result<(), Damage> {
        match self.number()? {
            found if found == id => Ok(()),
            other => Err(unknown("header", other)),
        }
    }

    /// Lists could lie in other streams; nobody writes that.
    fn not_elsewhere(&mut self) -> Result<(), Damage> {
        match self.byte()? {
            0 => Ok(()),
            _ => Err(Damage::broken("a list that lies elsewhere")),
        }
    }

    /// The checksums of `count` streams, as far as they have one.
    fn sums(&mut self, count: usize) -> Result<Vec<Option<u32>>, Damage> {
        let set: Vec<bool> = match self.byte()? {
            0 => bits(self.take(count.div_ceil(8))?).take(count).collect(),
            _ => vec![true; count],
        };
        let sum = |has: &bool| match has {
            true => {
                let bytes = self.take(4)?.iter().rev();
                Ok(Some(bytes.fold(0, |all, byte| all << 8 | u32::from(*byte))))
            }
            false => Ok(None),
        };
        set.iter().map(sum).collect()
    }
}
