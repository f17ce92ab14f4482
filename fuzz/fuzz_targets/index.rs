//! An index of any bytes beside a sound pack: every entry is read all the same, or counted.
#![cfg_attr(fuzzing, no_main)]

#[path = "../scratch.rs"]
mod scratch;

use scratch::{CHECKSUM, Scratch, distance, header, id, index, pack, stored};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// Pairs of a place and a byte that is put there, in a sound index; then it is cut, or goes on.
pub(crate) fn check(data: &[u8]) {
    let text = b"a text that others are made from, long enough to be copied";
    let blob = [header(3, text.len() as u64), stored(text)].concat();
    let delta = [text.len() as u8, 12, 0x90, 10, 2, b'x', b'y'];
    let near = [
        header(6, delta.len() as u64),
        distance(blob.len()),
        stored(&delta),
    ]
    .concat();
    let far = [
        header(7, delta.len() as u64),
        id(0).to_vec(),
        stored(&delta),
    ]
    .concat();
    let (whole, offsets) = pack(&[blob, near, far]);
    let mut listed = index(&offsets);
    let (changes, rest) = data.split_at(data.len().saturating_sub(2));
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % listed.len();
        listed[at] = change[2];
    }
    if let [how, by] = rest {
        let length = match how & 3 {
            1 => listed.len().saturating_sub(usize::from(*by) * 8),
            2 => listed.len() + usize::from(*by),
            _ => listed.len(),
        };
        listed.resize(length, *by);
        if how & 4 != 0 && length >= 40 {
            listed[length - 40..length - 20].copy_from_slice(&CHECKSUM);
        }
    }
    let repository = Scratch::new();
    repository.write("objects/pack/pack-x.pack", &whole);
    repository.write("objects/pack/pack-x.idx", &listed);
    let outcome = repository.audit();
    assert!(outcome.coverage.read.items == 3 || !outcome.coverage.is_complete());
}
