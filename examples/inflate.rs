//! The floor of a search in packages: decompress the members of zips and `.tgz` on all cores with
//! libdeflate, gzip in zips included, and do nothing with them. `cargo run --release --example inflate -- FILE…`

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
        return gunzip(&mut Decompressor::new(), &file);
    }
    let scratch = || (Decompressor::new(), Vec::new());
    members(&file)
        .into_par_iter()
        .map_init(scratch, |(inflate, out), (packed, size, deflated)| {
            if out.len() < size {
                out.resize(size, 0);
            }
            let content = match deflated {
                true => {
                    let made = inflate.deflate_decompress(packed, &mut out[..size]);
                    &out[..made.expect("deflate")]
                }
                false => packed,
            };
            let inner = match content.starts_with(b"\x1f\x8b\x08") {
                true => gunzip(inflate, content),
                false => 0,
            };
            content.len() + inner
        })
        .sum()
}

/// Decompresses a gzip file of one member.
fn gunzip(inflate: &mut Decompressor, file: &[u8]) -> usize {
    let mut out = vec![0; number(file, file.len() - 4, 4)];
    let made = inflate.gzip_decompress(file, &mut out);
    made.expect("one member")
}

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let bytes: usize = files.par_iter().map(inflate).sum();
    println!("{bytes}");
}
