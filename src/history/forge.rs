//! Makes packs for the tests: any entries, any deltas, well-formed or not.

use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What an entry of a forged pack is.
pub(super) enum Entry {
    /// A whole blob.
    Blob(Vec<u8>),
    /// Instructions against an earlier entry, by distance.
    Offset(usize, Vec<u8>),
    /// Instructions against any entry, by id.
    Reference(usize, Vec<u8>),
}

/// An instruction, before it is encoded.
pub(super) enum Step<'a> {
    Copy(usize, usize),
    Insert(&'a [u8]),
}

/// The id that a forged pack gives to an entry: nobody checks that it is a hash of the content.
pub(super) fn id(number: usize) -> [u8; 20] {
    let mut id = [0; 20];
    id.copy_from_slice(&Sha256::digest(number.to_be_bytes())[..20]);
    id
}

/// Encodes a delta.
pub(super) fn delta(base: usize, length: usize, steps: &[Step<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for mut size in [base, length] {
        while size > 0x7f {
            out.push(size as u8 | 0x80);
            size >>= 7;
        }
        out.push(size as u8);
    }
    for step in steps {
        match *step {
            Step::Copy(from, size) => {
                let mut done = 0;
                while done < size {
                    let part = (size - done).min(0xffff);
                    let at = (from + done) as u32;
                    let bytes = [
                        at as u8,
                        (at >> 8) as u8,
                        (at >> 16) as u8,
                        (at >> 24) as u8,
                        part as u8,
                        (part >> 8) as u8,
                    ];
                    let code = bytes
                        .iter()
                        .enumerate()
                        .fold(0x80, |code, (bit, byte)| code | u8::from(*byte != 0) << bit);
                    out.push(code);
                    out.extend(bytes.iter().filter(|byte| **byte != 0));
                    done += part;
                }
            }
            Step::Insert(bytes) => {
                for part in bytes.chunks(127) {
                    out.push(part.len() as u8);
                    out.extend_from_slice(part);
                }
            }
        }
    }
    out
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes `pack-forged.pack` and its index (version 1 or 2, none for 0) into `directory`.
pub(super) fn write(directory: &Path, entries: &[Entry], version: u32) -> PathBuf {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend((entries.len() as u32).to_be_bytes());
    let mut offsets: Vec<usize> = Vec::new();
    for entry in entries {
        offsets.push(pack.len());
        let (kind, data) = match entry {
            Entry::Blob(bytes) => (3, bytes),
            Entry::Offset(_, delta) => (6, delta),
            Entry::Reference(_, delta) => (7, delta),
        };
        let mut size = data.len();
        let mut byte = (kind << 4 | size & 15) as u8;
        size >>= 4;
        while size > 0 {
            pack.push(byte | 0x80);
            byte = (size & 0x7f) as u8;
            size >>= 7;
        }
        pack.push(byte);
        match entry {
            Entry::Blob(_) => {}
            Entry::Offset(base, _) => {
                let mut back = offsets[offsets.len() - 1] - offsets[*base];
                let mut bytes = vec![(back & 0x7f) as u8];
                while back > 0x7f {
                    back = (back >> 7) - 1;
                    bytes.push(0x80 | (back & 0x7f) as u8);
                }
                pack.extend(bytes.iter().rev());
            }
            Entry::Reference(base, _) => pack.extend(id(*base)),
        }
        pack.extend(compress(data));
    }
    let checksum: Vec<u8> = Sha256::digest(&pack)[..20].to_vec();
    pack.extend(&checksum);
    let path = directory.join("pack-forged.pack");
    std::fs::write(&path, &pack).unwrap();
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|n| id(*n));
    let mut index = Vec::new();
    if version == 2 {
        index.extend(b"\xfftOc\0\0\0\x02");
    }
    for first in 0..=255u8 {
        let upto = order.iter().filter(|n| id(**n)[0] <= first).count() as u32;
        index.extend(upto.to_be_bytes());
    }
    if version == 1 {
        for &n in &order {
            index.extend((offsets[n] as u32).to_be_bytes());
            index.extend(id(n));
        }
    } else {
        order.iter().for_each(|n| index.extend(id(*n)));
        index.resize(index.len() + 4 * order.len(), 0);
        // Every other offset through the table of large ones.
        let mut large = Vec::new();
        for &n in &order {
            if n % 2 == 0 {
                index.extend((0x8000_0000 | (large.len() / 8) as u32).to_be_bytes());
                large.extend((offsets[n] as u64).to_be_bytes());
            } else {
                index.extend((offsets[n] as u32).to_be_bytes());
            }
        }
        index.extend(large);
    }
    index.extend(&checksum);
    index.extend([0; 20]);
    match version {
        0 => drop(std::fs::remove_file(path.with_extension("idx"))),
        _ => std::fs::write(path.with_extension("idx"), index).unwrap(),
    }
    path
}
