//! A folder's decoders, one upon the other.

use std::io::{self, BufReader, Read};

use liblzma::stream::{Action, Filters, Status, Stream};

use super::bcj2::Bcj2;
use super::header::{Coder, Folder};
use crate::unpack::part::Between;
use crate::unpack::ppmd::{Parameters, Ppmd};
use crate::unpack::{Members, ReadAt, Reservation};

/// Why a folder can't be decoded.
#[derive(Debug)]
pub(super) enum Cannot {
    /// It can be, with a password.
    Encrypted,
    /// Nothing here knows the method of this name.
    Unsupported(String),
    /// It contradicts itself.
    Damaged(String),
    /// There may not be so much memory.
    TooLarge,
}

/// Ids of methods.
mod method {
    pub(super) const COPY: u64 = 0x00;
    pub(super) const DELTA: u64 = 0x03;
    pub(super) const LZMA2: u64 = 0x21;
    pub(super) const LZMA: u64 = 0x03_01_01;
    pub(super) const PPMD: u64 = 0x03_04_01;
    pub(super) const BCJ2: u64 = 0x03_03_01_1b;
    pub(super) const DEFLATE: u64 = 0x04_01_08;
    pub(super) const DEFLATE64: u64 = 0x04_01_09;
    pub(super) const BZIP2: u64 = 0x04_02_02;
    pub(super) const ZSTD: u64 = 0x04_f7_11_01;
    pub(super) const AES: u64 = 0x06_f1_07_01;

    /// Those that are known by name only.
    pub(super) const NAMED: &[(u64, &str)] = &[
        (0x04_f7_11_02, "brotli"),
        (0x04_f7_11_04, "lz4"),
        (0x04_f7_11_05, "lz5"),
        (0x04_f7_11_06, "lizard"),
    ];
}

/// What a stage without a window of its own takes, roughly.
const STAGE: u64 = 1 << 20;
/// bzip2's memory for blocks of 900 kB.
const BZIP2: u64 = 4 << 20;
/// zstd's window at its highest ordinary level.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How much memory the folder's decoders take.
fn memory(folder: &Folder) -> u64 {
    let coders = folder.coders.iter().enumerate();
    let each = coders.map(|(number, coder)| {
        STAGE
            + match coder.method {
                method::LZMA | method::LZMA2 => window(folder, number),
                method::BZIP2 => BZIP2,
                method::ZSTD => 1 << ZSTD_WINDOW_LOG,
                method::PPMD => Parameters::of_7z(&coder.properties).map_or(0, Parameters::memory),
                _ => 0,
            }
    });
    each.sum()
}

/// How far back LZMA may refer: as far as it says, but never before its content's first byte.
fn window(folder: &Folder, coder: usize) -> u64 {
    let size = folder.sizes.get(coder).copied().unwrap_or(u64::MAX);
    let Coder {
        method, properties, ..
    } = &folder.coders[coder];
    let stated = match (*method, &properties[..]) {
        (method::LZMA, [_, a, b, c, d]) => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        // Mantissas of 2 and 3, and their exponents.
        (method::LZMA2, [bits @ 0..=39]) => lzma2_window(*bits),
        _ => u64::from(u32::MAX),
    };
    stated.min(size.max(4096))
}

fn lzma2_window(bits: u8) -> u64 {
    (2 | u64::from(bits & 1)) << (bits / 2 + 11)
}

/// The properties of LZMA with no larger window than is needed.
fn properties(folder: &Folder, number: usize) -> Vec<u8> {
    let window = window(folder, number);
    let coder = &folder.coders[number];
    let mut properties = coder.properties.clone();
    match (coder.method, &mut properties[..]) {
        (method::LZMA, [_, size @ ..]) if size.len() == 4 => {
            size.copy_from_slice(&(window as u32).to_le_bytes());
        }
        (method::LZMA2, [bits @ 0..=40]) => {
            *bits = (0..*bits)
                .find(|bits| lzma2_window(*bits) >= window)
                .unwrap_or(*bits);
        }
        _ => {}
    }
    properties
}

/// The folder's content, and the memory that its decoders take. `base` is where packed streams are
/// counted from.
pub(super) fn open<'a>(
    file: &'a dyn ReadAt,
    packed: &[std::ops::Range<u64>],
    base: u64,
    folder: &'a Folder,
    out: &mut dyn Members,
) -> Result<(Box<dyn Read + 'a>, Reservation), Cannot> {
    if folder
        .coders
        .iter()
        .any(|coder| coder.method == method::AES)
    {
        return Err(Cannot::Encrypted);
    }
    let opener = Opener {
        file,
        packed,
        base,
        folder,
    };
    let last = folder.last().ok_or_else(circle)?;
    // Decoders take it as soon as they are made.
    let memory = out.reserve(memory(folder)).ok_or(Cannot::TooLarge)?;
    Ok((opener.output(last, folder.coders.len())?, memory))
}

fn circle() -> Cannot {
    Cannot::Damaged("its decoders are joined in a circle".into())
}

struct Opener<'a, 'p> {
    file: &'a dyn ReadAt,
    packed: &'p [std::ops::Range<u64>],
    base: u64,
    folder: &'a Folder,
}

impl<'a> Opener<'a, '_> {
    /// How many packed bytes the folder has.
    fn size(&self) -> u64 {
        let streams = self.folder.packed.iter();
        let ranges = streams.filter_map(|(_, stream)| self.packed.get(*stream));
        let sizes = ranges.map(|range| range.end.min(self.file.size()).saturating_sub(range.start));
        sizes.sum()
    }

    fn input(&self, input: usize, depth: usize) -> Result<Box<dyn Read + 'a>, Cannot> {
        if let Some((_, coder)) = self.folder.bonds.iter().find(|(to, _)| *to == input) {
            let under = self.output(*coder, depth.checked_sub(1).ok_or_else(circle)?)?;
            return Ok(Box::new(Between::new(under, self.size())));
        }
        let stream = self.folder.packed.iter().find(|(to, _)| *to == input);
        let range = stream.and_then(|(_, stream)| self.packed.get(*stream));
        let range = range.ok_or_else(|| Cannot::Damaged("a packed stream is missing".into()))?;
        let at = |place: u64| self.base.saturating_add(place);
        Ok(Box::new(self.file.section(at(range.start)..at(range.end))))
    }

    /// What a coder puts out. `depth` is how many more may lie under it: there are no more than
    /// coders, unless they are joined in a circle.
    fn output(&self, coder: usize, depth: usize) -> Result<Box<dyn Read + 'a>, Cannot> {
        let (filters, number, depth) = self.filters(coder, depth)?;
        let coder = &self.folder.coders[number];
        let broken = |error: liblzma::stream::Error| {
            Cannot::Damaged(format!(
                "its decoders' properties: {}",
                io::Error::from(error)
            ))
        };
        let lzma = |under: &[u8], is_lzma1: bool, input| {
            let mut chain = Filters::new();
            for filter in &filters {
                add_filter(&mut chain, filter)?;
            }
            match is_lzma1 {
                true => chain.lzma1_properties(under).map_err(broken)?,
                false => chain.lzma2_properties(under).map_err(broken)?,
            };
            let stream = Stream::new_raw_decoder(&chain).map_err(broken)?;
            Ok(Box::new(Lzma {
                input: BufReader::new(input),
                stream,
                ended: false,
            }) as Box<dyn Read + 'a>)
        };
        if coder.method == method::LZMA2 || coder.method == method::LZMA && filters.is_empty() {
            let input = self.input(coder.first_input, depth)?;
            let properties = properties(self.folder, number);
            return lzma(&properties, coder.method == method::LZMA, input);
        }
        if !filters.is_empty() {
            // A filter keeps its last bytes until it knows that none follow, and only LZMA2 tells it.
            let under: Box<dyn Read + 'a> = match is_filter(coder.method) {
                true => self.input(coder.first_input, depth)?,
                false => {
                    let size = self.folder.sizes.get(number).copied().unwrap_or(0);
                    Box::new(self.output(number, depth)?.take(size))
                }
            };
            return lzma(&[CHUNKS_WINDOW], false, Box::new(Chunks::new(under)));
        }
        let mut inputs = (0..coder.inputs).map(|n| self.input(coder.first_input + n, depth));
        let mut input = || inputs.next().unwrap_or_else(|| Err(circle()));
        Ok(match coder.method {
            method::COPY => input()?,
            method::DEFLATE => Box::new(flate2::read::DeflateDecoder::new(input()?)),
            method::DEFLATE64 => Box::new(deflate64::Deflate64Decoder::new(input()?)),
            method::BZIP2 => Box::new(bzip2::read::MultiBzDecoder::new(input()?)),
            method::ZSTD => {
                let broken = |error: io::Error| Cannot::Damaged(error.to_string());
                let mut decoder = zstd::stream::read::Decoder::new(input()?).map_err(broken)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
                Box::new(decoder)
            }
            method::PPMD => {
                let broken = |error: io::Error| Cannot::Damaged(error.to_string());
                let parameters = Parameters::of_7z(&coder.properties);
                let parameters = parameters.ok_or_else(|| unsupported(coder))?;
                let ppmd = Ppmd::open(parameters, BufReader::new(input()?)).map_err(broken)?;
                // Nothing else says where it ends.
                let size = self.folder.sizes.get(number).copied().unwrap_or(0);
                Box::new(ppmd.take(size))
            }
            method::BCJ2 if coder.inputs == 4 => {
                Box::new(Bcj2::new([input()?, input()?, input()?, input()?]))
            }
            _ => return Err(unsupported(coder)),
        })
    }

    /// The filters from `coder` on, and the number of the coder under them.
    fn filters(
        &self,
        mut coder: usize,
        mut depth: usize,
    ) -> Result<(Vec<&'a Coder>, usize, usize), Cannot> {
        let mut filters = Vec::new();
        loop {
            let this = self.folder.coders.get(coder).ok_or_else(circle)?;
            if !is_filter(this.method) {
                return Ok((filters, coder, depth));
            }
            filters.push(this);
            let mut bonds = self.folder.bonds.iter();
            let Some((_, under)) = bonds.find(|(to, _)| *to == this.first_input) else {
                // Filters alone, upon bytes as they are.
                return Ok((filters, coder, depth));
            };
            coder = *under;
            depth = depth.checked_sub(1).ok_or_else(circle)?;
        }
    }
}

fn unsupported(coder: &Coder) -> Cannot {
    let name = method::NAMED.iter().find(|(id, _)| *id == coder.method);
    Cannot::Unsupported(match name {
        Some((_, name)) => format!("compressed with {name}"),
        None => format!("method {:x}", coder.method),
    })
}

fn is_filter(method: u64) -> bool {
    matches!(
        method,
        0x03..=0x0b
            | 0x03_03_01_03
            | 0x03_03_02_05
            | 0x03_03_04_01
            | 0x03_03_05_01
            | 0x03_03_07_01
            | 0x03_03_08_05
    )
}

fn add_filter(chain: &mut Filters, filter: &Coder) -> Result<(), Cannot> {
    let properties = &filter.properties[..];
    let added = match filter.method {
        method::DELTA => chain.delta_properties(properties),
        0x04 | 0x03_03_01_03 => chain.x86_properties(properties),
        0x05 | 0x03_03_02_05 => chain.powerpc_properties(properties),
        0x06 | 0x03_03_04_01 => chain.ia64_properties(properties),
        0x07 | 0x03_03_05_01 => chain.arm_properties(properties),
        0x08 | 0x03_03_07_01 => chain.arm_thumb_properties(properties),
        0x09 | 0x03_03_08_05 => chain.sparc_properties(properties),
        0x0a => chain.arm64_properties(properties),
        _ => chain.riscv_properties(properties),
    };
    added.map(drop).map_err(|_| unsupported(filter))
}

/// Bytes as LZMA2 that stores them as they are.
struct Chunks<R> {
    input: R,
    chunk: io::Cursor<Vec<u8>>,
    /// What the next chunk begins with: the first one resets the window, the last is empty.
    control: Option<u8>,
}

/// A chunk holds 65,536 bytes at most; LZMA2's notation of a window of so much.
const CHUNK: u64 = 1 << 16;
const CHUNKS_WINDOW: u8 = 8;

impl<R: Read> Chunks<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            chunk: io::Cursor::default(),
            control: Some(1),
        }
    }
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.chunk.read(to)?;
        let Some(control) = self.control.filter(|_| read == 0 && !to.is_empty()) else {
            return Ok(read);
        };
        let mut chunk = vec![control, 0, 0];
        self.input.by_ref().take(CHUNK).read_to_end(&mut chunk)?;
        let size = chunk.len() - 3;
        self.control = (size > 0).then_some(2);
        match size.checked_sub(1) {
            Some(less) => chunk[1..3].copy_from_slice(&(less as u16).to_be_bytes()),
            None => chunk = vec![0],
        }
        self.chunk = io::Cursor::new(chunk);
        self.chunk.read(to)
    }
}

/// LZMA without a container, which does not say where it ends.
struct Lzma<R> {
    input: BufReader<R>,
    stream: Stream,
    ended: bool,
}

impl<R: Read> Read for Lzma<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        use std::io::BufRead;
        loop {
            if self.ended || to.is_empty() {
                return Ok(0);
            }
            let bytes = self.input.fill_buf()?;
            let action = if bytes.is_empty() {
                Action::Finish
            } else {
                Action::Run
            };
            let (took, made) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.process(bytes, to, action);
            let took = (self.stream.total_in() - took) as usize;
            let made = (self.stream.total_out() - made) as usize;
            self.input.consume(took);
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(_) => {}
                // There is no more to be made of what there is.
                Err(_) if made > 0 => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error.into());
                }
            }
            if made > 0 {
                return Ok(made);
            }
            if took == 0 && action as u32 == Action::Finish as u32 {
                self.ended = true;
            }
        }
    }
}
