//! The floor of a search in packages: decompress the members of zips and `.tgz` on all cores with
//! libdeflate, and do nothing with them. `cargo run --release --example inflate -- FILE…`

#![allow(clippy::print_stdout)] // a benchmark's result

use libdeflater::Decompressor;
use rayon::prelude::*;

fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    let field = bytes[at..at + length].iter().rev();
    field.fold(0, |all, byte| all << 8 | usize::from(*byte))
}

/// A member's bytes, its size, and whether they are deflated.
fn members(zip: &[u8]) -> Vec<(&[u8], usize, bool)> {
    let end = memchr::memmem::rfind(zip, b"PK\x05\x06").expect("a directory");
    let mut at = number(zip, end + 16, 4);
    let mut members = Vec::new();
    while zip[at..].starts_with(b"PK\x01\x02") {
        let local = number(zip, at + 42, 4);
        let start = local + 30 + number(zip, local + 26, 2) + number(zip, local + 28, 2);
        let packed = &zip[start..start + number(zip, at + 20, 4)];
        members.push((packed, number(zip, at + 24, 4), zip[at + 10] == 8));
        at += 46 + number(zip, at + 28, 2) + number(zip, at + 30, 2) + number(zip, at + 32, 2);
    }
    members
}

fn inflate(path: &String) -> usize {
    let file = std::fs::read(path).expect("a file");
    if file.starts_with(b"\x1f\x8b") {
        let mut out = vec![0; number(&file, file.len() - 4, 4)];
        let made = Decompressor::new().gzip_decompress(&file, &mut out);
        return made.expect("one member");
    }
    let scratch = || (Decompressor::new(), Vec::new());
    members(&file)
        .into_par_iter()
        .map_init(scratch, |(inflate, out), (packed, size, deflated)| {
            if !deflated {
                return packed.len();
            }
            if out.len() < size {
                out.resize(size, 0);
            }
            let made = inflate.deflate_decompress(packed, &mut out[..size]);
            made.expect("deflate")
        })
        .sum()
}

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let bytes: usize = files.par_iter().map(inflate).sum();
    println!("{bytes}");
}
