//! A pack of any entries: bases that are not there or go round in circles, sizes and offsets that
//! lie, a pack that is cut, an index of any of three kinds. It is read to an end, and what can't be
//! read is counted.
#![cfg_attr(fuzzing, no_main)]

#[path = "../scratch.rs"]
mod scratch;

use scratch::{Bytes, Scratch, distance, header, id, index, pack, stored};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// Each entry: its kind, what is wrong with it, its base, its length and its bytes.
pub(crate) fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (how, cut) = (bytes.byte(), bytes.byte());
    let (mut entries, mut starts, mut at) = (Vec::new(), Vec::new(), 12);
    while !bytes.0.is_empty() && entries.len() < 64 {
        let (kind, wrong, base, length) = (bytes.byte(), bytes.byte(), bytes.byte(), bytes.byte());
        let content = bytes.some(length.into());
        let size = match wrong & 7 {
            1 => u64::from(bytes.byte()) << (wrong >> 3),
            2 => u64::MAX >> (wrong >> 3),
            _ => content.len() as u64,
        };
        let mut entry = header(kind, size);
        match kind & 7 {
            6 => {
                let base = starts.get(usize::from(base)).copied();
                entry.extend(distance(
                    base.map_or(usize::from(wrong), |start| at - start),
                ));
            }
            7 => entry.extend(id(base.into())),
            _ => {}
        }
        let mut stream = stored(content);
        match wrong & 7 {
            3 => stream.truncate(stream.len() / 2),
            4 => stream[2] = wrong,
            _ => {}
        }
        entry.extend(stream);
        starts.push(at);
        at += entry.len();
        entries.push(entry);
    }
    let (mut whole, offsets) = pack(&entries);
    let repository = Scratch::new();
    match how & 3 {
        0 => {}
        1 => repository.write(
            "objects/pack/pack-x.idx",
            &index(&offsets[..offsets.len() / 2]),
        ),
        _ => repository.write("objects/pack/pack-x.idx", &index(&offsets)),
    }
    if how & 4 != 0 {
        whole.truncate(whole.len().saturating_sub(cut.into()));
    }
    if let (true, Some(count)) = (how & 8 != 0, whole.get_mut(8)) {
        // Far more than there are.
        *count = cut;
    }
    repository.write("objects/pack/pack-x.pack", &whole);
    let outcome = repository.audit();
    let read = outcome.coverage.read.items;
    assert!(read <= entries.len() as u64, "{read} of {}", entries.len());
    assert!(!outcome.coverage.is_complete() || read == entries.len() as u64);
}
