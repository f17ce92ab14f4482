//! Loose objects of any bytes, under any names, and what stands around them in the directory of
//! objects.
#![cfg_attr(fuzzing, no_main)]

#[path = "../scratch.rs"]
mod scratch;

use scratch::{Bytes, Scratch, stored};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// Each object: how it is wrong, its length, its bytes.
pub(crate) fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let repository = Scratch::new();
    let mut objects = 0;
    while !bytes.0.is_empty() && objects < 8 {
        let (how, length) = (bytes.byte(), bytes.byte());
        let content = bytes.some(length.into());
        let kind = ["blob", "tree", "commit", "tag"][usize::from(how & 3)];
        let size = match how >> 2 & 3 {
            1 => content.len().wrapping_add(usize::from(how >> 4)),
            2 => usize::MAX >> (how >> 4),
            _ => content.len(),
        };
        let mut file = match how >> 2 & 3 {
            3 => stored(content),
            _ => stored(&[format!("{kind} {size}\0").as_bytes(), content].concat()),
        };
        match how >> 5 & 3 {
            1 => file.truncate(file.len() / 2),
            2 => file = content.to_vec(),
            _ => {}
        }
        repository.write(&format!("objects/{objects:02x}/{:038x}", objects), &file);
        objects += 1;
    }
    repository.write("objects/info/alternates", bytes.0);
    let outcome = repository.audit();
    assert!(outcome.coverage.read.items + outcome.coverage.failed >= objects);
}
