//! Formats that need no reader: a search of the file as it is finds all that is in them. Each is built
//! here the way its programs write it.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use skewer::examine::{Examiner, Unpacking};
use skewer::matcher::Matcher;
use skewer::rules::{Rules, Template};

fn key(seed: u64) -> String {
    Template::parse("sk-proj-{long:74,74}")
        .unwrap()
        .fill(seed)
        .text
}

/// The keys that are found in a file, in order of their places, with the decoders that led there.
fn found(name: &str, bytes: &[u8]) -> Vec<(String, Vec<&'static str>)> {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let unpacking = Unpacking::default();
    let examiner = Examiner {
        matcher: &matcher,
        unpacking: &unpacking,
        go_on: &|| true,
    };
    let mut found = Vec::new();
    let seen = examiner.bytes(name.as_bytes(), bytes, &mut |one| {
        let key = String::from_utf8_lossy(one.hit.secret.expose()).into_owned();
        found.push((key, one.hit.decoders));
    });
    assert!(seen.unread.is_empty(), "{name}: {:?}", seen.unread);
    found
}

fn plain(keys: &[u64]) -> Vec<(String, Vec<&'static str>)> {
    keys.iter().map(|seed| (key(*seed), vec![])).collect()
}

/// Python's compiled modules: marshalled constants, each with its type and length.
#[test]
fn pyc() {
    let mut bytes = b"\xcb\x0d\x0d\x0a\0\0\0\0".to_vec();
    bytes.extend([0; 8]);
    let constant = |kind: u8, long: bool, text: &str| {
        let length = text.len() as u32;
        let length = if long {
            length.to_le_bytes().to_vec()
        } else {
            vec![length as u8]
        };
        [&[kind | 0x80], &length[..], text.as_bytes()].concat()
    };
    bytes.extend([0xe3, 0, 0, 0, 0]);
    // A short ASCII string, an interned one, a long one, and one that is not ASCII.
    bytes.extend(constant(b'z', false, &key(1)));
    bytes.extend(constant(b'Z', false, &key(2)));
    bytes.extend(constant(
        b'a',
        true,
        &format!("{}OPENAI_API_KEY = '{}'", "x ".repeat(300), key(3)),
    ));
    bytes.extend(constant(b'u', true, &format!("Schlüssel: {}", key(4))));
    bytes.extend(constant(b's', true, &key(5)));
    assert_eq!(found("a.cpython-312.pyc", &bytes), plain(&[1, 2, 3, 4, 5]));
}

/// Java's heap dumps: texts are arrays of Latin-1 bytes, or of UTF-16 with the high byte first.
#[test]
fn hprof() {
    let mut bytes = b"JAVA PROFILE 1.0.2\0\0\0\0\x08".to_vec();
    bytes.extend(0u64.to_be_bytes());
    let mut dump = Vec::new();
    let mut array = |kind: u8, count: usize, data: &[u8]| {
        dump.push(0x23);
        dump.extend(0x7000_0000_u64.to_be_bytes());
        dump.extend(1u32.to_be_bytes());
        dump.extend((count as u32).to_be_bytes());
        dump.push(kind);
        dump.extend(data);
    };
    array(8, key(1).len(), key(1).as_bytes());
    let wide: Vec<u8> = key(2).encode_utf16().flat_map(u16::to_be_bytes).collect();
    array(5, key(2).len(), &wide);
    bytes.extend([0x1c, 0, 0, 0, 0]);
    bytes.extend((dump.len() as u32).to_be_bytes());
    bytes.extend(dump);
    assert_eq!(
        found("heap.hprof", &bytes),
        [(key(1), vec![]), (key(2), vec!["utf-16"])]
    );
}

/// Core files hold memory as it was: environments, buffers, strings of any program.
#[test]
fn core() {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([4, 0, 62, 0]);
    bytes.resize(3 * 4096, 0);
    bytes.extend(format!("PATH=/bin\0OPENAI_API_KEY={}\0HOME=/\0", key(1)).as_bytes());
    bytes.resize(40 << 10, 0);
    // A buffer of a program that keeps UTF-16 (Node.js, .NET), at an odd address.
    bytes.push(b'x');
    bytes.extend(key(2).encode_utf16().flat_map(u16::to_le_bytes));
    bytes.resize(50 << 10, 0xff);
    assert_eq!(
        found("core.1234", &bytes),
        [(key(1), vec![]), (key(2), vec!["utf-16"])]
    );
}

/// Chrome's extensions: a zip behind a signed header.
#[test]
fn crx() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives/extension.zip");
    let zip = std::fs::read(path).unwrap();
    let header = [&[0x0a; 4], key(1).as_bytes()].concat();
    let mut bytes = b"Cr24\x03\0\0\0".to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(&header);
    bytes.extend(&zip);
    let found = found("a.crx", &bytes);
    assert_eq!(found[..], plain(&[1])[..], "what stands before the zip");
    let matcher = Matcher::new(&Rules::built_in(), None);
    let unpacking = Unpacking::default();
    let examiner = Examiner {
        matcher: &matcher,
        unpacking: &unpacking,
        go_on: &|| true,
    };
    let seen = examiner.bytes(b"a.crx", &bytes, &mut |_| {});
    assert_eq!(seen.members.items, 2, "manifest.json and background.js");
}
